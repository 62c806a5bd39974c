"""A recipe as YAML: what is read, and that every refusal says where, what and what was probably meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.recipe import Recipe, RecipeError, load_recipe, shipped
from protocols.steps.registry import STEPS

HEAD = """\
recipe: 1
name: a test
sample: wafer-7/lamella-2
budgets: {interface: {notify: 9e3 e/A^2, limit: 1.2e4 e/A^2}}
steps:
"""
FIRST = 6  # line of the first step below the heading

# style.md, "A recipe reads like the operator's notebook", to the letter
NOTEBOOK = """\
recipe: 1
name: Li/LiPON map within 12000 e/A^2
sample: wafer-7/lamella-2
budgets: {interface: {notify: 9e3 e/A^2, limit: 1.2e4 e/A^2}, beside: {limit: 1e6 e/A^2}}
steps:
  - cool_down: {to: 100 K, ramp: 10 K/min, hold: 20 min}
  - focus:     {on: beside, dose: 50 e/A^2}
  - stem_image: {of: interface, pixels: [512, 512], field: 400 nm, dwell: 4 us}
  - eds_map:   {of: interface, elements: [P, N, O], dose: 1e4 e/A^2, passes: 40, drift: correct}
  - eds_line:  {from: eds_map, across: interface}          # integrates what was recorded; no beam
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """Where a test writes its recipe."""
    return tmp_path / "night.yaml"


def read(path: Path, text: str) -> Recipe:
    """The recipe of a text."""
    path.write_text(text, encoding="utf-8")
    return load_recipe(str(path))


def refused(path: Path, text: str) -> str:
    """The message with which a text is refused; every line of it begins with the file, a line and a column."""
    with pytest.raises(RecipeError) as caught:
        read(path, text)
    for line in str(caught.value).splitlines():
        assert re.match(rf"recipe {re.escape(path.name)} line \d+, column \d+: .", line)
    return str(caught.value)


def test_the_operator_s_notebook_is_a_recipe(recipe_file: Path) -> None:
    recipe = read(recipe_file, NOTEBOOK)
    assert [step.do for step in recipe.steps or ()] == ["cool_down", "focus", "stem_image", "eds_map", "eds_line"]
    assert recipe.heading.budgets["interface"].limit == 1.2e24  # m^-2; 1 e/A^2 is 1e20 m^-2
    assert recipe.text == NOTEBOOK


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_shipped_recipe_is_found_by_its_name(name: str) -> None:
    assert load_recipe(name).file_name in (f"{name}.yaml", f"{name}.py")


@pytest.mark.parametrize(
    ("step", "column", "what"),
    [
        ("- wait: {for: 100}", 15, 'time "100" has no unit. Did you mean "100 s"?'),
        ('- wait: {for: "100"}', 15, 'time "100" has no unit. Did you mean "100 s"?'),
        ("- cool_down: {to: 100, ramp: 10 K/min}", 19, 'temperature "100" has no unit. Did you mean "100 K"?'),
        ("- wait: {for: 100 nm}", 15, "has a unit of length"),
        ("- wait: {for: 100 parsecs}", 15, 'unknown unit "parsecs"'),
        ("- focus: {on: a, dose: 12 000 e/A^2}", 24, "has grouped digits"),
        ("- focus: {on: a, dose: '12,000 e/A^2'}", 24, "has grouped digits"),
        ("- wait: {for: .nan}", 15, "is not a number with a unit"),
        ("- wait: {for: 1e999 s}", 15, "out of range"),
        ("- wait: {for: -5 s}", 15, "greater than or equal to 0"),
        ("- cool_down: {to: 100 K, ramp: 0 K/min}", 32, "greater than 0"),
        ("- cool_down: {to: -5 K, ramp: 1 K/min}", 19, "below absolute zero"),
        ("- stem_image: {pixels: [0, 64], field: 1 nm, dwell: 1 us}", 25, "greater than or equal to 1"),
        ("- stem_image: {pixels: [64, 64], field: 0 nm, dwell: 1 us}", 41, "greater than 0"),
        ("- eds_map: {elements: [Xx], dose: 1 e/A^2, passes: 2}", 23, "Invalid chemical symbol"),
        ("- eds_map: {elements: [P, P], dose: 1 e/A^2, passes: 2}", 23, "names an element twice"),
        ("- eds_map: {elements: [Li], dose: 1 e/A^2, passes: 2}", 23, "Li has no X-ray line"),
        ("- eds_map: {elements: [], dose: 1 e/A^2, passes: 2}", 23, "at least 1"),
        ("- eds_map: {elements: [P], dose: 1 e/A^2, passes: 0}", 51, "greater than or equal to 1"),
        ("- eds_line: {across: a}", 13, "say either"),
        ("- eds_line: {across: a, from: stem_image}", 31, "from"),
    ],
)
def test_a_value_that_cannot_be_is_refused_where_it_stands(
    recipe_file: Path, step: str, column: int, what: str
) -> None:
    message = refused(recipe_file, f"{HEAD}{step}\n")
    assert f"line {FIRST}, column {column}: " in message
    assert what in message


