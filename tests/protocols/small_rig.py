"""The shipped rig with the devices of its electron side only: cryostat, scan and EDS, and the column if wanted."""

from __future__ import annotations

from protocols.rigtext import load_rig


def small(name: str = "bench", *, column: bool = False) -> str:
    """Text of a shipped rig without the camera and what stands at the FIB-SEM; with the column only where asked for."""
    text = load_rig(name).text
    wiring, cable = text.index("wiring:\n"), text.index("  - {from: scan.pixel_clock")
    end = text.index("  camera:\n" if column else "  column:\n")
    text = text[:end] + text[wiring:cable] + text[text.index("\n", cable) + 1 :]
    stages = "{stem: column, fibsem: chamber_stage}"
    if column:
        return text.replace(stages, "{stem: column}")
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("blank_channel:")]
    return "".join(lines).replace(stages, "{stem: cryostat}")
