"""The Lake Shore 336 in front of the world, asked as a host asks it."""

from __future__ import annotations

import pytest

from drivers.clock import VirtualClock
from drivers.links import MemoryLink
from simulators.boxes.cryostat import platinum
from tests.drivers.golden import golden, pairs
from tests.simulators.cold_bench import ColdWorld, a_server


class Host:
    """Sends lines and keeps the spacing."""

    def __init__(self, *, spacing: float = 0.05) -> None:
        self.clock = VirtualClock()
        self.world = ColdWorld(self.clock)
        self.server = a_server(self.world, spacing=spacing)
        self.link = MemoryLink("cryostat", self.server, self.clock)
        self.says("*CLS")

    def says(self, line: str, *, end: str = "\n", rest: float = 0.06) -> str:
        self.link.write((line + end).encode("ascii"))
        reply = self.link.read(0.1)
        self.clock.sleep(rest)
        assert reply.endswith(b"\r\n") or not reply
        return reply.decode("ascii").removesuffix("\r\n")


@pytest.fixture
def host() -> Host:
    return Host()


def test_the_power_on_event_is_there_until_it_is_read_once() -> None:
    clock = VirtualClock()
    link = MemoryLink("cryostat", a_server(ColdWorld(clock)), clock)
    link.write(b"*ESR?\n")
    assert link.read(0.1) == b"128\r\n"
    clock.sleep(0.06)
    link.write(b"*ESR?\n")
    assert link.read(0.1) == b"000\r\n"


def test_what_the_makers_client_sends_is_answered_in_form(host: Host) -> None:
    for request, reply in pairs(golden("lakeshore", "client")):
        found = host.says(request.decode().strip())
        assert [len(part) for part in found.split(";")] == [len(part) for part in reply.decode().strip().split(";")]
        assert found.split(";")[-1] == reply.decode().strip().split(";")[-1]


@pytest.mark.parametrize(
    ("line", "end"), [("krdg? a", "\n"), ("KRDG? A", "\r\n"), (" KRDG? A ", "\n"), (":KRDG? A", "\n")]
)
def test_case_and_line_ends_do_not_matter(host: Host, line: str, end: str) -> None:
    assert host.says(line, end=end).startswith("+29")


def test_a_line_may_come_in_pieces(host: Host) -> None:
    for piece in (b"KR", b"DG? A", b"\r"):
        host.link.write(piece)
        assert host.link.read(0.1) == b""
    host.link.write(b"\n")
    assert host.link.read(0.1).startswith(b"+29")


def test_empty_lines_are_nothing(host: Host) -> None:
    assert host.says("") == ""
    assert host.says("\r") == ""
    assert host.says("*ESR?") == "000"


def test_a_command_answers_nothing(host: Host) -> None:
    assert host.says("SETP 1,100.0") == ""
    assert host.says("SETP? 1") == "+100.000"


@pytest.mark.parametrize(
    ("line", "register"),
    [
        ("FOO?", "032"),
        ("KRDG?", "032"),
        ("SETP 1", "032"),
        ("SETP 1,hot", "032"),
        ("\x01KRDG? A", "032"),
        ("KRDG? E", "016"),
        ("RANGE 1,7", "016"),
        ("RANGE 3,2", "016"),
        ("RAMP 1,1,0.05", "016"),
        ("RAMP 1,1,101", "016"),
        ("HTR? 3", "016"),
        ("OUTMODE 1,3,1,0", "016"),
        ("OUTMODE 1,1,2,0", "016"),
        ("PID 1,0,20,0", "016"),
    ],
)
def test_what_the_box_cannot_do_is_silent_and_in_the_event_register(host: Host, line: str, register: str) -> None:
    assert host.says(line) == ""
    assert host.says("*ESR?") == register
    assert host.says("*ESR?") == "000"


def test_a_broken_question_costs_its_answer_but_not_its_neighbours(host: Host) -> None:
    assert host.says("KRDG? A;FOO?;RANGE? 1;*ESR?").split(";")[1:] == ["0", "032"]


def test_a_message_too_early_is_lost_on_the_serial_line(host: Host) -> None:
    host.says("RANGE 1,1", rest=0.0)
    assert host.says("RANGE? 1", rest=0.0) == "1"  # the wait for no answer was spacing enough
    assert host.says("RANGE? 1") == ""
    assert host.says("RANGE? 1") == "1"


def test_over_ethernet_no_spacing_is_needed() -> None:
    host = Host(spacing=0.0)
    assert [host.says("RANGE? 1", rest=0.0) for _ in range(3)] == ["0", "0", "0"]


def test_an_open_sensor_reads_zero_and_only_its_status_tells(host: Host) -> None:
    host.world.cryostat.open_sensor("shield")
    assert host.says("RDGST? B;KRDG? B") == "128;+000.000"
    assert host.says("RDGST? A").startswith("000")
    assert host.says("KRDG? 0").split(",")[1:] == ["+000.000"] * 3


def test_the_three_units_of_a_reading_agree(host: Host) -> None:
    kelvin, celsius, ohms = (float(part) for part in host.says("KRDG? A;CRDG? A;SRDG? A").split(";"))
    assert celsius == pytest.approx(kelvin - 273.15, abs=0.3)  # 20 mK of noise in each
    assert ohms == pytest.approx(platinum(kelvin), abs=0.1)


