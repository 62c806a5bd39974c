"""The shipped rig with the three devices of its electron side only: cryostat, scan and EDS."""

from __future__ import annotations

from protocols.rigtext import load_rig


def small(name: str = "bench") -> str:
    """Text of a shipped rig without the column, the camera, and what stands at the FIB-SEM."""
    text = load_rig(name).text
    wiring, cable = text.index("wiring:\n"), text.index("  - {from: scan.pixel_clock")
    text = text[: text.index("  column:\n")] + text[wiring:cable] + text[text.index("\n", cable) + 1 :]
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("blank_channel:")]
    return "".join(lines).replace(
        "sample_stage: {stem: column, fibsem: chamber_stage}", "sample_stage: {stem: cryostat}"
    )
