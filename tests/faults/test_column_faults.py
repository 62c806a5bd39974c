"""Every fault on the way to the microscope ends, in time, in a named error or the right value; the beam never lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from drivers.clock import VirtualClock
from drivers.column import Column, GoniometerPose
from drivers.errors import DeviceError, LinkClosed, LinkTimeout, WireError
from drivers.links import AbortFlag, Fault, FaultKind, FaultyLink, HttpLink, MemoryLink, one_of_each
from drivers.ticket import Frame
from simulators.boxes.column import ColumnServer
from simulators.boxes.http import HttpPeer
from tests.drivers.scan_bench import Office, a_world
from tests.simulators.column_bench import IMAGE, SETTINGS, UM, a_driver

NAMED = (LinkTimeout, LinkClosed, WireError, DeviceError)
LONGEST = 60.0  # s of rig time: some twenty requests, each late, or two that are never answered, asked twice
SMALL = Frame(IMAGE.centre, IMAGE.size, (128, 128), 1e-6)


class Microscope:
    """One microscope to which every test opens a line of its own."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.world = a_world(self.clock)
        self.server = ColumnServer(self.world)
        self.places = count(1)

    def line(self, *faults: Fault, seed: int = 1) -> tuple[Column, FaultyLink]:
        """A driver, and the bytes below it."""
        self.clock.sleep(100.0)  # whatever is under way ends
        self.world.column.blank(True, self.clock.now())
        self.world.column.let_through(True, self.clock.now())
        peer = MemoryLink("column", HttpPeer(self.server, self.clock), self.clock, AbortFlag())
        link = FaultyLink(peer, faults, seed=seed)
        return a_driver(HttpLink(link)), link


@pytest.fixture(scope="module")
def tem() -> Microscope:
    return Microscope()


def opened(tem: Microscope, column: Column) -> None:
    column.open()
    assert tem.world.column.blanked


def blanked(tem: Microscope, column: Column) -> None:
    column.blank()
    assert tem.world.column.blanked


def released(tem: Microscope, column: Column) -> None:
    column.release()
    assert not tem.world.column.blanked


def closed(tem: Microscope, column: Column) -> None:
    column.close_valves()
    assert not tem.world.column.valves_open


def moved(tem: Microscope, column: Column) -> None:
    there = GoniometerPose(next(tem.places) % 50 * UM, 0.0, 0.0, 0.0, 0.0)
    column.move_to(there)
    assert tem.world.goniometer.place(tem.clock.now()) == pytest.approx(there.axes())
    assert not tem.world.goniometer.moving(tem.clock.now())


def read(tem: Microscope, column: Column) -> None:
    assert column.beam_energy() == 200e3
    assert column.pose().axes() == tem.world.goniometer.place(tem.clock.now())
    assert abs(column.screen_current()) < 30e-12
    assert column.blanked()


def recorded(tem: Microscope, column: Column) -> None:
    found = column.status()
    found.pop("screen_current")
    right: dict[str, Any] = tem.world.goniometer.place(tem.clock.now()) | {
        "beam_energy": 200e3,
        "blanked": True,
        "valves_open": True,
        "vacuum": "READY",
        "mode": "STEM",
        "goniometer": "READY",
        "screen": "UP",
        "stem_magnification": 320e3,
        "stem_rotation": 0.0,
        "convergence": 25e-3,
        "probe_defocus": 0.0,
    }
    # what a broken answer makes the driver write instead says so
    assert {name: value for name, value in found.items() if value != right[name]} == {
        name: value for name, value in found.items() if isinstance(value, str) and "refused" in value
    }


def taken(tem: Microscope, column: Column) -> None:
    image = column.acquire(SMALL, Office().ticket(SMALL))
    assert image.values.shape == (128, 128)
    assert tem.world.column.blanked


ACTIONS: dict[str, Callable[[Microscope, Column], None]] = {
    action.__name__: action for action in (opened, blanked, released, closed, moved, read, recorded, taken)
}


def name_of(fault: Fault) -> str:
    late = f"-{fault.seconds:g}s" if fault.seconds else ""
    return f"{fault.kind}{late}{f'-after-{fault.after}' if fault.after else ''}"


def strike(tem: Microscope, action: str, fault: Fault, seed: int) -> bool:
    """Do an action over a line with a fault; True when it was done, False after a named error."""
    column, link = tem.line(fault, seed=seed)
    began, done = tem.clock.now(), True
    try:
        ACTIONS[action](tem, column)
    except NAMED as error:
        assert error.device == "column"
        assert error.action
        done = False
    assert tem.clock.now() - began <= LONGEST + (SETTINGS.move_time if action == "moved" else 0.0)
    assert not link.in_transaction
    return done


@pytest.mark.parametrize("fault", one_of_each(), ids=name_of)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_fault_ends_in_a_named_error_or_the_right_value_in_time(tem: Microscope, action: str, fault: Fault) -> None:
    for transfer in (1, 2, 3, 5, 8):
        for forever in (False, True):
            strike(tem, action, replace(fault, transfer=transfer, forever=forever), seed=transfer)


@pytest.mark.parametrize("transfer", range(1, 22, 2))
def test_no_fault_in_an_image_leaves_the_beam_open_while_orders_arrive(tem: Microscope, transfer: int) -> None:
    for fault in one_of_each(transfer):
        strike(tem, "taken", fault, seed=transfer)
        assert tem.world.column.blanked, name_of(fault)


@pytest.mark.parametrize("fault", one_of_each(), ids=name_of)
def test_a_release_that_fails_is_taken_back_as_far_as_orders_arrive(tem: Microscope, fault: Fault) -> None:
    for transfer in range(1, 10):
        done = strike(tem, "released", replace(fault, transfer=transfer), seed=transfer)
        assert tem.world.column.blanked is not done


@pytest.mark.parametrize("kind", [k for k in FaultKind if k is not FaultKind.CLOSE])
def test_a_single_fault_costs_a_blanking_nothing_but_time(tem: Microscope, kind: FaultKind) -> None:
    for transfer, seed in [(1, 1), (2, 2), (1, 3), (2, 4)]:
        column, _ = tem.line(Fault(kind, transfer, seconds=0.2, longest=8), seed=seed)
        tem.world.column.blank(False, tem.clock.now())
        try:
            column.make_safe()
        except DeviceError as error:  # a flipped bit may turn a 200 into a refusal; then the valves were closed
            assert kind is FaultKind.GARBLE
            assert "valves were told to close" in str(error)
        assert tem.world.column.blanked
