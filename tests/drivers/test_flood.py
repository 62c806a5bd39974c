"""Images with a parallel beam: what is set, when the sample is lit, and that the scan has its beam again afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drivers.errors import DeviceError, InterlockError, LimitError, LinkTimeout, Refused, TicketError
from drivers.ticket import Flood
from drivers.wire import temscript as wire
from drivers.wire import temscript_tem as tem
from drivers.wire.http import Request, Response
from simulators.boxes.http import Later
from tests.simulators.column_bench import ColumnBench, a_driver, column_bench
from tests.simulators.flood_bench import DISC, ELECTRONS, FLOOD, NM, TEM, WITH_TEM, elsewhere, flood_bench


@pytest.fixture
def bench() -> ColumnBench:
    return flood_bench()


@pytest.fixture(scope="module")
def refusing() -> ColumnBench:
    """One that all who only see something refused may use."""
    return flood_bench()


def test_an_image_is_taken_on_its_ticket_with_everything_set_while_the_beam_is_blanked(bench: ColumnBench) -> None:
    taken = bench.column.acquire(FLOOD, bench.office.ticket(FLOOD))
    assert taken.values.shape == (256, 256)
    assert taken.work == FLOOD
    # electrons in a pixel of 0.64 nm, eight counts each
    assert np.mean(taken.values) == pytest.approx(ELECTRONS * 0.1 / DISC * (0.64 * NM) ** 2 * 8.0, rel=1e-3)
    orders = bench.box.orders()[1:]
    assert orders[0] == ("instrument_mode", b'"TEM"')
    assert orders[-2:] == [("beam_blanked", b"false"), ("beam_blanked", b"true")]
    assert dict(orders[1:-2]) == {
        "projection_mode": b'"IMAGING"',
        "screen_position": b'"UP"',
        "magnification_index": b"31",
        "illuminated_area": b"3e-07",
        "defocus": b"-6e-08",
        "beam_shift": b"[0.0,-4e-07]",
        "image_shift": b"[0.0,-4e-07]",
        "camera_param/BM-Ceta": b'{"image_size":"FULL","binning":16,"exposure(s)":0.1,"shutter_mode":"PRE_SPECIMEN"}',
    }
    assert len(bench.office.spent) == 1


def test_the_sample_is_lit_while_the_camera_is_exposed_and_never_longer_than_the_rig_says(bench: ColumnBench) -> None:
    bench.column.acquire(FLOOD, bench.office.ticket(FLOOD))
    received = bench.electrons()
    assert 0.1 * ELECTRONS < received < (0.1 + TEM.shutter) * ELECTRONS
    bench.clock.sleep(100.0)
    assert bench.electrons() == received


def test_the_beam_is_made_parallel_while_it_is_blanked_and_an_image_then_waits_for_nothing(bench: ColumnBench) -> None:
    bench.column.blank(parallel=True)
    assert [name for name, _ in bench.box.orders()[1:]] == ["beam_blanked", "instrument_mode"]
    assert bench.column.status()["mode"] == "TEM"
    assert bench.column.blanked()
    began = bench.clock.now()
    taken = bench.column.acquire(FLOOD, bench.office.ticket(FLOOD))
    assert bench.clock.now() - began < TEM.settle
    assert taken.open_for <= bench.clock.now() - began
    with pytest.raises(Refused, match="says nothing of the TEM mode"):
        a_driver(bench.link).blank(parallel=True)


def test_the_scan_has_its_beam_again_after_a_release(bench: ColumnBench) -> None:
    bench.column.acquire(FLOOD, bench.office.ticket(FLOOD))
    assert bench.column.status()["mode"] == "TEM"
    bench.column.release()
    assert bench.column.status()["mode"] == "STEM"
    assert not bench.column.blanked()
    assert bench.world.column.shift == (0.0, 0.0)
    told = [name for name, _ in bench.box.orders()]
    assert told[-5:] == ["beam_blanked", "beam_shift", "image_shift", "instrument_mode", "beam_blanked"]


def test_a_microscope_that_was_left_in_tem_is_brought_back_by_the_next_process(bench: ColumnBench) -> None:
    bench.column.acquire(FLOOD, bench.office.ticket(FLOOD))
    again = a_driver(bench.link, WITH_TEM)
    again.open()
    again.release()
    assert again.status()["mode"] == "STEM"
    without = a_driver(bench.link)  # a rig that does not use TEM leaves it to people
    without.blank()
    wire.see_done(bench.link.exchange(wire.MODE.put("TEM")))
    with pytest.raises(DeviceError, match=r"is in TEM mode\. Switch the microscope to STEM"):
        without.release()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seconds": 20.0}, "exposure"),
        ({"seconds": 1e-3}, "exposure"),
        ({"centre": (0.0, -2.5e-6)}, "shift"),
        ({"defocus": 2e-6}, "defocus"),
        ({"pixels": (100, 100)}, "4096 pixels over a binning"),
        ({"pixels": (256, 128)}, "no image of BM-Ceta"),
        ({"size": (100 * NM, 100 * NM)}, "they see 163.84 nm"),
        ({"diameter": 400 * NM}, "another disc than that of the rig file, 300 nm"),
    ],
)
def test_what_the_rig_does_not_take_is_refused_before_any_byte(
    refusing: ColumnBench, change: dict[str, Any], what: str
) -> None:
    flood, asked = elsewhere(**change), len(refusing.box.asked)
    with pytest.raises(LimitError, match=what):
        refusing.column.acquire(flood, refusing.office.ticket(flood))
    assert len(refusing.box.asked) == asked


@pytest.mark.parametrize(
    ("name", "answer", "why"),
    [
        ("instrument_mode", wire.MODE.answer("STEM"), "stays in STEM mode"),
        ("cameras", tem.CAMERAS.answer(()), "has no camera BM-Ceta .none at all"),
        (
            "cameras",
            tem.CAMERAS.answer((tem.TemCamera("BM-Ceta", 2048, 2048, (1, 16), tem.SHUTTERS),)),
            "2048 x 2048 pixels and binning 1, 16, not of 4096 and 16",
        ),
        (
            "cameras",
            tem.CAMERAS.answer((tem.TemCamera("BM-Ceta", 4096, 4096, (1, 16), ("POST_SPECIMEN",)),)),
            "without a shutter before the specimen",
        ),
        ("projection_mode", tem.PROJECTION.answer("DIFFRACTION"), "has its projection at DIFFRACTION"),
        ("magnification_index", tem.MAGNIFICATION.answer(30), "has its magnification at 30, not at 31"),
        ("screen_position", wire.SCREEN_POSITION.answer("DOWN"), "has its screen at DOWN"),
        ("illuminated_area", tem.ILLUMINATED.answer(310 * NM), "took a illuminated area of 3.1e-07"),
        ("defocus", tem.DEFOCUS.answer(60 * NM), "took a defocus of 6e-08 instead of -6e-08"),
        ("beam_shift", tem.BEAM_SHIFT.answer((0.0, 0.0)), "took a beam shift"),
        ("image_shift", tem.IMAGE_SHIFT.answer((0.0, -395 * NM)), "took a image shift"),
        (
            "camera_param/BM-Ceta",
            tem.CAMERA.answer(tem.CameraSetting("FULL", 16, 0.1, "POST_SPECIMEN")),
            "the shutter POST_SPECIMEN",
        ),
        (
            "camera_param/BM-Ceta",
            tem.CAMERA.answer(tem.CameraSetting("FULL", 16, 0.2, "PRE_SPECIMEN")),
            "took a exposure of 0.2 instead of 0.1",
        ),
    ],
)
def test_what_is_not_taken_over_is_refused_before_the_ticket_is_spent(
    refusing: ColumnBench, name: str, answer: Response, why: str
) -> None:
    refusing.answer(name, answer)
    with pytest.raises(DeviceError, match=why):
        refusing.column.acquire(FLOOD, refusing.office.ticket(FLOOD))
    assert refusing.office.spent == []
    assert refusing.world.column.blanked
    assert refusing.electrons() == 0.0


def test_no_image_without_its_ticket_its_calibration_or_while_the_column_is_released(bench: ColumnBench) -> None:
    ticket = bench.office.ticket(elsewhere(seconds=0.2))
    with pytest.raises(TicketError, match="Reserve the flood"):
        bench.column.acquire(FLOOD, ticket)
    bench.column.release()
    with pytest.raises(Refused, match="released to the scan box"):
        bench.column.acquire(FLOOD, bench.office.ticket(FLOOD))

    def forbid(command: str) -> None:
        raise InterlockError(f"{command} is forbidden")

    with pytest.raises(InterlockError, match=r"column\.flood"):
        a_driver(bench.link, WITH_TEM, guard=forbid).acquire(FLOOD, bench.office.ticket(FLOOD))
    with pytest.raises(Refused, match="says nothing of the TEM mode"):
        column_bench().column.acquire(FLOOD, bench.office.ticket(FLOOD))
    assert bench.office.spent == []
    assert bench.electrons() == 0.0


def test_an_image_that_never_comes_leaves_the_beam_blanked_and_the_sample_with_no_more_than_was_booked(
    bench: ColumnBench,
) -> None:
    def instead(request: Request) -> Response | Later | None:
        if request.path != "/v1/acquire":
            return None
        bench.server.answer(request)
        return Later(1e9, lambda: Response(204))

    bench.box.instead = instead
    with pytest.raises(LinkTimeout, match="column: acquire"):
        bench.column.acquire(FLOOD, bench.office.ticket(FLOOD))
    assert bench.world.column.blanked
    assert len(bench.office.spent) == 1
    bench.clock.sleep(100.0)
    assert bench.electrons() < (0.1 + TEM.shutter) * ELECTRONS


@pytest.mark.parametrize(
    "change",
    [{"diameter": 200 * NM}, {"seconds": 0.0}, {"defocus": float("nan")}, {"pixels": (0, 1)}, {"seconds": 1e999}],
)
def test_a_flood_is_finite_and_its_disc_holds_the_image(change: dict[str, Any]) -> None:
    with pytest.raises(LimitError):
        elsewhere(**change)


def test_a_flood_says_what_it_is() -> None:
    assert str(FLOOD) == (
        "256 x 256 pixels over 163.84 nm x 163.84 nm in a disc of 300 nm at (0 nm, -400 nm) for 0.1 s, "
        "60 nm under focus"
    )
    assert isinstance(FLOOD, Flood)
    assert FLOOD.area == pytest.approx(DISC)
