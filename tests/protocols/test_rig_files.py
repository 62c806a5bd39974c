"""A rig file: every fault has its line, and a rig opens completely or not at all."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import protocols.rig as composition
from drivers.clock import VirtualClock
from drivers.errors import InterlockError, LinkError
from drivers.links import AbortFlag, Fault, FaultKind, FaultyLink
from protocols.rig import Rig, RigFileError, RigText, load_rig, open_rig, read_rig, shipped_rigs

SHIPPED = load_rig("bench").text
DATES = "taken: at opening"


def changed(old: str, new: str) -> str:
    """The shipped rig file with one thing changed."""
    assert old in SHIPPED
    return SHIPPED.replace(old, new, 1)


def line_of(part: str, text: str = SHIPPED) -> int:
    """The line on which a text stands, counted from 1."""
    return text[: text.index(part)].count("\n") + 1


def refused(text: str) -> str:
    """The message with which a rig file is refused; every line of it begins with the file, a line and a column."""
    with pytest.raises(RigFileError) as caught:
        read_rig(text, "my.yaml")
    for line in str(caught.value).splitlines():
        assert re.match(r"rig my.yaml line \d+, column \d+: .", line)
    return str(caught.value)


def opened(rig: RigText, clock: VirtualClock | None = None) -> Rig:
    """The rig, open, in virtual time."""
    clock = clock or VirtualClock()
    return open_rig(rig, clock=clock, abort=AbortFlag(), wait=clock.sleep, latched=lambda: False, seed=1, sample=None)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("rig: 1", "rig: 2", "Input should be 1"),
        ("name: bench", "nmae: bench", "nmae: Extra inputs are not permitted"),
        ("station: stem", "station: attic", "devices.cryostat.station"),
        ("settings:", "setings:", "devices.cryostat.setings: Extra inputs"),
        ("driver: lakeshore", "driver: lakeshoer", 'there is no driver "lakeshoer". Drivers: lakeshore,'),
        ("inputs: {stage: A, shield: B}", "inputs: {stage: A, shield: A}", "two sensors cannot share an input"),
        ("output: 1", "output: 3", "output: Input should be 1 or 2"),
        ("output: 1", "otuput: 1", "otuput: Extra inputs"),
        ("[85 K, 310 K]", "[310 K, 85 K]", "the lower temperature comes first"),
        ("[0.1 K/min, 20 K/min]", "[20 K/min, 0.1 K/min]", "the slower one first"),
        ("[125 ns, 8 ms]", "[8 ms, 125 ns]", "the shorter one first"),
        ("frame_time: 10 s", "frame_time: 0 s", "a frame takes time"),
        ("full_field: 3.2 um", "full_field: 3.2", 'Did you mean "3.2 nm"?'),
        ("channels: 1024", "channels: 1000", "channels: Input should be 256"),
        ("beam_energy: 200 keV", "beam_energy: 0 keV", "optics.beam_energy: Input should be greater than 0"),
        ("[25 mrad, 100 mrad]", "[100 mrad, 25 mrad]", "the inner angle of the dark field comes first"),
        ("0.9 sr", "20 sr", "optics.eds_solid_angle: Input should be less than"),
        ("value: 200 pA", "value: 0 pA", "beam_current.value: Input should be greater than 0"),
        ("uncertainty: 5 %", "uncertainty: -5 %", "beam_current.uncertainty: Input should be greater"),
        ("uncertainty: 5 %", "uncertainty: 100 %", "beam_current.uncertainty: Input should be less than 1"),
        ("valid_for: 12 h", "valid_for: 12", 'Did you mean "12 s"?'),
        (DATES, "taken: yesterday", "beam_current.taken"),
        ("flyback: 2.5 us", "flyback: -2.5 us", "calibrations.flyback"),
        ("sample_ceiling: 133 K", "sample_ceiling: -133 K", "below absolute zero"),
        ("size: [600 nm, 600 nm]", "size: [600 nm, 0 nm]", "positions.interface.size.1"),
        ("stem: cryostat", "stem: goniometer", 'sample_stage.stem: the rig has no device "goniometer"'),
    ],
)
def test_what_a_rig_cannot_have_is_refused_on_its_line(old: str, new: str, what: str) -> None:
    message = refused(changed(old, new))
    assert what in message
    assert f"line {line_of(old)}, " in message or old == "settings:"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("eds.sync", "edx.sync", 'names "edx.sync", but the rig has no device of that name'),
        ("scan.unblanked", "beam.unblanked", 'names "beam.unblanked", but the rig has no device of that name'),
        ("eds.sync", "eds.snyc", '"eds.snyc" is no trigger input; there is eds.sync'),
        ("scan.unblanked", "scan.blanked", '"scan.blanked" is no trigger output; there is scan.unblanked'),
        ("eds.sync", "cryostat.sync", '"cryostat.sync" is no trigger input; cryostat has none'),
    ],
)
def test_a_trigger_cable_that_ends_nowhere_is_refused_on_its_line(old: str, new: str, what: str) -> None:
    message = refused(changed(old, new))
    assert what in message
    assert f"line {line_of('from: scan.unblanked')}, " in message


def test_simulated_and_real_links_do_not_mix() -> None:
    message = refused(changed("sim:scan", "tcp://10.0.0.5:2101"))
    assert "some links are sim: and some are real" in message
    assert f"line {line_of('sim:scan')}, " in message


def test_a_simulated_link_leads_to_the_box_of_its_own_device() -> None:
    assert "is sim:scan" in refused(changed("sim:scan", "sim:eds"))


def real(text: str) -> str:
    """A rig file with real links instead of simulated ones."""
    for name, link in {"cryostat": "serial:COM3", "scan": "tcp://10.0.0.5:2101", "eds": "udp://10.0.0.6:10001"}.items():
        text = text.replace(f"sim:{name}", link)
    return re.sub(r"simulation: .*\n", "\n", text).replace(DATES, "taken: 2026-01-05T08:00:00Z")


def test_a_rig_of_real_links_is_not_simulated() -> None:
    assert not read_rig(real(SHIPPED), "my.yaml").model.simulated


def test_on_a_real_rig_a_calibration_has_a_date() -> None:
    text = real(SHIPPED).replace("taken: 2026-01-05T08:00:00Z", DATES, 1)
    assert "beam_current.taken: of a real rig a calibration has a date" in refused(text)


def test_a_rig_is_simulated_behind_every_link_or_behind_none() -> None:
    assert "needs `simulation:" in refused(re.sub(r"simulation: .*\n", "\n", SHIPPED))
    text = real(SHIPPED).replace("rig: 1\n", "rig: 1\nsimulation: {sample: li-lipon, hidden_errors: true}\n")
    assert "belongs to a rig whose links are all sim:" in refused(text)


def test_broken_yaml_and_broken_text_have_a_line_too(tmp_path: Path) -> None:
    assert "line 2, column 1: the same key stands here twice" in refused("rig: 1\nrig: 1\n")
    path = tmp_path / "my.yaml"
    path.write_bytes(b"rig: 1\nname: \xff\n")
    with pytest.raises(RigFileError, match=r"rig my.yaml line 2, column 7: is not text in UTF-8"):
        load_rig(str(path))


def test_a_rig_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(RigFileError, match=r"neither a file nor shipped. Shipped: bench, bench-exact"):
        load_rig("attic")


def test_a_sample_that_is_not_there_is_refused_on_its_line() -> None:
    with pytest.raises(RigFileError, match=r'rig my.yaml line 3, column 22: there is no sample file "unobtainium"'):
        opened(read_rig(changed("sample: li-lipon", "sample: unobtainium"), "my.yaml"))


@pytest.mark.parametrize("name", shipped_rigs())
def test_a_rig_opens_blanked_with_every_device(name: str) -> None:
    rig = opened(load_rig(name))
    assert set(rig.devices) == {"scan", "cryostat", "eds"}
    assert rig.scan.status()["blanked"] is True
    rig.close()
    assert all(link.closed for link in rig.links)


def test_what_holds_the_beam_is_opened_first_and_closed_last() -> None:
    rig = opened(load_rig("bench"))
    assert SHIPPED.index("cryostat:\n") < SHIPPED.index("scan:\n")  # however the file lists them
    assert rig.links[0].name == "scan"
    assert next(iter(rig.devices)) == "scan"


@pytest.mark.parametrize("silent", ["scan", "cryostat", "eds"])
def test_a_rig_opens_completely_or_not_at_all(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, made = composition.MemoryLink, []

    def link(name: str, *rest: object) -> object:
        inner = plain(name, *rest)
        made.append(FaultyLink(inner, [Fault(FaultKind.LOSS, forever=True)], seed=1) if name == silent else inner)
        return made[-1]

    monkeypatch.setattr(composition, "MemoryLink", link)
    with pytest.raises(LinkError, match=f"^{silent}: "):
        opened(load_rig("bench"))
    assert made
    assert all(each.closed for each in made)


def stale(age: str) -> Rig:
    """A simulated rig whose current was measured on a certain day, 2026-01-05, and is looked at `age`."""
    text = SHIPPED.replace(DATES, "taken: 2026-01-05T08:00:00Z", 1)
    return opened(read_rig(text, "my.yaml"), VirtualClock(datetime.fromisoformat(age).replace(tzinfo=UTC)))


@pytest.mark.parametrize(
    ("age", "is_stale"),
    [("2026-01-05T08:00:00", False), ("2026-01-05T19:59:00", False), ("2026-01-05T20:01:00", True)],
)
def test_a_current_calibration_is_believed_for_as_long_as_the_rig_file_says(age: str, is_stale: bool) -> None:
    assert stale(age).current_is_stale() is is_stale


def test_a_current_measured_tomorrow_is_not_believed() -> None:
    assert stale("2026-01-05T07:59:00").current_is_stale()


def test_a_stale_current_opens_no_beam() -> None:
    with pytest.raises(InterlockError, match=r"scan: start refused: the beam current was calibrated too long ago"):
        stale("2026-01-07T08:00:00").interlocks.guard("scan.start")
