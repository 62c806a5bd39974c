"""YAML that people type: version 1.2, no duplicate keys, no aliases, bounded, and every place in it has a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

LONGEST = 1_000_000  # bytes
DEEPEST = 64
Place = Sequence[str | int]


class YamlError(Exception):
    """The text is not YAML we accept; the message begins with the line and column."""


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


def read_yaml(text: str) -> Located:
    """Read one document; raises YamlError."""
    if len(text.encode()) > LONGEST:
        raise YamlError(f"line 1, column 1: is larger than {LONGEST} bytes")
    try:
        _check_shape(text)
        yaml = YAML(typ="rt")
        yaml.allow_duplicate_keys = False
        return Located(yaml.load(text))
    except DuplicateKeyError as error:
        raise YamlError(f"{_mark(error)}: the same key stands here twice") from None
    except MarkedYAMLError as error:
        raise YamlError(f"{_mark(error)}: {error.problem or error.context}") from None
    except YAMLError as error:
        raise YamlError(f"line 1, column 1: {error}") from None


def _check_shape(text: str) -> None:
    depth = 0
    for event in YAML(typ="rt").parse(text):
        if isinstance(event, AliasEvent):
            mark = event.start_mark
            raise YamlError(f"line {mark.line + 1}, column {mark.column + 1}: aliases are not allowed; write it out")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            mark = event.start_mark
            raise YamlError(f"line {mark.line + 1}, column {mark.column + 1}: is nested more than {DEEPEST} deep")


def _mark(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "line 1, column 1"
