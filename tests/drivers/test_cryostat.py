"""The cryostat driver against transcripts of the manual."""

from __future__ import annotations

from itertools import pairwise

import pytest

from drivers.clock import VirtualClock
from drivers.cryostat import Cryostat, CryostatSettings
from drivers.errors import Aborted, DeviceError, InterlockError, LimitError, LinkTimeout, WireError
from drivers.links import MemoryLink
from tests.drivers.golden import Line, golden
from tests.drivers.scripted import Scripted
from tests.simulators.cold_bench import a_driver

SETTINGS = CryostatSettings(inputs={"stage": "A"}, settle=0.0)
RATE = 10.0 / 60.0  # K/s
READ = b"RDGST? A;KRDG? A;KRDG? A\n"
WHO = [(">", b"*IDN?;*ESR?\n"), ("<", b"LSCI,MODEL336,LSA3361/LSO3362,2.9;000\r\n")]
OFF = golden("lakeshore", "off")


def talk(lines: list[Line]) -> tuple[Cryostat, Scripted, MemoryLink]:
    clock = VirtualClock()
    box = Scripted(clock, lines)
    link = MemoryLink("cryostat", box, clock)
    return a_driver(link, SETTINGS), box, link


def reading(kelvin: str, bits: str = "000") -> list[Line]:
    return [(">", READ), ("<", f"{bits};{kelvin};{kelvin}\r\n".encode())]


def test_opening_asks_who_is_there_and_how_it_is_set_up() -> None:
    cryostat, box, _ = talk(golden("lakeshore", "open"))
    cryostat.open()
    box.finish()


@pytest.mark.parametrize(
    ("at", "reply", "said"),
    [
        (0, b"LSCI,MODEL218S,218065,3.1\r\n", "not a Lake Shore 335 or 336"),
        (0, b"ACME,MODEL336,1,1\r\n", "not a Lake Shore 335 or 336"),
        (2, b"0,1,0\r\n", "does not control the stage"),
        (2, b"1,2,0\r\n", "does not control the stage"),
        (3, b"2,1,0,1,2\r\n", "not in kelvin"),
    ],
)
def test_opening_refuses_a_box_that_is_not_as_the_rig_file_says(at: int, reply: bytes, said: str) -> None:
    lines = [*golden("lakeshore", "open")[: 2 * at + 1], ("<", reply)]
    cryostat, box, _ = talk(lines)
    with pytest.raises(DeviceError, match=said):
        cryostat.open()
    box.finish()


def test_a_temperature_is_read_twice_behind_its_status() -> None:
    cryostat, box, _ = talk(golden("lakeshore", "temperature"))
    assert cryostat.temperature() == 77.352
    box.finish()


@pytest.mark.parametrize(("bits", "why"), [("001", "INVALID"), ("016", "TOO_COLD"), ("128", "SENSOR_OVERRANGE")])
def test_a_reading_whose_status_is_bad_is_no_temperature(bits: str, why: str) -> None:
    cryostat, _, _ = talk(reading("+077.350", bits))
    with pytest.raises(DeviceError, match=why) as failure:
        cryostat.temperature()
    assert str(failure.value) == (
        f"cryostat: temperature the sensor of the stage on input A gives no temperature ({why}). "
        "Is the lead of input A plugged in?"
    )


def test_two_readings_that_differ_are_asked_for_again_and_then_refused() -> None:
    apart: list[Line] = [(">", READ), ("<", b"000;+077.350;+097.350\r\n")]
    cryostat, box, _ = talk(apart + reading("+077.350"))
    assert cryostat.temperature() == 77.35
    box.finish()
    cryostat, box, _ = talk(apart + apart)
    with pytest.raises(WireError, match=r"97\.35"):
        cryostat.temperature()
    box.finish()


@pytest.mark.parametrize("kelvin", ["+000.000", "+003.999", "+400.001"])
def test_a_temperature_no_sensor_can_have_is_an_error(kelvin: str) -> None:
    cryostat, _, _ = talk(reading(kelvin) + reading(kelvin))
    with pytest.raises(WireError):
        cryostat.temperature()


