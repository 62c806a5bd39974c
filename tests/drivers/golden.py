r"""Golden transcripts: conversations typed from a manual, read as a list of (direction, bytes).

    # a comment: the source of what follows
    == connect              begins a named conversation (optional)
    > *IDN?\n               host to box; escapes \n \r \t \\ \x05, everything else as it stands
    < LSCI,MODEL336\r\n     box to host
    ~ 0.7                   the replies that follow come so many seconds later

In a file of a binary wire the bytes are hex, spaces allowed: `> f5 fa 00 01`.
"""

from __future__ import annotations

import re
from pathlib import Path

Line = tuple[str, bytes]
"""(">", request), ("<", reply) or ("~", seconds)."""

_FOLDER = Path(__file__).with_name("golden")
_ESCAPE = re.compile(r"\\(n|r|t|\\|x[0-9a-fA-F]{2})")
_NAMED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}


def golden(box: str, conversation: str = "", *, binary: bool = False) -> list[Line]:
    """The transcript `golden/BOX.txt`, or one named conversation of it.

    binary: the bytes are written in hex.  Raises ValueError naming file and line on anything else, KeyError when
    there is no such conversation.
    """
    path = _FOLDER / f"{box}.txt"
    found: dict[str, list[Line]] = {}
    name = ""
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        mark, _, rest = text.strip().partition(" ")
        if not mark or mark.startswith("#"):
            continue
        if mark == "==":
            name = rest.strip()
        elif mark in (">", "<", "~"):
            data = bytes.fromhex(rest) if binary and mark != "~" else unescape(rest)
            found.setdefault(name, []).append((mark, data))
        else:
            raise ValueError(f"{path.name} line {number}: {text!r} is no transcript line")
    return found[conversation] if conversation else [line for lines in found.values() for line in lines]


def pairs(lines: list[Line]) -> list[tuple[bytes, bytes]]:
    """Each request with all the bytes answered before the next one (b"" for a silent command)."""
    out: list[tuple[bytes, bytes]] = []
    for direction, data in lines:
        if direction == ">":
            out.append((data, b""))
        elif direction == "<":
            request, reply = out[-1]
            out[-1] = (request, reply + data)
    return out


def unescape(text: str) -> bytes:
    r"""Bytes of a line with the escapes \n \r \t \\ \xNN; one character one byte."""

    def byte(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code[0] == "x" else _NAMED[code]

    return _ESCAPE.sub(byte, text).encode("latin-1")
