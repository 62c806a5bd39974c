"""A camera that listens to an exposure: every frame under the pixel whose gate it answers, every gap told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acquisition.camera import CameraListener, told
from acquisition.datafile import DataFile, Form, open_record
from acquisition.exposure import expose
from acquisition.ledger import Ledger
from drivers.camera_roll import Roll, Tally
from drivers.links.faults import Fault, FaultKind
from drivers.links.messages import FaultyMessages
from drivers.ticket import Frame
from drivers.wire.packed import unpack
from drivers.wire.simplon_frames import CHANNEL, StreamImage
from tests.acquisition.dose_bench import HERE, opened
from tests.acquisition.known_frames import SCAN, TICKS, begin, counts, finish, image
from tests.acquisition.known_map import STARTED, about, pass_record
from tests.acquisition.run_bench import Desk
from tests.drivers.camera_bench import SETTINGS, scanned_bench

EVERY = 50_000 / TICKS  # s from one known image to the next


class Stream:
    """A camera whose images come in pieces; it counts the gates it answers, and is late with the last of them.

    unanswered: pixels whose gates it misses.  lost: pixels whose images are lost on the way.
    """

    def __init__(
        self, *, unanswered: Sequence[int] = (), lost: Sequence[int] = (), piece: int = 3, late: int = 4
    ) -> None:
        answered = [pixel for pixel in range(SCAN.count) if pixel not in unanswered]
        of_pixel = {pixel: replace(image(pixel), image=number) for number, pixel in enumerate(answered)}
        self._coming = [of_pixel[pixel] for pixel in answered if pixel not in lost]
        self._piece, self._late = piece, late
        self._roll = Roll(SCAN.count, EVERY)
        self.waits: list[float] = []

    def read(self, timeout: float) -> list[StreamImage]:
        self.waits.append(timeout)
        ready = len(self._coming) if timeout else max(0, len(self._coming) - self._late)
        piece = self._coming[: min(self._piece, ready)]
        del self._coming[: len(piece)]
        return [out for came in piece for out in self._roll.call(came)]

    def finished(self) -> bool:
        return self._roll.complete

    def finish(self) -> Tally:
        roll = self._roll
        rest = tuple(out for came in self._coming for out in roll.call(came))
        roll.close()
        return Tally(
            "r-1", 7, roll.images, roll.received, roll.missing(), roll.twice, roll.late, roll.broken,
            0, tuple(roll.skipped), None, True, rest,
        )  # fmt: skip


def heard(path: Path, camera: Stream) -> Tally:
    """A scan whose camera was heard and finished; the file holds what came."""
    file, frames = begin(path)
    with file:
        listener = CameraListener(camera, frames, 0, every=EVERY)
        for _ in range(5):
            listener()
        tally = listener.finish()
        finish(file)
    return tally


def kept(path: Path) -> dict[int, int]:
    """Which known frame stands at each pixel that has one."""
    known = {counts(number).tobytes(): number for number in range(SCAN.count)}
    with open_record(path) as record:
        frames = record.camera("diffraction")
        places = np.flatnonzero(frames.received)
        return {int(place): known[frames.frame(*divmod(int(place), 5)).tobytes()] for place in places}


def test_every_image_is_kept_under_its_pixel(tmp_path: Path) -> None:
    camera = Stream()
    tally = heard(tmp_path / "a.nxs", camera)
    assert tally.whole
    assert kept(tmp_path / "a.nxs") == {number: number for number in range(20)}
    assert camera.waits[0] == 0.0


def test_while_the_beam_is_on_it_is_never_waited_for(tmp_path: Path) -> None:
    camera = Stream()
    file, frames = begin(tmp_path / "a.nxs")
    with file:
        listener = CameraListener(camera, frames, 0, every=EVERY)
        listener()
        assert set(camera.waits) == {0.0}
        assert frames.received == SCAN.count - 4


def test_images_lost_on_the_way_are_missing_and_the_others_in_place(tmp_path: Path) -> None:
    tally = heard(tmp_path / "a.nxs", Stream(lost=[4, 5, 11]))
    assert tally.missing == ((4, 5), (11, 11))
    assert set(kept(tmp_path / "a.nxs")) == set(range(20)) - {4, 5, 11}
    assert all(place == number for place, number in kept(tmp_path / "a.nxs").items())
    with open_record(tmp_path / "a.nxs") as record:
        assert record.camera("diffraction").missing == ((4, 5), (11, 11))


def test_after_gates_that_were_not_answered_images_still_stand_under_their_pixels(tmp_path: Path) -> None:
    """The camera numbers its answers, so the image of pixel 8 is its sixth; only the times tell where it belongs."""
    tally = heard(tmp_path / "a.nxs", Stream(unanswered=[6, 7, 13], lost=[2]))
    assert tally.skipped == ((6, 2), (11, 1))
    assert not tally.whole
    assert kept(tmp_path / "a.nxs") == {pixel: pixel for pixel in range(20) if pixel not in (2, 6, 7, 13)}


def test_a_stream_that_ends_early_is_told_and_does_not_hang(tmp_path: Path) -> None:
    camera = Stream(lost=range(9, 20))
    tally = heard(tmp_path / "a.nxs", camera)
    assert tally.missing == ((9, 19),)
    assert sum(camera.waits) <= 5.0


def test_what_is_told_is_json_and_holds_no_image() -> None:
    facts = told(Stream(lost=[3]).finish())
    assert json.loads(json.dumps(facts))["missing"] == [[3, 3]]
    assert facts["whole"] is False
    assert "rest" not in facts


# --- a simulated camera that the simulated scan gates

SMALL = Frame(centre=(0.0, 0.0), size=(60e-9, 40e-9), pixels=(12, 8), dwell=20e-6)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path / "passport.jsonl") as ledger:
        yield ledger


@pytest.mark.parametrize("lost", [(), (9, 10, 40)])
def test_a_scan_of_the_simulated_camera_is_kept_and_its_dose_counted(
    tmp_path: Path, ledger: Ledger, lost: tuple[int, ...]
) -> None:
    """Message 1 is the start of the series, so message n + 2 is image n."""
    bench = scanned_bench()
    faults = [Fault(FaultKind.LOSS, transfer=number + 2) for number in lost]
    bench.camera._stream = FaultyMessages(bench.camera._stream, faults, seed=0)
    desk = Desk(tmp_path / "control", bench.clock)
    desk.running()
    frame = bench.scan.commanded(SMALL)
    prepared = bench.camera.configure(frame.count, frame.dwell, gated=True, bits=8)
    form = Form((CHANNEL,), prepared.shape, np.dtype(f"u{prepared.bits // 8}"), "bslz4", SETTINGS.angle_per_pixel)
    file = DataFile.create(tmp_path / "a.nxs", about())
    frames = file.frames("diffraction", title="Diffraction", frame=frame, requested=SMALL, passes=1, form=form)
    file.start()
    ticket = ledger.reserve("interface", frame, HERE, "r-1", step="diffraction_map")
    bench.camera.arm(ticket.exposure_id)
    listener = CameraListener(bench.camera, frames, 0, every=prepared.frame_time)
    delivered = expose(
        bench.scan, ledger, ticket, desk.control, pixels=lambda first, values: None, listeners=[listener]
    )
    tally = listener.finish()
    with file:
        file.pass_done(pass_record(0, pixels_done=frame.count, fluence_charged=delivered.charged))
        file.finish(status="complete", ended=STARTED, results={"camera": told(tally)})
    assert ledger.spent("interface")[0] >= delivered.charged > 0.0
    assert (tally.due, tally.received) == (96, 96 - len(lost))
    with open_record(file.path) as record:
        kept = record.camera("diffraction")
        assert tuple(np.flatnonzero(~kept.received)) == lost
        assert kept.missing == tally.missing
        assert record.results["camera"]["whole"] is (not lost)
        assert record.passes()[0].fluence_charged == delivered.charged
        assert 0 < kept.frame(4, 4).sum() == unpack(kept.packed(4, 4)).sum()
        assert np.allclose(np.diff(kept.starts[5]), frame.dwell)
