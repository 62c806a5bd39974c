"""Reads a recipe: a YAML list of steps, every error with its line and column, or a Python function."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from traceback import extract_tb
from typing import Any, TypeVar

from pydantic import ValidationError

from acquisition.engine import Run
from protocols.heading import Heading, Recipe
from protocols.steps.base import Step
from protocols.steps.registry import STEPS
from protocols.yamlfile import Located, YamlError, decoded, read_yaml

T = TypeVar("T")

BROKEN = (  # what the text of a Python recipe may raise as it is read
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    SystemExit,
    TypeError,
    ValueError,
)


class RecipeError(Exception):
    """The recipe cannot be used; says where and what."""


def shipped() -> dict[str, Path]:
    """The recipes that come with the program, by name."""
    folder = Path(str(files("protocols") / "recipes"))
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in (".yaml", ".py")}


def load_recipe(name: str) -> Recipe:
    """Read a recipe by path or shipped name; raises RecipeError."""
    path = shipped().get(name) or Path(name)
    if not path.is_file():
        raise RecipeError(f'recipe "{name}" is neither a file nor shipped. Shipped: {", ".join(shipped())}.')
    content = path.read_bytes()
    try:
        text = decoded(content)
    except YamlError as error:
        raise RecipeError(f"recipe {path.name} {error}") from None
    return _from_python(path, content) if path.suffix == ".py" else _from_yaml(path.name, text)


def _from_yaml(name: str, text: str) -> Recipe:
    try:
        document = read_yaml(text)
    except YamlError as error:
        raise RecipeError(f"recipe {name} {error}") from None
    content = document.content
    if not isinstance(content, Mapping) or not isinstance(content.get("steps"), list):
        raise RecipeError(f"recipe {name} line 1, column 1: needs `recipe: 1`, `name`, `sample`, `budgets`, `steps`.")
    heading = {key: value for key, value in content.items() if key != "steps"}
    read_heading = _validated(lambda: Heading.model_validate(heading, context={"typed": True}), name, document, ())
    steps = [_step(item, number, name, document) for number, item in enumerate(content["steps"])]
    if not steps:
        raise RecipeError(f"recipe {name} {document.at(('steps',))}: has no steps.")

    def do_all(run: Run) -> None:
        for step in steps:
            run.do(step)

    return Recipe(read_heading, steps, do_all, text.encode(), name)


def _step(item: Any, number: int, name: str, document: Located) -> Step:
    where = ("steps", number)
    if not isinstance(item, Mapping) or len(item) != 1:
        raise RecipeError(
            f"recipe {name} {document.at(where)}: a step is one name with its parameters, `- wait: {{...}}`."
        )
    (do, parameters), *_ = item.items()
    if do not in STEPS:
        raise RecipeError(
            f'recipe {name} {document.at((*where, do))}: there is no step "{do}". Steps: {", ".join(STEPS)}.'
        )
    if parameters is not None and not isinstance(parameters, Mapping):
        raise RecipeError(
            f'recipe {name} {document.at((*where, do))}: "{do}" needs named parameters, `- {do}: {{...}}`.'
        )
    model, given = STEPS[do], dict(parameters or {})
    return _validated(lambda: model.model_validate(given, context={"typed": True}), name, document, (*where, do))


def _validated(make: Callable[[], T], name: str, document: Located, prefix: tuple[str | int, ...]) -> T:
    try:
        return make()
    except ValidationError as error:
        lines = [
            f"recipe {name} {document.at((*prefix, *problem['loc']))}: {_plain(problem)}" for problem in error.errors()
        ]
        raise RecipeError("\n".join(lines)) from None


def _plain(problem: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f'"{key}" is missing.'
    if problem["type"] == "tuple_type" and key.endswith("pixels"):
        return f"{key}: write columns and rows, such as [128, 128]."
    if problem["type"] == "extra_forbidden":
        return f'"{key}" is not a parameter here.'
    return f"{key}: {message}" if key else message


def _from_python(path: Path, content: bytes) -> Recipe:
    """A recipe file in Python defines NAME, SAMPLE, BUDGETS (and AREAS, ELEMENTS) and `def recipe(run)`."""
    try:
        found = runpy.run_path(str(path))
    except BROKEN as error:
        raise RecipeError(f"recipe {path.name}{_line_in(path, error)}: {type(error).__name__}: {error}") from None
    missing = [name for name in ("NAME", "SAMPLE", "BUDGETS", "recipe") if name not in found]
    if missing or not callable(found["recipe"]):
        raise RecipeError(
            f"recipe {path.name}: defines no {', '.join(missing) or 'function `recipe`'}; "
            "it needs NAME, SAMPLE, BUDGETS and `def recipe(run)`."
        )
    said = {"name": "NAME", "sample": "SAMPLE", "budgets": "BUDGETS", "areas": "AREAS", "elements": "ELEMENTS"}
    try:
        heading = Heading.model_validate(
            {key: found[name] for key, name in said.items() if name in found}, context={"typed": True}
        )
    except ValidationError as error:
        raise RecipeError("\n".join(f"recipe {path.name}: {_plain(p)}" for p in error.errors())) from None
    return Recipe(heading, None, found["recipe"], content, path.name)


def _line_in(path: Path, error: BaseException) -> str:
    """` line L` of a recipe file, where an error in it happened."""
    if isinstance(error, SyntaxError):
        return f" line {error.lineno}"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f" line {lines[-1]}" if lines else ""


def describe_shipped() -> Iterator[tuple[str, str]]:
    """Name and title of each shipped recipe."""
    for name in shipped():
        yield name, load_recipe(name).heading.name
