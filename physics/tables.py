"""Read the data files that lie beside the formulas."""

from functools import cache
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML


def text(name: str) -> str:
    """Return the text of the data file `name`; FileNotFoundError if there is none."""
    return files("physics").joinpath("data", name).read_text(encoding="utf-8")


@cache
def table(name: str) -> Any:
    """Return the YAML data file `name` as plain dicts, lists, strings and numbers, to be read only."""
    return YAML(typ="safe", pure=True).load(text(f"{name}.yaml"))
