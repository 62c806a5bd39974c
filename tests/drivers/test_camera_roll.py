"""The roll of a series: whatever is lost, doubled, late or garbled, no image gets another place, and gaps are told."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from drivers.camera_roll import Roll, Tally
from drivers.wire.simplon_frames import StreamImage

EVERY = 20e-6  # s
TICKS = 1000  # of a 50 MHz clock in it


def image(number: int, *, late: int = 0) -> StreamImage:
    """An image whose gate came so many gates later than its number says."""
    start = (number + late) * TICKS
    return StreamImage(1, "id", number, (start, 50_000_000), (start + 990, 50_000_000), (990, 50_000_000), {})


def called(roll: Roll, *images: StreamImage) -> list[int]:
    """Numbers of what is handed out, as it is."""
    return [one.image for came in images for one in roll.call(came)]


def test_images_in_order_are_all_handed_out() -> None:
    roll = Roll(5, EVERY)
    assert called(roll, *map(image, range(5))) == [0, 1, 2, 3, 4]
    assert roll.complete and roll.missing() == () and not roll.skipped


def test_missing_images_are_told_as_ranges() -> None:
    roll = Roll(10, EVERY)
    called(roll, *map(image, (0, 1, 4, 8)))
    assert roll.missing() == ((2, 3), (5, 7), (9, 9))
    assert Roll(3, EVERY).missing() == ((0, 2),)


def test_a_single_image_needs_no_second() -> None:
    roll = Roll(1, EVERY)
    assert called(roll, image(0)) == [0]
    assert roll.complete


def test_the_first_image_waits_for_the_second_to_bear_it_out() -> None:
    roll = Roll(4, EVERY)
    assert called(roll, image(0)) == []
    assert called(roll, image(1)) == [0, 1]


def test_twice_is_handed_out_once() -> None:
    roll = Roll(4, EVERY)
    assert called(roll, *map(image, (0, 0, 1, 1, 2, 0, 3))) == [0, 1, 2, 3]
    assert roll.twice == 3


def test_late_images_are_taken_and_counted() -> None:
    roll = Roll(4, EVERY)
    assert called(roll, *map(image, (0, 1, 3, 2))) == [0, 1, 3, 2]
    assert roll.late == 1 and roll.complete


def test_a_number_that_contradicts_its_time_is_not_believed() -> None:
    roll = Roll(100, EVERY)
    garbled = dataclasses.replace(image(2), image=66)
    assert called(roll, image(0), image(1), garbled, image(3), image(4)) == [0, 1, 3, 4]
    roll.close()
    assert roll.broken == 1
    assert roll.missing() == ((2, 2), (5, 99))


def test_a_garbled_first_image_is_not_believed_either() -> None:
    roll = Roll(100, EVERY)
    garbled = dataclasses.replace(image(0), image=64)
    assert called(roll, garbled, image(1), image(2)) == [1, 2]
    assert roll.broken == 1 and roll.missing()[0] == (0, 0)


def test_missed_gates_are_told_with_the_image_before_which_they_passed() -> None:
    roll = Roll(6, EVERY)
    images = [image(0), image(1), image(2, late=3), image(3, late=3), image(4, late=4), image(5, late=4)]
    assert called(roll, *images) == [0, 1, 2, 3, 4, 5]
    assert roll.skipped == [(2, 3), (4, 1)]


def test_an_image_that_nothing_bears_out_is_missing() -> None:
    roll = Roll(4, EVERY)
    assert called(roll, image(0), image(1), image(2), image(3, late=5)) == [0, 1, 2]
    roll.close()
    assert roll.broken == 1 and roll.missing() == ((3, 3),)


def test_a_number_beyond_the_series_is_broken() -> None:
    roll = Roll(2, EVERY)
    assert called(roll, image(7)) == []
    assert roll.broken == 1


def test_a_clock_that_drifts_by_50_ppm_does_not_matter() -> None:
    def drifting(number: int) -> StreamImage:
        start = round(number * TICKS * (1.0 + 50e-6))
        return dataclasses.replace(image(number), start=(start, 50_000_000))

    roll = Roll(20_000, EVERY)
    assert len(called(roll, *map(drifting, range(20_000)))) == 20_000
    assert not roll.skipped


def test_a_camera_whose_times_stand_still_is_believed_by_its_numbers() -> None:
    still = [dataclasses.replace(image(number), start=(0, 50_000_000)) for number in range(4)]
    assert called(Roll(4, EVERY), *still) == [0, 1, 2, 3]


def test_a_series_is_whole_when_nothing_is_missing_and_no_gate_was_missed() -> None:
    tally = Tally("e", 1, 2, 2, (), 1, 1, 0, 3, (), None, False, ())
    assert tally.whole
    assert not dataclasses.replace(tally, missing=((0, 0),)).whole
    assert not dataclasses.replace(tally, skipped=((1, 1),)).whole


HARM = st.tuples(
    st.sampled_from(["ok", "ok", "lost", "twice", "later", "number", "time"]), st.integers(0, 5), st.integers(10, 30)
)


@given(st.lists(HARM, min_size=1, max_size=40))
def test_no_image_ever_gets_the_place_of_another(harm: list[tuple[str, int, int]]) -> None:
    stream: list[tuple[int, StreamImage]] = []
    whole = True
    for number, (what, bit, tick) in enumerate(harm):
        came = image(number)
        if what in ("number", "time") and not whole:
            what = "ok"  # two neighbours garbled alike would bear each other out; chance does not do that
        whole = what not in ("number", "time")
        match what:
            case "twice":
                stream += [(number, came), (number, came)]
            case "later":
                stream.insert(max(len(stream) - 2, 0), (number, came))
            case "number":
                stream.append((number, dataclasses.replace(came, image=number ^ 1 << bit)))
            case "time":
                stream.append((number, dataclasses.replace(came, start=(came.start[0] ^ 1 << tick, 50_000_000))))
            case "ok":
                stream.append((number, came))
    roll = Roll(len(harm), EVERY)
    true = {id(came): number for number, came in stream}
    out = [one for _, came in stream for one in roll.call(came)]
    roll.close()
    numbers = [one.image for one in out]
    assert numbers == [true[id(one)] for one in out]
    assert len(numbers) == len(set(numbers)) == roll.received
    told = {number for first, last in roll.missing() for number in range(first, last + 1)}
    assert sorted([*told, *numbers]) == list(range(len(harm)))
