"""A rig whose lines fail, one after the other: every beam is blanked and every line closed, whichever it was."""

from __future__ import annotations

from typing import Any

import pytest

import protocols.rig as composition
from drivers.clock import VirtualClock
from drivers.errors import LinkError
from drivers.links import AbortFlag, Fault, FaultKind, FaultyLink, ZmqLink
from protocols.rig import Rig, open_rig
from protocols.rigtext import RigText, load_rig, read_rig

SILENT = Fault(FaultKind.LOSS, forever=True)
LINES = ["column", "scan", "cryostat", "eds", "camera", "chamber_stage", "stage", "needle"]


class Lines:
    """The lines of a rig, each of which can be made silent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._plain = composition.MemoryLink
        self.made: dict[str, FaultyLink] = {}
        self.silent = ""
        self.clock = VirtualClock()
        self.worlds: list[Any] = []
        monkeypatch.setattr(composition, "MemoryLink", self._link)
        made = composition.make_world

        def make_world(*given: Any) -> Any:
            self.worlds.append(made(*given))
            return self.worlds[-1]

        monkeypatch.setattr(composition, "make_world", make_world)

    def open(self, rig: RigText) -> Rig:
        clock = self.clock
        return open_rig(
            rig, clock=clock, abort=AbortFlag(), wait=clock.sleep, latched=lambda: False, seed=1, sample=None
        )

    def break_(self, name: str) -> None:
        line = self.made[name]
        line._faults = (Fault(FaultKind.LOSS, line.transfers + 1, forever=True),)

    def received(self) -> float:
        """Electrons a m^2 that the sample has received anywhere, from the truth."""
        world = self.worlds[-1]
        world.catch_up()
        return float(world.truth.fluence().map.sum())

    def _link(self, name: str, *rest: Any) -> FaultyLink:
        self.made[name] = FaultyLink(self._plain(name, *rest), [SILENT] if name == self.silent else [], seed=1)
        return self.made[name]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    return Lines(monkeypatch)


@pytest.mark.parametrize("silent", LINES)
def test_a_rig_that_does_not_open_leaves_no_beam_on_and_no_line_open(lines: Lines, silent: str) -> None:
    lines.silent = silent
    with pytest.raises(LinkError, match=f"^{silent}: "):
        lines.open(load_rig("bench"))
    assert all(line.closed for line in lines.made.values())
    if silent != "column":  # which nobody can blank then
        before = lines.received()
        lines.clock.sleep(60.0)
        assert lines.received() == before
    assert ("scan" in lines.made) is (silent != "column")


@pytest.mark.parametrize("dead", LINES)
def test_no_dead_line_keeps_another_device_from_being_made_safe(lines: Lines, dead: str) -> None:
    rig = lines.open(load_rig("bench"))
    lines.break_(dead)
    unsafe = [attempt.said for attempt in rig.make_safe() if not attempt.safe]
    assert [said.partition(":")[0] for said in unsafe] == ["milling" if dead == "chamber_stage" else dead]
    before = lines.received()
    lines.clock.sleep(60.0)
    assert lines.received() == before
    rig.close()
    assert all(link.closed for link in rig.links)


def test_beams_are_made_safe_first_and_what_only_listens_last(lines: Lines) -> None:
    rig = lines.open(load_rig("bench"))
    lines.break_("camera")
    order = [attempt.said.partition(":")[0] for attempt in rig.make_safe()]
    assert order[:3] == ["column", "scan", "milling"]
    assert set(order[-2:]) == {"eds", "camera"}


def test_what_cannot_be_closed_keeps_nothing_else_open(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = lines.open(load_rig("bench"))

    def full() -> None:
        raise OSError("no space left")

    monkeypatch.setattr(rig.links[-1], "close", full)
    with pytest.raises(OSError, match="no space left"):
        rig.close()
    assert all(link.closed for link in rig.links[:-1])


@pytest.mark.parametrize(("pixels", "messages"), [(128, 16384), (1024, 256), (8192, 16)])
def test_what_may_wait_of_a_camera_fits_into_memory(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, pixels: int, messages: int
) -> None:
    asked: list[int] = []

    def stream(*given: Any, high_water: int) -> ZmqLink:
        asked.append(high_water)
        raise LinkError("enough")

    monkeypatch.setattr(composition, "ZmqLink", stream)
    text = load_rig("bench").text.replace("pixels: [128, 128]", f"pixels: [{pixels}, {pixels}]")
    rig = read_rig(text, "my.yaml")
    opened = lines.open(load_rig("bench"))
    made = composition._Lines(opened, {}, None)
    entry = rig.model.devices["camera"].model_copy(update={"link": "http://127.0.0.1:1"})
    settings = rig.settings("camera", rig.kind("camera").driver.Settings)
    with pytest.raises(LinkError):
        made.stream("camera", entry, settings.largest_image)
    assert asked == [messages]
