"""Every fault on either line of a camera: an image is right or reported missing, a request right or named; in time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from drivers.camera import CameraSettings, Prepared, Tally
from drivers.errors import DeviceError, LinkError, WireError
from drivers.links import Fault, FaultKind, MemoryMessages, Message, one_of_each
from drivers.wire import simplon_stream
from drivers.wire.simplon_frames import CHANNEL, StreamEnd, StreamImage
from tests.drivers.camera_bench import LEGACY, SETTINGS, CameraBench, camera_bench
from tests.faults.test_link_faults import name_of

IMAGES = 8
EVERY = 10e-3  # s
NAMED = (LinkError, WireError, DeviceError)
MESSAGES = frozenset(set(FaultKind) - {FaultKind.STALL, FaultKind.JITTER, FaultKind.REORDER})
STREAMS = pytest.mark.parametrize("settings", [SETTINGS, LEGACY], ids=["V2", "V1"])
Outcome = tuple[list[StreamImage], Tally] | None


def _of_messages(*, forever: bool) -> list[Fault]:
    """Late messages come after their followers: images are 10 ms apart."""
    return [fault for fault in one_of_each(forever=forever, seconds=0.025) if fault.kind in MESSAGES]


def _series(settings: CameraSettings, messages: list[Fault], seed: int = 1) -> Outcome:
    """What a series comes to; None where a named error was raised. It can be made safe in any case."""
    bench = camera_bench(settings, messages=messages, seed=seed)
    bench.prepare(IMAGES, EVERY, gated=True)
    began = bench.clock.now()
    try:
        bench.camera.arm("e")
        bench.lamp.gates(EVERY, IMAGES)
        found: Outcome = bench.read()
    except NAMED as error:
        assert error.device == "camera"
        assert error.action
        found = None
    assert bench.clock.now() - began < 15.0
    bench.camera.make_safe()
    assert bench.server._state(bench.clock.now()) == "idle"
    return found


@cache
def _true() -> dict[int, bytes]:
    images, _ = camera_bench().gated(IMAGES, EVERY)
    return {one.image: one.channels[CHANNEL].data for one in images}


def _see_in_place(found: tuple[list[StreamImage], Tally]) -> None:
    """Each image is in its place, none comes twice, and all others are reported."""
    images, tally = found
    numbers = [one.image for one in images]
    told = [number for first, last in tally.missing for number in range(first, last + 1)]
    assert sorted(numbers + told) == list(range(IMAGES))
    for one in images:
        assert round(one.start[0] / one.start[1] / EVERY) == one.image


@STREAMS
@pytest.mark.parametrize("fault", _of_messages(forever=False) + _of_messages(forever=True), ids=name_of)
def test_every_image_is_right_or_reported_missing(settings: CameraSettings, fault: Fault) -> None:
    for transfer in (1, 2, 5, IMAGES + 1, IMAGES + 2):  # the start, images, the end
        struck = Fault(fault.kind, transfer, fault.forever, fault.after, fault.seconds, fault.longest)
        found = _series(settings, [struck], seed=transfer)
        if found is not None:
            _see_in_place(found)
            if fault.kind is not FaultKind.GARBLE:  # TCP's checksum is all that watches over pixels
                assert all(one.channels[CHANNEL].data == _true()[one.image] for one in found[0])


@pytest.mark.parametrize("kind", [FaultKind.LOSS, FaultKind.TRUNCATION])
def test_one_lost_or_broken_message_is_one_missing_image(kind: FaultKind) -> None:
    found = _series(SETTINGS, [Fault(kind, 6)])
    assert found is not None
    assert found[1].missing == ((4, 4),)
    assert (found[1].received, found[1].broken) == (IMAGES - 1, kind is FaultKind.TRUNCATION)


def test_doubled_and_late_messages_lose_nothing() -> None:
    found = _series(SETTINGS, [Fault(FaultKind.TWICE, 3, seconds=0.02), Fault(FaultKind.DELAY, 5, seconds=0.025)])
    assert found is not None
    assert found[1].whole
    assert (found[1].twice, found[1].late) == (1, 1)


def test_a_lost_start_costs_no_dose() -> None:
    bench = camera_bench(messages=[Fault(FaultKind.LOSS, 1)])
    with pytest.raises(LinkError, match="start of series"):
        bench.gated(IMAGES, EVERY)
    assert bench.server.stream.series is not None
    assert not bench.server.stream.begun(bench.clock.now())


def test_a_lost_end_costs_only_time() -> None:
    found = _series(SETTINGS, [Fault(FaultKind.LOSS, IMAGES + 2)])
    assert found is not None
    assert found[1].whole
    assert not found[1].ended


def test_a_flipped_bit_puts_no_image_in_another_place() -> None:
    for seed in range(40):
        found = _series(SETTINGS, [Fault(FaultKind.GARBLE, 4)], seed=seed)
        assert found is not None
        _see_in_place(found)


# --- requests


def _configured(bench: CameraBench) -> object:
    return bench.camera.configure(IMAGES, EVERY, gated=False)


def _armed(bench: CameraBench) -> object:
    return bench.camera.arm("e")


def _safe(bench: CameraBench) -> object:
    bench.camera.make_safe()
    return bench.server._state(bench.clock.now())


def _state(bench: CameraBench) -> object:
    return bench.camera.status()["state"]


RIGHT = Prepared(IMAGES, False, EVERY, EVERY - 100e-9, 32, (128, 128))
CALLS = [
    pytest.param(_configured, RIGHT, id="configure"),
    pytest.param(_armed, 1, id="arm"),
    pytest.param(_safe, "idle", id="make_safe"),
    pytest.param(_state, "ready", id="status"),
]


@pytest.mark.parametrize("fault", one_of_each() + one_of_each(forever=True), ids=name_of)
@pytest.mark.parametrize(("call", "right"), CALLS)
def test_a_request_ends_in_a_named_error_or_the_right_value_in_time(
    call: Callable[[CameraBench], object], right: object, fault: Fault
) -> None:
    for transfer in (1, 2, 5):
        struck = Fault(fault.kind, transfer, fault.forever, fault.after, fault.seconds, fault.longest)
        bench = camera_bench(requests=[struck], seed=transfer)
        bench.prepare(IMAGES, EVERY, gated=False)
        if call in (_safe, _state):
            bench.server.stream.begin(bench.server._armed(bench.clock.now()))
        began = bench.clock.now()
        try:
            assert call(bench) == right
        except NAMED as error:
            assert error.device == "camera"
            assert error.action
        assert bench.clock.now() - began < 60.0
        assert not bench.camera._control.link.in_transaction


def test_a_series_ends_though_messages_of_others_never_do() -> None:
    bench = camera_bench()
    bench.camera.configure(3, 1e-3, gated=True)
    bench.camera.arm("e")

    class Babbling:
        def connected(self) -> None: ...

        def disconnected(self) -> None: ...

        def due(self) -> float:
            return bench.clock.now() + 0.1

        def send(self) -> Message:
            return simplon_stream.encode(StreamEnd(999, "another"))

    bench.camera._stream = MemoryMessages("camera", Babbling(), bench.clock, bench.abort)
    before = bench.clock.now()
    tally = bench.camera.finish()
    assert tally.foreign > 20 and tally.missing == ((0, 2),)
    assert bench.clock.now() - before < 120.0
