"""Reads the project's own source for the tests of its house rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("physics", "drivers", "simulators", "acquisition", "protocols")


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root, its text, and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The folder at the top."""
        return self.path.partition("/")[0]

    def at(self, node: ast.AST) -> str:
        """`path:line` of a node."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}"

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Everything in the tree."""
        return tuple(ast.walk(self.tree))

    def imports(self) -> Iterator[tuple[ast.AST, str]]:
        """Every module imported anywhere in the file; of `from a import b` both a and a.b."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                yield node, module
                yield from ((node, f"{module}.{alias.name}") for alias in node.names)

    def calls(self) -> Iterator[ast.Call]:
        """Every call in the file."""
        return (node for node in self.nodes if isinstance(node, ast.Call))


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """The Python files of folders at the root, in order."""
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            found.append(Source(path.relative_to(ROOT).as_posix(), text, ast.parse(text)))
    return tuple(found)


def ours() -> tuple[Source, ...]:
    """The files of the five packages."""
    return sources(*PACKAGES)


def name_of(node: ast.AST) -> str:
    """A dotted name as it stands in the source, such as `datetime.now`; "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = name_of(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""


def modules_imported(source: Source, names: frozenset[str]) -> list[str]:
    """`path:line imports NAME` for every import of one of the top-level modules."""
    found = {f"{source.at(node)} imports {name}" for node, name in source.imports() if name.split(".")[0] in names}
    return sorted(found)
