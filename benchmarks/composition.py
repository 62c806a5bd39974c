"""A recipe: li-lipon-stem without its lattice images and diffraction patterns, for many runs in little time."""

import runpy
from pathlib import Path

import protocols

_WHOLE = runpy.run_path(str(Path(protocols.__file__).parent / "recipes" / "li-lipon-stem.py"))
NAME, SAMPLE, ELEMENTS = "Li/LiPON: composition alone", _WHOLE["SAMPLE"], _WHOLE["ELEMENTS"]
BUDGETS = _WHOLE["BUDGETS"]


def recipe(run):  # type: ignore[no-untyped-def]
    """Cold, edge-on, mapped."""
    run.do(_WHOLE["CoolDown"](to="100 K", ramp="10 K/min", hold="20 min"))
    _WHOLE["see_edge_on"](run)
    _WHOLE["composition"](run)