@pytest.mark.parametrize(("kelvin", "ohms"), [(73.15, 18.52), (173.15, 60.26), (273.15, 100.0), (295.15, 108.57)])
def test_platinum_follows_iec_60751(kelvin: float, ohms: float) -> None:
    # table of IEC 60751: -200, -100, 0 and 22 degC
    assert platinum(kelvin) == pytest.approx(ohms, abs=0.01)


def test_a_ramp_starts_from_the_old_set_point_and_not_from_the_temperature(host: Host) -> None:
    host.says("SETP 1,200")
    host.says("RAMP 1,1,10")
    host.says("SETP 1,150")
    assert host.says("RAMPST? 1") == "1"
    host.clock.sleep(60.0)
    assert float(host.says("SETP? 1")) == pytest.approx(190.0, abs=0.4)
    assert float(host.says("KRDG? A")) > 280.0
    host.clock.sleep(300.0)
    assert host.says("SETP? 1;RAMPST? 1") == "+150.000;0"


def test_without_a_range_nothing_heats(host: Host) -> None:
    host.says("SETP 1,310")
    host.clock.sleep(60.0)
    assert host.says("HTR? 1") == "+000.0"
    host.says("RANGE 1,3")
    host.clock.sleep(5.0)
    assert float(host.says("HTR? 1")) > 50.0
    assert host.world.cryostat.heater_power() > 5.0  # W of the 10 the high range has


def test_the_off_mode_stops_the_heater_whatever_its_range(host: Host) -> None:
    host.says("SETP 1,310;RANGE 1,3;OUTMODE 1,0,0,0")
    host.clock.sleep(5.0)
    assert host.says("HTR? 1") == "+000.0"
    host.says("OUTMODE 1,1,1,0")
    host.clock.sleep(5.0)
    assert float(host.says("HTR? 1")) > 0.0


def test_beyond_the_temperature_limit_all_heaters_go_off(host: Host) -> None:
    host.says("TLIMIT A,298;SETP 1,310;RANGE 1,3")
    for _ in range(60):
        host.clock.sleep(5.0)
        host.says("")
    assert host.says("RANGE? 1") == "0"


def test_an_alarm_latches_until_it_is_reset(host: Host) -> None:
    for letter, latch in (("A", 1), ("B", 0)):
        host.says(f"ALARM {letter},1,290.0,0,0,{latch},0,1")
    host.says("")
    assert host.says("ALARMST? A;ALARMST? B") == "1,0;1,0"
    host.clock.sleep(3600.0)  # both are far below 290 K now
    assert host.says("ALARMST? A;ALARMST? B") == "1,0;0,0"
    host.says("ALMRST")
    assert host.says("ALARMST? A") == "0,0"


def test_an_alarm_that_is_off_tells_nothing(host: Host) -> None:
    host.says("ALARM A,1,290.0,0,0,1,0,1")
    host.says("ALARM A,0,,,,,,")
    assert host.says("ALARM? A").startswith("0,")
    assert host.says("ALARMST? A") == "0,0"


def test_a_reset_leaves_the_heaters_off(host: Host) -> None:
    host.says("SETP 1,310;RANGE 1,3;*RST")
    assert host.says("RANGE? 1") == "0"
    assert host.world.cryostat.heater_limit == 0.0


def test_what_is_set_is_what_is_read(host: Host) -> None:
    for command, question, answer in (
        ("PID 1,40.0,15.0,5.0", "PID? 1", "+0040.0,+0015.0,+0005.0"),
        ('INNAME A,"cold stage "', "INNAME? A", "cold stage     "),
        ("TLIMIT B,350.0", "TLIMIT? B", "+350.000"),
        ("HTRSET 1,2,0,0.5,1", "HTRSET? 1", "2,0,+0.500,1"),
        ("MOUT 2,12.5", "MOUT? 2", "+012.50"),
        ("SETP 2,50", "SETP? 2", "+050.000"),
        ("RAMP 2,1,7.5", "RAMP? 2", "1,7.5"),
        ("OUTMODE 3,4,2,0", "OUTMODE? 3", "4,2,0"),
        ("LOCK 1,321", "LOCK?", "1,321"),
        ("MODE 1", "MODE?", "1"),
        ("*ESE 60", "*ESE?", "060"),
        ("*SRE 32", "*SRE?", "032"),
    ):
        assert host.says(f"{command};*ESR?") == "000", command
        assert host.says(question) == answer


def test_the_status_byte_sums_up_the_events_that_are_asked_for(host: Host) -> None:
    assert host.says("FOO?;*STB?") == "000"
    assert host.says("*ESE 32;*STB?") == "032"
    assert host.says("*ESR?;*STB?") == "032;000"


def test_a_host_that_went_leaves_no_answer_for_the_next(host: Host) -> None:
    host.link.write(b"KRDG? A\n")
    host.link.close()
    again = MemoryLink("cryostat", host.server, host.clock)
    assert again.read(0.1) == b""


def test_a_server_made_anew_shows_the_range_and_ramp_that_the_stage_is_under(host: Host) -> None:
    """As after a kill: the box was never switched off."""
    for line in ("RAMP 1,1,5.0", "SETP 1,250", "RANGE 1,2"):
        host.says(line)
    host.server = a_server(host.world, spacing=0.05)
    host.link = MemoryLink("cryostat", host.server, host.clock)
    assert (host.says("RANGE? 1"), host.says("RAMP? 1")) == ("2", "1,5.0")
    assert host.says("RANGE? 2") == "0"
