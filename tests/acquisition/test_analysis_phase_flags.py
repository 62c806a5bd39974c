"""What a phase map says against itself."""

from __future__ import annotations

from acquisition.analysis.fading import Fading
from acquisition.analysis.layers import Control
from acquisition.analysis.phase_map import flags_of

CLEAN = Control(100, {})


def test_a_careful_exposure_has_nothing_to_say() -> None:
    assert flags_of(Fading(0.1, 0.08, 0.12, 300), (0, 0), CLEAN) == ()


def test_fading_and_what_the_beam_made_stand_in_one_sentence() -> None:
    (flag,) = flags_of(Fading(0.7, 0.65, 0.75, 300), (0, 12), Control(100, {"Li2O": 12}))
    assert flag.startswith("crystal signal fell by 70 % during exposure; Li2O appeared in LiPON (0 patches")


def test_a_control_that_holds_what_no_beam_makes_is_none() -> None:
    (flag,) = flags_of(None, None, Control(168, {"Li3PO4": 92}))
    assert "Li3PO4 in 92 of 168 patches" in flag
    assert "not clean" in flag
