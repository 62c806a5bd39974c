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
from drivers.needle_settings import NeedlePosition
from drivers.ticket import Frame
from protocols.rig import Rig, open_rig
from protocols.rigtext import RigFileError, RigText, load_rig, read_rig, shipped_rigs
from tests.drivers.scan_bench import Office
from tests.protocols.small_rig import small

SHIPPED = small()
DATES = "taken: at opening"
MEASURED = f"taken: {VirtualClock().utc().isoformat()}"  # a real rig's numbers, as fresh as can be


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
        ("name: bench", "nmae: bench", "nmae: there is no such key here"),
        ("station: stem", "station: attic", "devices.cryostat.station"),
        ("settings:", "setings:", "devices.cryostat.setings: there is no such key"),
        ("driver: lakeshore", "driver: lakeshoer", 'there is no driver "lakeshoer". Drivers: lakeshore,'),
        ("inputs: {stage: A, shield: B}", "inputs: {stage: A, shield: A}", "two sensors cannot share an input"),
        ("output: 1", "output: 3", "output: Input should be 1 or 2"),
        ("output: 1", "otuput: 1", "cryostat: otuput: there is no such key"),
        ("[85 K, 310 K]", "310 K", "cryostat: limits.temperature: several values belong here, in brackets"),
        ("[85 K, 310 K]", "[85,5 K, 310 K]", "limits.temperature: 3 values instead of 2; a decimal comma is"),
        ("name: bench", "name: 7", 'name: is a text; write "7", in quotes'),
        ("[85 K, 310 K]", "[310 K, 85 K]", "limits.temperature: the lower one comes first"),
        ("[0.1 K/min, 20 K/min]", "[20 K/min, 0.1 K/min]", "limits.ramp: the lower one comes first"),
        ("[0.1 K/min, 20 K/min]", "[0.1 K/min, 200 K/min]", "limits.ramp: ramps lie between 0.1 K/min and 100 K/min"),
        ("[125 ns, 8 ms]", "[8 ms, 125 ns]", "limits.dwell: the lower one comes first"),
        ("[125 ns, 8 ms]", "[125 ns, 9 ms]", "limits.dwell: dwells lie between 125 ns and 8.192 ms"),
        ("[125 ns, 8 ms]", "[0 ns, 8 ms]", "limits.dwell: the lower one is more than zero"),
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
    assert "is sim:scan" in refused(changed("sim:scan", "sim:other"))
    assert "is the link of scan already, which is another box" in refused(changed("sim:scan", "sim:eds"))


def real(text: str) -> str:
    """A rig file with real links instead of simulated ones."""
    for name, link in {"cryostat": "serial:COM3", "scan": "tcp://10.0.0.5:2101", "eds": "udp://10.0.0.6:10001"}.items():
        text = text.replace(f"sim:{name}", link)
    return re.sub(r"simulation: .*\n", "\n", text).replace(DATES, MEASURED)


@pytest.mark.parametrize("link", ["udp://10.0.0.5:2101", "http://10.0.0.5:2101"])
def test_a_link_of_a_sort_that_the_box_does_not_speak_is_refused(link: str) -> None:
    said = refused(real(SHIPPED).replace("tcp://10.0.0.5:2101", link))
    assert f"open-beam-interface is reached at tcp://HOST:PORT or serial:PORT, not at {link}" in said


def test_a_rig_of_real_links_is_not_simulated() -> None:
    assert not read_rig(real(SHIPPED), "my.yaml").model.simulated


def test_on_a_real_rig_a_calibration_among_a_device_s_settings_has_a_date_too() -> None:
    text = load_rig("bench").text
    needle = text[text.index("  needle:\n") : text.index("wiring:\n")]
    rig = real(SHIPPED).replace("wiring:\n", needle.replace("sim:needle", "serial:COM4") + "wiring:\n")
    assert "devices.needle.settings.axes.x.taken: of a real rig a calibration has a date" in refused(rig)
    assert read_rig(rig.replace(DATES, MEASURED), "my.yaml").model.devices["needle"].driver == "kleindiek-nanocontrol"


def test_on_a_real_rig_a_calibration_has_a_date() -> None:
    text = real(SHIPPED).replace(MEASURED, DATES, 1)
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
    assert set(rig.devices) == set(rig.file.devices)
    assert rig.scan.status()["blanked"] is True
    rig.close()
    assert all(link.closed for link in rig.links)


def test_what_holds_the_beam_is_opened_first_and_closed_last() -> None:
    rig = opened(load_rig("bench"))
    assert next(iter(rig.file.devices)) == "cryostat"  # however the file lists them
    assert [link.name for link in rig.links[:2]] == list(rig.devices)[:2] == ["column", "scan"]


def test_the_column_holds_the_beam_until_the_scan_does_and_again_before_the_scan_lets_go() -> None:
    rig = opened(load_rig("bench"))
    assert rig.world is not None
    assert rig.scan.status()["blanked"] is True
    assert not rig.column.blanked()  # handed over: the scan box holds the beam
    rig.clock.sleep(10.0)
    rig.close()
    rig.clock.sleep(10.0)
    rig.world.catch_up()
    assert rig.world.truth.fluence().map.sum() == 0.0
    lone = opened(read_rig(SHIPPED, "my.yaml"))  # without a column the box lets go of its pins, and the beam is on
    assert lone.world is not None
    lone.close()
    lone.clock.sleep(10.0)
    lone.world.catch_up()
    assert lone.world.truth.fluence().map.sum() > 0.0


