"""YAML that people type: version 1.2, no duplicate keys, aliases or tags, bounded, and every place in it has a line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    ScalarEvent,
)
from ruamel.yaml.nodes import Node
from ruamel.yaml.reader import ReaderError

LONGEST = 1_000_000  # bytes
DEEPEST = 64
GROUPED = re.compile(r"[+-]?[0-9][0-9_.]*_[0-9_.]*([eE][+-]?[0-9]+)?")  # which YAML would read as one number
Place = Sequence[str | int]


class YamlError(Exception):
    """The text is not YAML we accept; the message begins with the line and column."""


class _Constructor(RoundTripConstructor):
    """Says where a scalar stands that looks like a number or a date and is none, such as 2021-02-31."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, IndexError) as error:  # ruamel indexes into numbers that have no digits, such as -_
            raise ConstructorError(problem=str(error), problem_mark=node.start_mark) from None


@dataclass(frozen=True)
class Located:
    """The content of a file, and where each part of it stands."""

    content: Any

    def at(self, place: Place) -> str:
        """`line L, column C` of a key or item, or of the nearest thing around it that exists."""
        node, line, column = self.content, 0, 0
        for part in place:
            marks = getattr(node, "lc", None)
            if marks is None:
                break
            try:
                if isinstance(node, Mapping) and part in node:
                    line, column = marks.value(part)
                elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node):
                    line, column = marks.item(part)
                else:
                    continue  # a part that the model invented, such as the member of a union
            except (KeyError, AttributeError):
                break
            node = node[part]
        return f"line {line + 1}, column {column + 1}"


def text_of(path: Path) -> str:
    """The text of a file; raises YamlError where it is none."""
    return decoded(path.read_bytes())


def decoded(content: bytes) -> str:
    """The text of a file's bytes, with its line ends as they are; raises YamlError where they are none."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = error.object[: error.start].split(b"\n")
        place = f"line {len(before)}, column {len(before[-1]) + 1}"
        raise YamlError(f"{place}: is not text in UTF-8") from None


def read_yaml(text: str) -> Located:
    """Read one document; raises YamlError."""
    if len(text.encode(errors="surrogatepass")) > LONGEST:
        raise YamlError(f"line 1, column 1: is larger than {LONGEST} bytes")
    try:
        _check_shape(text)
        yaml = YAML(typ="rt")
        yaml.Constructor = _Constructor
        yaml.allow_duplicate_keys = False
        return Located(yaml.load(text))
    except DuplicateKeyError as error:
        raise YamlError(f"{_mark(error)}: the same key stands here twice") from None
    except MarkedYAMLError as error:
        tab = "; indent with spaces, not with a tab" if "'\\t'" in str(error.problem) else ""
        raise YamlError(f"{_mark(error)}: {error.problem or error.context}{tab}") from None
    except ReaderError as error:
        before = text[: error.position].splitlines() or [""]
        raise YamlError(
            f"line {len(before)}, column {len(before[-1]) + 1}: must not hold the character U+{error.character:04X}"
        ) from None
    except YAMLError as error:
        raise YamlError(f"line 1, column 1: {error}") from None


def _check_shape(text: str) -> None:
    depth = 0
    for event in YAML(typ="rt").parse(text):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        wrong = _unwanted(event) or (f"is nested more than {DEEPEST} deep" if depth > DEEPEST else None)
        if wrong is not None:
            mark = event.start_mark
            raise YamlError(f"line {mark.line + 1}, column {mark.column + 1}: {wrong}")


def _unwanted(event: Event) -> str | None:
    """What YAML can do and a file that people review should not."""
    if getattr(event, "anchor", None) is not None:
        return "anchors and aliases are not allowed; write it out"
    if getattr(event, "tag", None) is not None:
        return "tags are not allowed; write the value alone"
    if isinstance(event, ScalarEvent) and event.style is None and event.value == "<<":
        return "merge keys are not allowed; write the keys out"  # YAML 1.2 has none
    if isinstance(event, ScalarEvent) and event.style is None and GROUPED.fullmatch(event.value):
        return f"digits are not grouped; write {event.value.replace('_', '')}"
    if isinstance(event, DocumentStartEvent) and event.version not in (None, (1, 2)):
        return "is not YAML 1.2; leave the %YAML line out"  # in YAML 1.1 `no` is false and 1e3 a text
    return None


def _mark(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "line 1, column 1"
