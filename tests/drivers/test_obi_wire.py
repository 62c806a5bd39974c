"""Commands of the Open Beam Interface, both ways."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import WireError
from drivers.wire import obi
from tests.drivers.golden import golden


def decoded(data: bytes) -> list[obi.Command]:
    splitter = obi.CommandSplitter()
    splitter.feed(data)
    return rest(splitter)


def rest(splitter: obi.CommandSplitter) -> list[obi.Command]:
    commands = []
    while (command := splitter.next()) is not None:
        commands.append(command)
    return commands


@st.composite
def any_command(draw: st.DrawFn) -> obi.Command:
    kind = draw(st.sampled_from([kind for kind in obi.COMMANDS.values() if kind is not obi.Array]))
    values: dict[str, Any] = {}
    for name, type_, part in kind.layout:
        if isinstance(part, obi.Word):
            values[name] = draw(st.integers(part.low, part.high))
        else:
            values[name] = draw(st.booleans() if type_ is bool else st.sampled_from(list(type_)))
    return kind(**values)


@settings(max_examples=100, deadline=None)
@given(st.lists(any_command(), max_size=6), st.data())
def test_a_stream_means_the_same_wherever_it_is_split(commands: list[obi.Command], data: st.DataObject) -> None:
    stream = obi.encode(*commands)
    at = data.draw(st.integers(0, len(stream)))
    splitter = obi.CommandSplitter()
    splitter.feed(stream[:at])
    early = rest(splitter)
    splitter.feed(stream[at:])
    assert early + rest(splitter) == commands


def test_a_frame_means_the_same_at_every_split_point() -> None:
    stream = golden("obi", "frame", binary=True)[0][1]
    whole = decoded(stream)
    assert len(whole) == 11
    for at in range(len(stream) + 1):
        splitter = obi.CommandSplitter()
        splitter.feed(stream[:at])
        early = rest(splitter)
        splitter.feed(stream[at:])
        assert early + rest(splitter) == whole


def test_dwells_and_counts_go_over_the_wire_less_one() -> None:
    assert obi.encode(obi.RasterPixelRun(pixels=6, samples=4)) == bytes.fromhex("c0 0005 0003")
    assert decoded(bytes.fromhex("c0 0005 0003")) == [obi.RasterPixelRun(pixels=6, samples=4)]


def test_an_array_is_its_head_and_then_its_commands() -> None:
    pixels = [obi.RasterPixel(n) for n in (1, 2, 65536)]
    stream = obi.encode_array(*pixels) + obi.encode(obi.Flush())
    assert stream == bytes.fromhex("8b 0002 0000 0001 ffff 20")
    assert decoded(stream) == [obi.Array(kind=0xB, count=3), *pixels, obi.Flush()]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("70", "no command has the code 0x7"),
        ("11", "flags 0x1 that do not exist"),
        ("38", "flags 0x8"),
        ("43", "beam 3 does not exist"),
        ("06 0001", "output 3 does not exist"),
        ("a0 0000 0000 0100 0000 0001 0100", "x_count 0 is outside 1 to 16384"),
        ("e0 4000 0000 0000", "x 16384 is outside 0 to 16383"),
        ("87 0000", "an array of commands with the code 0x7"),
        ("88 0000", "an array of commands with the code 0x8"),
    ],
)
def test_garbage_is_an_error_and_what_follows_it_is_heard(wrong: str, why: str) -> None:
    splitter = obi.CommandSplitter()
    splitter.feed(bytes.fromhex(wrong) + obi.encode(obi.Blank(enable=True, inline=False)))
    with pytest.raises(WireError, match=why):
        splitter.next()
    assert rest(splitter) == [obi.Blank(enable=True, inline=False)]


def test_a_value_the_wire_cannot_carry_is_an_error_before_any_byte() -> None:
    with pytest.raises(WireError, match="samples 65537 is outside 1 to 65536"):
        obi.RasterPixelRun(pixels=1, samples=65537)
    with pytest.raises(WireError, match="x_start -1"):
        obi.RasterRegion(-1, 1, 256, 0, 1, 256)


def test_a_host_cannot_fill_the_memory() -> None:
    splitter = obi.CommandSplitter()
    with pytest.raises(WireError, match="bytes of commands at once"):
        splitter.feed(bytes((1 << 26) + 1))
    assert splitter.next() is None


def test_a_reset_forgets_what_is_half_said() -> None:
    splitter = obi.CommandSplitter()
    splitter.feed(bytes.fromhex("8b 0005 0000 a0 00"))
    rest(splitter)
    splitter.reset()
    splitter.feed(obi.encode(obi.Flush()))
    assert rest(splitter) == [obi.Flush()]


def test_what_moves_or_opens_the_beam_is_an_action() -> None:
    safe = {kind for kind in obi.COMMANDS.values() if kind.repeat is obi.Repeat.SAFE}
    assert safe == {obi.Synchronize, obi.Flush, obi.ExternalCtrl, obi.BeamSelect, obi.Blank}


def test_every_code_of_the_wire_but_one_is_a_command() -> None:
    assert set(obi.COMMANDS) == set(range(16)) - {7}