def test_a_lost_reading_is_asked_for_once_more_after_the_box_was_recognised() -> None:
    cryostat, box, _ = talk([(">", READ), *WHO, *reading("+077.350")])
    assert cryostat.temperature() == 77.35
    box.finish()


def test_a_late_answer_is_never_the_next_answer() -> None:
    late: list[Line] = [(">", READ), ("~", b"0.52"), ("<", b"000;+295.000;+295.000\r\n")]
    cryostat, box, _ = talk([*late, *WHO, *reading("+077.350")])
    assert cryostat.temperature() == 77.35
    box.finish()


def test_an_answer_later_than_the_next_question_is_read_over() -> None:
    lines: list[Line] = [
        (">", READ),
        (">", b"*IDN?;*ESR?\n"),
        ("~", b"0.1"),
        ("<", b"000;+295.000;+295.000\r\n"),
        ("<", b"LSCI,MODEL336,LSA3361/LSO3362,2.9;000\r\n"),
        *reading("+077.350"),
    ]
    cryostat, box, _ = talk(lines)
    assert cryostat.temperature() == 77.35
    box.finish()


def test_a_box_that_never_answers_is_a_time_out_that_names_device_and_action() -> None:
    cryostat, _, _ = talk([(">", READ), (">", b"*IDN?;*ESR?\n")])
    with pytest.raises(LinkTimeout, match="cryostat: "):
        cryostat.temperature()


def test_messages_are_50_ms_apart() -> None:
    cryostat, box, _ = talk(reading("+077.350") * 4)
    for _ in range(4):
        cryostat.temperature()
    times = [time for time, _ in box.requests]
    assert all(after - before >= 0.05 for before, after in pairwise(times))


def test_a_ramp_starts_at_the_temperature_and_heats_only_then() -> None:
    cryostat, box, _ = talk(golden("lakeshore", "ramp") + golden("lakeshore", "held"))
    cryostat.set_temperature(100.0, RATE)
    box.finish()


@pytest.mark.parametrize("values", [(79.9, RATE), (310.1, RATE), (float("nan"), RATE), (100.0, 0.4), (100.0, -RATE)])
def test_beyond_the_limits_not_a_byte_is_sent(values: tuple[float, float]) -> None:
    cryostat, box, _ = talk([])
    with pytest.raises(LimitError):
        cryostat.set_temperature(*values)
    assert not box.requests


@pytest.mark.parametrize("tolerance", [float("nan"), float("inf"), -1.0])
def test_a_tolerance_that_is_no_number_is_refused(tolerance: float) -> None:
    cryostat, box, _ = talk([])
    with pytest.raises(LimitError, match="tolerance"):
        cryostat.set_temperature(100.0, RATE, tolerance)
    assert not box.requests


def test_a_tolerance_tighter_than_two_readings_agree_is_refused() -> None:
    cryostat, _, _ = talk([])
    with pytest.raises(LimitError, match=r"tolerance of 0\.1 K; .* Choose a tolerance of 0\.2 K or more\."):
        cryostat.set_temperature(100.0, RATE, tolerance=0.1)


def test_an_interlock_forbids_before_a_byte_is_sent_but_never_the_safe_state() -> None:
    clock = VirtualClock()
    box = Scripted(clock, OFF)

    def guard(command: str) -> None:
        raise InterlockError(f"refused: {command}")

    cryostat = a_driver(MemoryLink("cryostat", box, clock), SETTINGS, guard=guard)
    for act in (lambda: cryostat.set_temperature(100.0, RATE), cryostat.heater_off):
        with pytest.raises(InterlockError, match=r"cryostat\."):
            act()
    assert not box.requests
    cryostat.make_safe()
    box.finish()


def test_the_slowest_step_of_the_box_never_makes_a_ramp_faster_than_asked() -> None:
    lines = golden("lakeshore", "ramp")
    lines = [(mark, data.replace(b"10.0", b"9.9")) for mark, data in lines]
    cryostat, box, _ = talk(lines + golden("lakeshore", "held"))
    cryostat.set_temperature(100.0, 9.99 / 60.0)
    box.finish()


