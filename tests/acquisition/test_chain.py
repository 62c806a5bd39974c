"""The chain: what was acknowledged stays, a torn tail is dropped, anything else that is wrong is an error."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from acquisition.chain import START, Chain, ChainError, Entry, read_chain

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def filled(path: Path, entries: int = 5) -> list[Entry]:
    chain = Chain(path)
    for number in range(entries):
        chain.append("step", ordinal=number, text=f"tilt {number} °, field 400 nm")
    chain.close()
    return list(chain.entries)


def forged(entry: Entry) -> bytes:
    """A line with a right checksum, as somebody who knows the format would write it."""
    body = json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode()
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def test_what_was_appended_is_read_back_in_order(path: Path) -> None:
    entries = filled(path)
    with closing(Chain(path)) as chain:
        assert read_chain(path) == entries == chain.entries
    assert [e["seq"] for e in entries] == [0, 1, 2, 3, 4]


def test_an_entry_is_what_it_will_be_when_read_back(path: Path) -> None:
    moved = {"offset": [1e-9, 2e-9]}
    chain = Chain(path)
    entry = chain.append("sighted", where=(1.0, 2), found=moved)
    moved["offset"][0] = 5.0
    assert entry == chain.entries[0] == read_chain(path)[0]
    assert entry["where"] == [1.0, 2]
    chain.close()


def test_each_line_holds_the_hash_of_the_line_before(path: Path) -> None:
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    before = [START, *(hashlib.sha256(line).hexdigest() for line in lines)]
    assert [json.loads(line)["prev"] for line in lines] == before[:-1]
    with closing(Chain(path)) as chain:
        assert chain.sha256 == before[-1]


def test_two_opens_continue_the_chain(path: Path) -> None:
    first = filled(path, 2)
    chain = Chain(path)
    last = chain.append("end", status="done")
    chain.close()
    assert read_chain(path) == [*first, last]


def test_a_torn_tail_is_dropped_at_every_byte_of_the_last_two_records(path: Path) -> None:
    entries = filled(path)
    whole = path.read_bytes()
    ends = [n + 1 for n, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(ends[2], len(whole)):
        path.write_bytes(whole[:cut])
        kept = entries[:4] if cut >= ends[3] else entries[:3]
        assert read_chain(path) == kept
        chain = Chain(path)
        added = chain.append("resumed")
        chain.close()
        assert read_chain(path) == [*kept, added]


def test_a_tail_of_blocks_that_never_reached_the_disk_is_dropped(path: Path) -> None:
    entries = filled(path)
    whole = path.read_bytes()
    last = len(whole) - len(whole.splitlines(keepends=True)[-1])
    path.write_bytes(whole[:last] + bytes(20) + whole[last + 20 :])
    assert read_chain(path) == entries[:-1]


@pytest.mark.parametrize("number", range(5))
def test_every_changed_byte_of_a_whole_line_is_an_error(path: Path, number: int) -> None:
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    for place in range(len(lines[number]) - 1):
        damaged = bytearray(lines[number])
        damaged[place] ^= 1
        if damaged[place] in b"\r\n":
            continue
        path.write_bytes(b"".join([*lines[:number], bytes(damaged), *lines[number + 1 :]]))
        with pytest.raises(ChainError, match=f"line {number + 1}"):
            read_chain(path)


@pytest.mark.parametrize("number", range(4))
def test_a_missing_line_is_an_error(path: Path, number: int) -> None:
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
    with pytest.raises(ChainError, match="does not continue"):
        Chain(path)


def test_swapped_lines_are_an_error(path: Path) -> None:
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
    with pytest.raises(ChainError, match="line 2: does not continue"):
        read_chain(path)


def test_an_edit_with_a_right_checksum_breaks_the_chain(path: Path) -> None:
    entries = filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], forged({**entries[2], "ordinal": 7}), *lines[3:]]))
    with pytest.raises(ChainError, match="line 4: does not continue"):
        read_chain(path)


def test_a_line_that_is_no_entry_is_an_error(path: Path) -> None:
    filled(path, 1)
    with path.open("ab") as file:
        file.write(forged({"kind": "settle"}))
    with pytest.raises(ChainError, match="line 2: does not continue"):
        read_chain(path)


def test_a_damaged_file_is_left_as_it_is(path: Path) -> None:
    filled(path)
    damaged = path.read_bytes().replace(b'"ordinal":1', b'"ordinal":8')
    path.write_bytes(damaged)
    with pytest.raises(ChainError):
        Chain(path)
    assert path.read_bytes() == damaged


def test_a_full_disk_is_named_and_loses_nothing(path: Path, mocker: MockerFixture) -> None:
    entries = filled(path)
    chain = Chain(path)
    mocker.patch("os.fsync", side_effect=NO_SPACE)
    with pytest.raises(ChainError, match=r"entry 5 \(reserve\): No space left on device.*make room"):
        chain.append("reserve", fluence=1e23)
    assert chain.entries == read_chain(path) == entries
    chain.close()


def test_writing_goes_on_once_there_is_room_again(path: Path, mocker: MockerFixture) -> None:
    entries = filled(path)
    chain = Chain(path)
    mocker.patch("os.fsync", side_effect=[NO_SPACE, NO_SPACE, None])
    for _ in range(2):
        with pytest.raises(ChainError):
            chain.append("reserve", fluence=1e23)
    safe = chain.append("safe", tried=[])
    assert read_chain(path) == [*entries, safe]
    chain.close()


def test_a_chain_that_cannot_take_back_a_line_writes_no_more(path: Path, mocker: MockerFixture) -> None:
    entries = filled(path)
    with closing(Chain(path)) as chain:
        mocker.patch("os.fsync", side_effect=[NO_SPACE, None])
        mocker.patch("os.ftruncate", side_effect=OSError(errno.EIO, "Input/output error"))
        for problem in ("No space left", "closed"):
            with pytest.raises(ChainError, match=problem):
                chain.append("reserve", fluence=1e23)
    assert read_chain(path)[:-1] == entries  # and the one that failed, which then counts


def test_a_second_writer_is_refused(path: Path) -> None:
    filled(path)
    one, other = Chain(path), Chain(path)
    one.append("reserve")
    with pytest.raises(ChainError, match="somebody else"):
        other.append("reserve")
    assert len(read_chain(path)) == 6
    one.close()
    other.close()


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), "\ud800"], ids=["nan", "inf", "object", "surrogate"])
def test_what_json_cannot_hold_is_refused_and_loses_nothing(path: Path, value: object) -> None:
    entries = filled(path)
    chain = Chain(path)
    with pytest.raises(ChainError, match=r"entry 5 \(result\) is no JSON"):
        chain.append("result", value=value)
    assert read_chain(path) == entries
    chain.close()


@pytest.mark.parametrize("key", ["seq", "prev"])
def test_an_entry_cannot_bring_its_own_place(path: Path, key: str) -> None:
    chain = Chain(path)
    with pytest.raises(ValueError, match=key):
        chain.append("reserve", **{key: 3})
    chain.close()


def test_a_closed_chain_takes_nothing(path: Path) -> None:
    chain = Chain(path)
    chain.close()
    chain.close()
    with pytest.raises(ChainError, match="closed"):
        chain.append("reserve")
