"""PI's own Python client (proprietary: for tests only) drives our simulated PI controller over TCP."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from drivers.clock import RealClock
from drivers.pose import AXES
from simulators.boxes.stage import NAMES
from simulators.serve import Port, serve
from tests.drivers.stage_bench import StageWorld, a_server

pytestmark = pytest.mark.peer
SPEED = 20.0  # seconds of the stage a second


@pytest.fixture
def pipython() -> ModuleType:
    pytest.importorskip("pipython.pitools", reason="PI's client is not installed (pip install pipython)")
    return pytest.importorskip("pipython")


@pytest.fixture
def served() -> Iterator[tuple[StageWorld, int]]:
    """Our box in front of a stage, and its port."""
    world = StageWorld(RealClock(speed=SPEED))
    with serve(world.clock, {"stage": Port(a_server(world))}) as addresses:  # type: ignore[arg-type]
        yield world, int(addresses["stage"].rpartition(":")[2])


@pytest.fixture
def client(pipython: ModuleType, served: tuple[StageWorld, int]) -> Iterator[Any]:
    """PI's client, connected."""
    from pipython.pidevice.interfaces.pisocket import PISocket

    line = PISocket("127.0.0.1", served[1])
    with pipython.GCSDevice(gateway=line) as device:
        yield device
    line.close = lambda: None  # the device closes it again when it is forgotten, and trips over its own socket


@pytest.fixture
def ready(pipython: ModuleType, client: Any) -> Any:
    """Connected, with every servo on and every axis referenced, by PI's own start-up routine."""
    pipython.pitools.startup(client, refmodes="FRF", servostates=True)
    return client


def test_the_makers_client_recognises_our_box(client: Any) -> None:
    assert client.devname == "C-884.6DC"
    assert client.isgcs2
    assert client.axes == list(NAMES.values())
    assert client.allaxes == client.axes
    assert client.qCSV() == 2.0
    for known in ("MOV", "qPOS", "qONT", "FRF", "qFRF", "SVO", "qPUN", "IsMoving", "IsControllerReady", "StopAll"):
        assert getattr(client, f"Has{known}")(), known


def test_the_makers_client_reads_our_units_and_travel(client: Any) -> None:
    assert dict(client.qPUN()) == {"1": "mm", "2": "mm", "3": "mm", "4": "deg", "5": "deg"}
    assert client.qTMN("1")["1"] == pytest.approx(-6.0)
    assert client.qTMX("5")["5"] == pytest.approx(70.0, abs=0.01)
    assert list(client.qTMX(["3", "1"])) == ["3", "1"]
    assert client.qVEL("1")["1"] == pytest.approx(2.0)


def test_the_makers_client_references_our_axes(pipython: ModuleType, client: Any) -> None:
    assert not any(client.qFRF().values())
    with pytest.raises(pipython.GCSError) as refused:
        client.MOV("1", 1.0)
    assert refused.value.val == 5  # move without reference or servo
    pipython.pitools.startup(client, refmodes="FRF", servostates=True)
    assert all(client.qFRF().values())
    assert all(client.qSVO().values())
    assert all(abs(value) < 0.01 for value in client.qPOS().values())


def test_the_makers_client_moves_and_waits_on_target(
    pipython: ModuleType, ready: Any, served: tuple[StageWorld, int]
) -> None:
    targets = {"1": 1.25, "2": -0.5, "3": 0.75, "4": 12.0, "5": -20.0}
    ready.MOV(targets)
    assert any(ready.IsMoving().values())
    assert not all(ready.qONT().values())
    pipython.pitools.waitontarget(ready, timeout=20)
    assert all(ready.qONT().values())
    assert not any(ready.IsMoving().values())
    assert dict(ready.qMOV()) == targets
    for axis, value in ready.qPOS().items():
        assert value == pytest.approx(targets[axis], abs=0.001)
    world, _ = served
    true = world.stage.pose(world.clock.now()).axes()
    assert [true[axis] for axis in AXES[:3]] == pytest.approx([1.25e-3, -0.5e-3, 0.75e-3], abs=1e-5)


def test_the_makers_client_moves_to_the_middle(pipython: ModuleType, ready: Any) -> None:
    pipython.pitools.moveandwait(ready, ["1", "5"], [2.0, 10.0], timeout=20)
    assert ready.qPOS("1")["1"] == pytest.approx(2.0, abs=0.001)
    assert ready.qPOS("5")["5"] == pytest.approx(10.0, abs=0.01)


def test_the_makers_client_stops_a_motion(pipython: ModuleType, ready: Any) -> None:
    for stop, target in (("StopAll", 5.0), ("STP", -5.0), ("HLT", 5.0)):
        before = ready.qPOS("1")["1"]
        ready.MOV("1", target)
        with pytest.raises(pipython.GCSError) as stopped:
            getattr(ready, stop)()
        assert stopped.value.val == 10  # stopped by command
        here = ready.qPOS("1")["1"]
        assert min(before, target) - 0.001 < here < max(before, target) + 0.001
        pipython.pitools.waitontarget(ready, timeout=10)
        assert ready.qPOS("1")["1"] == pytest.approx(here, abs=0.001)


def test_the_makers_client_sees_our_refusals(pipython: ModuleType, ready: Any) -> None:
    def unservoed() -> None:
        ready.SVO("1", False)
        ready.MOV("1", 1.0)

    for act, error in (
        (lambda: ready.MOV("1", 6.5), 7),
        (lambda: ready.MOV("9", 1.0), 15),
        (lambda: ready.VEL("1", 5.0), 17),
        (lambda: ready.send("NON 1"), 2),
        (unservoed, 5),
    ):
        with pytest.raises(pipython.GCSError) as refused:
            act()
        assert refused.value.val == error