@pytest.mark.parametrize(
    ("register", "said"),
    [
        ("016", r'refused "RAMP 1,0,10\.0;SETP 1,90\.012" \(EXECUTION_ERROR\)\. Does the controller allow it '),
        ("032", r'refused "RAMP 1,0,10\.0;SETP 1,90\.012" \(COMMAND_ERROR\)\. Does the controller allow it '),
        ("128", r"switched off and on again\. Find out why, then "),
    ],
)
def test_a_refused_command_leaves_the_heater_off(register: str, said: str) -> None:
    start = golden("lakeshore", "ramp")[:4]
    start[3] = ("<", start[3][1].replace(b";000", b";" + register.encode()))
    cryostat, box, _ = talk(start + OFF)
    with pytest.raises(DeviceError, match=said):
        cryostat.set_temperature(100.0, RATE)
    box.finish()


@pytest.mark.parametrize(
    ("at", "old", "new"), [(3, b"+090.012", b"+190.012"), (5, b"1,10.0", b"1,90.0"), (9, b"3;", b"2;")]
)
def test_what_does_not_read_back_as_sent_leaves_the_heater_off(at: int, old: bytes, new: bytes) -> None:
    start = golden("lakeshore", "ramp")[: at + 1]
    start[at] = ("<", start[at][1].replace(old, new))
    cryostat, box, _ = talk(start + OFF)
    with pytest.raises(DeviceError, match="reads back"):
        cryostat.set_temperature(100.0, RATE)
    box.finish()


def test_a_command_whose_verdict_is_lost_is_never_sent_again() -> None:
    start = golden("lakeshore", "ramp")[:7]  # the answer to SETP 1,100.000;*ESR? never comes
    cryostat, box, _ = talk([*start, *WHO, *OFF])
    with pytest.raises(LinkTimeout):
        cryostat.set_temperature(100.0, RATE)
    box.finish()
    assert [data for _, data in box.requests].count(b"SETP 1,100.000;*ESR?\n") == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("+095.000;0;1;0", "heater range became 0"),
        ("+095.000;3;1;1", "heater is open"),
        ("+095.000;3;1;2", "heater is shorted"),
        ("+115.000;3;1;0", "not on the way"),
        ("+080.000;3;1;0", "not on the way"),
    ],
)
def test_a_ramp_that_somebody_changed_leaves_the_heater_off(answer: str, said: str) -> None:
    lines = golden("lakeshore", "ramp") + reading("+091.000")
    lines += [(">", b"SETP? 1;RANGE? 1;RAMPST? 1;HTRST? 1\n"), ("<", answer.encode() + b"\r\n")]
    cryostat, box, _ = talk(lines + OFF)
    with pytest.raises(DeviceError, match=said):
        cryostat.set_temperature(100.0, RATE)
    box.finish()


def test_a_heater_that_stays_on_is_an_error() -> None:
    cryostat, _, _ = talk([(">", b"RANGE 1,0;RANGE? 1\n"), ("<", b"3\r\n")])
    with pytest.raises(DeviceError, match="by hand"):
        cryostat.heater_off()


def test_the_heater_goes_off_even_when_an_abort_is_due() -> None:
    cryostat, box, link = talk([*WHO, *OFF])
    link.abort.set()
    with pytest.raises(Aborted):
        cryostat.heater_off()
    cryostat.make_safe()
    box.finish()


def test_switching_off_is_said_at_last_to_a_box_that_does_not_answer() -> None:
    cryostat, box, _ = talk([OFF[0], WHO[0], (">", b"RANGE 1,0\n")])
    with pytest.raises(LinkTimeout):
        cryostat.make_safe()
    box.finish()


def test_switching_off_is_said_again_when_its_answer_is_lost() -> None:
    cryostat, box, _ = talk([OFF[0], *WHO, *OFF])
    cryostat.make_safe()
    box.finish()


def test_settings_need_a_stage_and_an_input_for_each_sensor() -> None:
    with pytest.raises(ValueError, match="stage"):
        CryostatSettings(inputs={"shield": "B"})
    with pytest.raises(ValueError, match="share"):
        CryostatSettings(inputs={"stage": "A", "shield": "A"})