def test_a_blanked_column_keeps_the_scan_from_starting_and_an_open_scan_the_column_from_letting_go() -> None:
    rig = opened(load_rig("bench"))
    rig.column.blank()
    with pytest.raises(InterlockError, match="scan: start refused: the column's own blanker is closed"):
        rig.interlocks.guard("scan.start")
    rig.hand_beam_to_scan()
    rig.interlocks.guard("scan.start")
    rig.devices["scan"] = opened(read_rig(SHIPPED, "other.yaml")).scan
    rig.scan.close()
    with pytest.raises(InterlockError, match="column: release refused: the column's blanker is let go of only"):
        rig.hand_beam_to_scan()


def test_a_needle_that_nobody_knows_to_be_parked_keeps_the_stage_still_that_carries_the_sample() -> None:
    rig = opened(load_rig("bench"))
    with pytest.raises(InterlockError, match=r"chamber_stage: move_to refused: the needle stands at the sample"):
        rig.interlocks.guard("chamber_stage.move_to")
    rig.interlocks.guard("stage.reference")
    rig.needle.fix(NeedlePosition(400e-6, 0.0, 400e-6), 1e-6)
    rig.interlocks.guard("chamber_stage.move_to")


@pytest.mark.parametrize("silent", ["scan", "cryostat", "eds", "column", "camera", "stage", "needle"])
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


def aged(age: str, calibration: int = 0) -> Rig:
    """A simulated rig whose current (0) or scale (1) was measured on 2026-01-05 at 8, opened and looked at `age`."""
    parts = SHIPPED.split(DATES)
    parts[calibration] += "taken: 2026-01-05T08:00:00Z"
    parts[1 - calibration] += DATES
    return opened(read_rig("".join(parts), "my.yaml"), VirtualClock(datetime.fromisoformat(age).replace(tzinfo=UTC)))


@pytest.mark.parametrize(
    ("calibration", "age", "said"),
    [
        (0, "2026-01-05T08:00:00", None),
        (0, "2026-01-05T19:59:00", None),
        (0, "2026-01-05T20:30:00", r"beam current does not hold now.*\(measured 12\.5 h ago, valid for 12 h\)"),
        (0, "2026-01-05T07:30:00", r"beam current does not hold now.*\(dated 0\.5 h after now, valid for 12 h\)"),
        (1, "2026-02-04T07:59:00", None),
        (1, "2026-02-04T10:00:00", r"scan scale does not hold now.*\(measured 722 h ago, valid for 720 h\)"),
        (1, "2026-01-05T07:00:00", r"scan scale does not hold now.*\(dated 1 h after now, valid for 720 h\)"),
    ],
)
def test_a_calibration_opens_the_beam_for_as_long_as_the_rig_file_says(
    calibration: int, age: str, said: str | None
) -> None:
    guard = aged(age, calibration).interlocks.guard
    if said is None:
        guard("scan.start")
    else:
        with pytest.raises(InterlockError, match=f"scan: start refused: the calibration of the {said}"):
            guard("scan.start")


def test_a_rig_calibrated_as_it_opened_is_stale_after_as_long_as_any_other() -> None:
    clock = VirtualClock()
    rig = opened(load_rig("bench"), clock)
    clock.sleep(12 * 3600.0 + 1.0)
    with pytest.raises(InterlockError, match="beam current"):
        rig.interlocks.guard("scan.start")


@pytest.mark.parametrize("number", [0, 1])
def test_a_date_without_its_zone_is_no_date(number: int) -> None:
    parts = SHIPPED.split(DATES)
    parts[number] += "taken: 2026-01-05T08:00:00"
    parts[1 - number] += DATES
    message = refused("".join(parts))
    assert "taken" in message
    assert message.count("\n") == 0
    assert "taken: a date needs its time and zone, such as 2026-05-04T09:00:00+00:00" in message


# --- trigger cables


def test_an_x_ray_detector_that_hears_no_frame_begin_is_refused() -> None:
    message = refused(re.sub(r"wiring:\n.*\n", "", SHIPPED))
    assert "no trigger cables end at eds.sync, which needs one" in message
    assert f"line {line_of('driver: amptek-dp5')}, " in message


def test_two_cables_into_one_trigger_input_are_refused() -> None:
    cable = "  - {from: scan.unblanked, to: eds.sync, latency: 200 ns}\n"
    assert "2 trigger cables end at eds.sync, which needs one" in refused(changed(cable, 2 * cable))


def test_x_rays_are_timed_by_the_latency_of_the_cable() -> None:
    rig = opened(read_rig(changed("latency: 200 ns", "latency: 20 ms"), "my.yaml"))
    frame = rig.scan.commanded(Frame((0.0, 0.0), (600e-9, 600e-9), (64, 64), 20e-6))  # 82 ms
    rig.eds.arm("exposure 1")
    rig.scan.start(frame, Office().ticket(frame))
    while not rig.scan.finished():
        rig.scan.read(0.05)
    rig.clock.sleep(0.1)
    times = rig.eds.read().times
    assert times.size > 10
    assert times.min() >= 19e-3  # earlier ones came before the edge
    assert 70e-3 < times.max() < frame.seconds  # without the cable's latency the last one came at 62 ms
