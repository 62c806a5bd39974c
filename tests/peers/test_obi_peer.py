"""Our commands against those of the Open Beam Interface project's own encoder (recorded: it is on no package index)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.wire import obi

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "obi" / "commands.json"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not VECTORS.is_file(), reason="the encoder's recorded bytes are not beside the repository"),
]

# their fields -> ours; they write counts and dwells as they go over the wire, which is one less
OURS: dict[str, Callable[[dict[str, Any]], obi.Command]] = {
    "Synchronize": lambda f: obi.Synchronize(f["cookie"], f["raster"], OUTPUTS[f["output"]]),
    "Abort": lambda f: obi.Abort(),
    "Flush": lambda f: obi.Flush(),
    "ExternalCtrl": lambda f: obi.ExternalCtrl(**f),
    "BeamSelect": lambda f: obi.BeamSelect(BEAMS[f["beam_type"]]),
    "Blank": lambda f: obi.Blank(**f),
    "Delay": lambda f: obi.Delay(f["delay"]),
    "RasterRegion": lambda f: obi.RasterRegion(**f),
    "RasterPixel": lambda f: obi.RasterPixel(f["dwell_time"] + 1),
    "RasterPixelRun": lambda f: obi.RasterPixelRun(f["length"] + 1, f["dwell_time"] + 1),
    "RasterPixelFreeRun": lambda f: obi.RasterPixelFreeRun(f["dwell_time"] + 1),
    "VectorPixel": lambda f: (
        obi.VectorPixel(f["x_coord"], f["y_coord"], f["dwell_time"] + 1)
        if f["dwell_time"] > 1
        else obi.VectorPixelMinDwell(f["x_coord"], f["y_coord"])
    ),
    "Array": lambda f: obi.Array(KINDS[f["cmdtype"]].code, f["array_length"] + 1),
}
OUTPUTS = {"SixteenBit": obi.Output.SIXTEEN_BIT, "EightBit": obi.Output.EIGHT_BIT, "NoOutput": obi.Output.NONE}
BEAMS = {"NoBeam": obi.Beam.NONE, "Electron": obi.Beam.ELECTRON, "Ion": obi.Beam.ION}
KINDS: dict[str, type[obi.Command]] = {"RasterPixel": obi.RasterPixel, "VectorPixel": obi.VectorPixel}


def vectors() -> list[tuple[obi.Command, bytes]]:
    recorded = json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]
    return [(OURS[one["command"]](one["fields"]), bytes.fromhex(one["hex"])) for one in recorded]


def test_every_command_of_the_projects_encoder_is_ours_to_the_byte() -> None:
    for command, data in vectors():
        assert obi.encode(command) == data, command


def test_every_command_of_the_projects_encoder_is_understood() -> None:
    for command, data in vectors():
        splitter = obi.CommandSplitter()
        splitter.feed(data)
        assert splitter.next() == command
        assert splitter.next() is None
        splitter.reset()