@pytest.mark.parametrize(
    ("step", "column", "what"),
    [
        ("- sleep: {for: 1 s}", 10, 'there is no step "sleep". Steps: cool_down, wait,'),
        ("- wait: {for: 1 s, fro: 2 s}", 25, '"fro" is not a parameter here.'),
        ("- wait: {}", 9, '"for" is missing.'),
        ("- wait:", 1, '"for" is missing.'),
        ("- wait: 5 s", 9, '"wait" needs named parameters, `- wait: {...}`'),
        ("- wait: [5 s]", 9, '"wait" needs named parameters'),
        ("- wait: {1: 5 s}", 13, "Keys should be strings"),
        ("- wait", 3, "a step is one name with its parameters"),
        ("- {wait: {for: 1 s}, focus: {on: a}}", 3, "a step is one name with its parameters"),
    ],
)
def test_a_step_that_is_none_is_refused_where_it_stands(recipe_file: Path, step: str, column: int, what: str) -> None:
    message = refused(recipe_file, f"{HEAD}{step}\n")
    assert f"column {column}: " in message
    assert what in message


def test_every_fault_of_a_step_is_told_at_once(recipe_file: Path) -> None:
    message = refused(recipe_file, f"{HEAD}- cool_down: {{to: 100, ramp: 10, for: 5 s}}\n")
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize(
    ("budget", "what"),
    [
        ("limit: 0 e/A^2", "more than nothing"),
        ("limit: -5 e/A^2", "more than nothing"),
        ("limit: 12000", 'Did you mean "12000 e/A^2"?'),
        ("limit: 5 e/A^2, notify: 6 e/A^2", "notify"),
        ("limit: 5 e/A^2, notify: 0 e/A^2", "notify"),
        ("limit: 5 e/A^2, notify: -1 e/A^2", "notify"),
        ("notify: 5 e/A^2", '"budgets.interface.limit" is missing.'),
        ("limit: 5 e/A^2, warn: 1 e/A^2", '"budgets.interface.warn" is not a parameter here.'),
    ],
)
def test_a_budget_that_protects_nothing_is_refused(recipe_file: Path, budget: str, what: str) -> None:
    text = HEAD.replace("notify: 9e3 e/A^2, limit: 1.2e4 e/A^2", budget) + "- wait: {for: 1 s}\n"
    message = refused(recipe_file, text)
    assert "line 4, " in message
    assert what in message


def test_an_area_without_extent_is_refused(recipe_file: Path) -> None:
    text = HEAD.replace("steps:", "areas: {beside: {at: [0 nm, 0 nm], size: [0 nm, 5 nm]}}\nsteps:")
    assert "line 5, column 43: areas.beside.size.0" in refused(recipe_file, text + "- wait: {for: 1 s}\n")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "needs `recipe: 1`"),
        ("a line of text", "needs `recipe: 1`"),
        ("- wait: {for: 1 s}\n", "needs `recipe: 1`"),
        (HEAD.replace("recipe: 1", "recipe: 2") + "- wait: {for: 1 s}\n", "recipe: Input should be 1"),
        (HEAD.replace("name: a test\n", "") + "- wait: {for: 1 s}\n", '"name" is missing.'),
        (HEAD.replace("sample:", "simple:") + "- wait: {for: 1 s}\n", '"simple" is not a parameter here.'),
        (HEAD.replace("steps:\n", "steps: []\n"), "has no steps"),
        (HEAD.replace("steps:\n", "steps: wait\n"), "needs `recipe: 1`"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(recipe_file: Path, text: str, what: str) -> None:
    assert what in refused(recipe_file, text)


def test_a_file_that_is_no_text_is_refused_at_its_first_wrong_byte(recipe_file: Path) -> None:
    recipe_file.write_bytes(b"recipe: 1\nname: \xff\n")
    with pytest.raises(RecipeError, match=r"night.yaml line 2, column 7: is not text in UTF-8"):
        load_recipe(str(recipe_file))


@pytest.mark.parametrize("name", ["no-such-recipe", "no/such/file.yaml", "."])
def test_a_recipe_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(RecipeError, match=r"neither a file nor shipped. Shipped: .*dose-limited-map"):
        load_recipe(name)


PIECES = ["recipe: 1", "name: a", "sample: s", "budgets:", "steps:", "- ", "{", "}", "[", "]", ": ", ", ", "\n", "  "]
VALUES = ["100", "100 K", "1e3 e/A^2", "5 s", "no", "~", "[64, 64]", "interface", "{for: 5 s}", "é", "'", "&a", "*a"]
NAMES = [*STEPS, "for", "to", "ramp", "of", "dose", "passes", "elements", "limit", "interface"]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*PIECES, *VALUES, *NAMES]), max_size=30).map("".join))
def test_any_text_is_a_recipe_or_refused_with_its_place(recipe_file: Path, text: str) -> None:
    try:
        assert read(recipe_file, text).steps
    except RecipeError as error:
        assert " line " in str(error)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(STEPS)),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), max_size=6),
)
def test_any_parameters_make_a_step_or_are_refused_with_their_place(
    recipe_file: Path, do: str, parameters: dict[str, str]
) -> None:
    written = ", ".join(f"{key}: {value}" for key, value in parameters.items())
    try:
        assert read(recipe_file, f"{HEAD}- {do}: {{{written}}}\n").steps
    except RecipeError as error:
        assert " line " in str(error)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40))
def test_any_bytes_are_a_recipe_or_refused(recipe_file: Path, content: bytes) -> None:
    recipe_file.write_bytes(content)
    with pytest.raises(RecipeError):
        load_recipe(str(recipe_file))
