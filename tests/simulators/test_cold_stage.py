"""Driver and server together: the cold stage as an operator meets it, and a line that is not perfect."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.cryostat import AGREE, CryostatSettings
from drivers.errors import Aborted, DeviceError, LinkError, WireError
from drivers.links import Peer
from drivers.links.faults import Fault, FaultKind, FaultyLink, one_of_each
from tests.simulators.cold_bench import SETTINGS, cold_bench

RATE = 10.0 / 60.0  # K/s
OPENING = 4  # messages of open()
OPENED = len(b"*IDN?\n*ESR?\nOUTMODE? 1\nINTYPE? A\n")
NOISE = 0.1  # K; five sigma of the sensors
IMPATIENT = SETTINGS.model_copy(update={"patience": 600.0})


class CommandWrong:
    """Passes all but one byte of what the host sends unharmed."""

    def __init__(self, box: Peer, at: int, byte: int) -> None:
        self._box, self._at, self._byte = box, at, byte
        self.connected, self.disconnected, self.due, self.send = box.connected, box.disconnected, box.due, box.send

    def receive(self, data: bytes) -> None:
        if 0 <= self._at < len(data):
            data = data[: self._at] + bytes([self._byte]) + data[self._at + 1 :]
        self._at -= len(data)
        self._box.receive(data)


class AnswerWrong:
    """Changes one byte of the first answer after the opening."""

    def __init__(self, box: Peer, at: int, byte: int) -> None:
        self._box, self._at, self._byte = box, at, byte
        self._answers = 0
        self.connected, self.disconnected, self.due, self.receive = (
            box.connected,
            box.disconnected,
            box.due,
            box.receive,
        )

    def send(self) -> bytes:
        data = self._box.send()
        self._answers += bool(data)
        if data and self._answers == OPENING + 1:
            data = data[: self._at] + bytes([self._byte]) + data[self._at + 1 :]
        return data


def test_the_stage_is_cooled_to_100_kelvin_and_held_there() -> None:
    bench = cold_bench()
    bench.cryostat.set_temperature(100.0, RATE)
    assert bench.stage == pytest.approx(100.0, abs=0.5)
    bench.clock.sleep(3600.0)
    assert bench.cryostat.temperature() == pytest.approx(100.0, abs=0.3)
    assert 0.0 < bench.cryostat.heater() < 0.5


def test_the_status_tells_what_an_operator_looks_at() -> None:
    bench = cold_bench()
    bench.world.cryostat.open_sensor("shield")
    status = bench.cryostat.status()
    assert status["stage"] == pytest.approx(295.0, abs=NOISE)
    assert "SENSOR_OVERRANGE" in str(status["shield"])
    assert (status["heater"], status["heater_range"], status["ramping"]) == (0.0, 0, False)


def test_temperatures_come_by_the_names_of_the_rig_file() -> None:
    bench = cold_bench()
    bench.clock.sleep(3600.0)
    found = bench.cryostat.temperatures()
    assert found.keys() == {"stage", "shield"}
    assert found["shield"] == pytest.approx(bench.world.cryostat.temperature("shield"), abs=NOISE)
    assert found["shield"] < found["stage"]


def test_a_stage_without_nitrogen_is_reported_and_its_heater_is_off() -> None:
    bench = cold_bench(settings=IMPATIENT)
    bench.world.cryostat.lose_ln2()
    with pytest.raises(DeviceError, match=r"did not reach 100\.00 K.*nitrogen"):
        bench.cryostat.set_temperature(100.0, RATE)
    assert bench.world.cryostat.heater_limit == 0.0


def test_a_sensor_that_opens_on_the_way_stops_the_ramp_and_the_heater() -> None:
    looks = 0

    def wait(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 20:
            bench.world.cryostat.open_sensor("stage")
        bench.clock.sleep(seconds)

    bench = cold_bench(wait=wait)
    with pytest.raises(DeviceError, match="sensor of the stage"):
        bench.cryostat.set_temperature(100.0, RATE)
    assert bench.world.cryostat.heater_limit == 0.0


def test_control_waits_run_between_transactions_only() -> None:
    seen: list[bool] = []

    def wait(seconds: float) -> None:
        seen.append(bench.link.in_transaction)
        bench.clock.sleep(seconds)

    bench = cold_bench(wait=wait)
    bench.cryostat.set_temperature(290.0, RATE)
    assert seen
    assert not any(seen)


def test_an_abort_ends_a_ramp_at_once_and_the_heater_can_still_be_switched_off() -> None:
    def wait(seconds: float) -> None:
        bench.clock.sleep(seconds)
        bench.link.abort.set()

    bench = cold_bench(wait=wait)
    with pytest.raises(Aborted):
        bench.cryostat.set_temperature(100.0, RATE)
    assert bench.world.cryostat.heater_limit > 0.0
    bench.cryostat.make_safe()
    assert bench.world.cryostat.heater_limit == 0.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fault", one_of_each(OPENING + 2), ids=str)
def test_a_fault_on_the_line_never_makes_a_temperature(fault: Fault, seed: int) -> None:
    bench = cold_bench(around=lambda link: FaultyLink(link, [fault], seed=seed))
    for _ in range(4):
        try:
            kelvin = bench.cryostat.temperature()
        except (LinkError, WireError, DeviceError):
            continue
        assert kelvin == pytest.approx(bench.stage, abs=AGREE + NOISE)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 20), byte=st.integers(0, 255))
def test_one_wrong_byte_in_an_answer_never_makes_a_temperature(at: int, byte: int) -> None:
    bench = cold_bench(between=lambda box: AnswerWrong(box, at, byte))
    try:
        kelvin = bench.cryostat.temperature()
    except (DeviceError, WireError):
        return  # the wrong byte was in the status: a bit that the box has, or one that it does not have
    assert kelvin == pytest.approx(bench.stage, abs=AGREE + NOISE)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 190), byte=st.integers(0x20, 0x7E))
def test_one_wrong_byte_in_a_command_is_found_or_harmless(at: int, byte: int) -> None:
    settings_ = CryostatSettings(inputs={"stage": "A"}, settle=10.0, patience=60.0)
    bench = cold_bench(settings=settings_, between=lambda box: CommandWrong(box, at + OPENED, byte))
    try:
        bench.cryostat.set_temperature(296.0, 20.0 / 60.0)
    except (LinkError, WireError, DeviceError):
        assert bench.world.cryostat.heater_limit == 0.0
    else:
        assert bench.stage == pytest.approx(296.0, abs=0.5 + NOISE)
    assert bench.stage < 297.0


def test_a_line_that_goes_silent_for_ever_is_an_error_in_seconds() -> None:
    bench = cold_bench(around=lambda link: FaultyLink(link, [Fault(FaultKind.SILENCE, OPENING + 10, True)], seed=1))
    with pytest.raises(LinkError):
        bench.cryostat.set_temperature(100.0, RATE)
    assert bench.clock.now() < 60.0
    assert bench.world.cryostat.heater_limit == 0.0  # switching off was heard, though not seen
