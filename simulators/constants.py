"""Numbers of the simulated instruments, from the data files that say where each is from."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML


@cache
def constants(name: str) -> Any:
    """The YAML file `name` in simulators/data as plain dicts and numbers, to be read only."""
    text = files("simulators").joinpath("data", f"{name}.yaml").read_text(encoding="utf-8")
    return YAML(typ="safe", pure=True).load(text)
