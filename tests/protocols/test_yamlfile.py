"""YAML that people type: what is read, what is refused, and that every refusal says where."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.yamlfile import DEEPEST, LONGEST, YamlError, read_yaml

PLACE = re.compile(r"line (\d+), column (\d+): .")


def refused(text: str) -> tuple[int, int, str]:
    """Line, column and message of the refusal of a text."""
    with pytest.raises(YamlError) as caught:
        read_yaml(text)
    place = PLACE.match(str(caught.value))
    assert place is not None, str(caught.value)
    return int(place[1]), int(place[2]), str(caught.value)


REFUSED = {
    "the same key twice": ("a: 1\nb: 2\na: 3\n", 3, 1, "the same key stands here twice"),
    "the same key twice, deeper": ("a: {b: 1, b: 2}\n", 1, 11, "the same key stands here twice"),
    "the same number as a key twice": ("{1: a, 1.0: b}\n", 1, 8, "the same key stands here twice"),
    "an anchor": ("a: 1\nb: &x 1\n", 2, 4, "anchors and aliases are not allowed"),
    "an alias": ("a: 1\nb: *x\n", 2, 4, "anchors and aliases are not allowed"),
    "a merge key": ("a: 1\n<<: {b: 2}\n", 2, 1, "merge keys are not allowed"),
    "a tag": ("a: !!int 'x'\n", 1, 4, "tags are not allowed"),
    "a tag that makes objects": ("a: 1\nb: !!python/object:os.system x\n", 2, 4, "tags are not allowed"),
    "an older YAML, where `no` is false": ("%YAML 1.1\n---\na: no\n", 2, 1, "is not YAML 1.2"),
    "a tab as indentation": ("a:\n\t- b\n", 2, 1, r"found character '\t'"),
    "a list that never ends": ("a: [1,\n", 2, 1, "expected the node content"),
    "a text that never ends": ("é: 'x", 1, 6, "found unexpected end of stream"),
    "two mappings on a line": ("a: b: c", 1, 5, "mapping values are not allowed here"),
    "two documents": ("a: b\n---\nc: d\n", 2, 1, "found another document"),
    "a character nobody can see": ("a: b\nc: 'x\x07y'\n", 2, 6, "U+0007"),
    "half a surrogate pair": ("a: \ud800", 1, 4, "U+D800"),
    "a day that no month has": ("a: 1\nb: 2021-02-31\n", 2, 4, "day is out of range for month"),
    "a number of 5000 digits": ("a: " + "9" * 5000, 1, 4, "digits"),
    "grouped digits": ("passes: 1_000\n", 1, 9, "digits are not grouped; write 1000"),
}


@pytest.mark.parametrize(("text", "line", "column", "what"), REFUSED.values(), ids=REFUSED.keys())
def test_what_a_reviewer_could_misread_is_refused_where_it_stands(text: str, line: int, column: int, what: str) -> None:
    found_line, found_column, message = refused(text)
    assert (found_line, found_column) == (line, column)
    assert what in message
    assert "\n" not in message


def test_sixty_four_levels_are_read_and_one_more_is_not() -> None:
    assert read_yaml("[" * DEEPEST + "]" * DEEPEST).content is not None
    assert refused("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)) == (
        1,
        DEEPEST + 1,
        "line 1, column 65: is nested more than 64 deep",
    )


def test_a_bomb_of_brackets_is_refused_before_anything_recurses() -> None:
    assert "nested" in refused("[" * (LONGEST // 10))[2]


def test_a_megabyte_is_read_and_one_byte_more_is_not() -> None:
    room = LONGEST - len("a: ''")
    assert len(read_yaml(f"a: '{'x' * room}'").content["a"]) == room
    assert refused(f"a: '{'x' * (room + 1)}'")[:2] == (1, 1)


def test_the_megabyte_is_counted_in_bytes() -> None:
    assert "larger" in refused("a: '" + "é" * (LONGEST // 2) + "'")[2]


# YAML 1.2.2, chapter 10.3 (core schema); 012 is 12 there, and only true and false are logical
SCALARS = {
    "no": "no",
    "on": "on",
    "Y": "Y",
    "true": True,
    "False": False,
    "~": None,
    "1e3": 1000.0,
    "1e-3": 0.001,
    "012": 12,
    "0o17": 15,
    "0x10": 16,
    "12:30:45": "12:30:45",
    "1.2e4 e/A^2": "1.2e4 e/A^2",
    "'100'": "100",
}


@pytest.mark.parametrize(("written", "read"), SCALARS.items())
def test_scalars_are_those_of_yaml_1_2(written: str, read: object) -> None:
    assert read_yaml(f"a: {written}").content["a"] == read


TREE = """\
recipe: 1
steps:
  - wait: {for: 5 s}
  - eds_map:
      elements: [P, N, O]
      dose: 1e4 e/A^2
"""


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ((), "line 1, column 1"),
        (("recipe",), "line 1, column 9"),
        (("steps", 0), "line 3, column 5"),
        (("steps", 0, "wait", "for"), "line 3, column 17"),
        (("steps", 1, "eds_map", "dose"), "line 6, column 13"),
        (("steps", 1, "eds_map", "elements", 2), "line 5, column 24"),
        (("steps", 1, "eds_map", "passes"), "line 5, column 7"),
        (("steps", 7), "line 3, column 3"),
    ],
)
def test_a_place_is_found_or_the_nearest_thing_around_it(place: tuple[str | int, ...], where: str) -> None:
    assert read_yaml(TREE).at(place) == where


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}'\"#&*!|>%?@,\n\t 019._~<\\\x00\x85é\u2028"), max_size=40))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        read_yaml(text).at(("a", 0, "b"))
    except YamlError as error:
        assert PLACE.match(str(error))
