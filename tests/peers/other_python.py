"""Programs that live in an environment of their own, started by its Python and stopped again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest


def python_with(package: str, variable: str, *, fits: Callable[[], bool] = lambda: True) -> str:
    """The Python that has a package: the one the environment variable names, or this one; skips where neither has it.

    fits: says of this one whether what else is in it suits the package.
    """
    if variable in os.environ:
        return os.environ[variable]
    try:
        version(package)
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed; name a Python that has it in {variable}")
    if not fits():
        pytest.skip(f"{package} does not run beside what is installed here; name another Python in {variable}")
    return sys.executable


def answer(command: list[str], *, seconds: float) -> Any:
    """What a program says as JSON in the last line of its output; fails with what it complained of."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def running(command: list[str], *, ends_by_itself: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A program while the block runs; it is told the end of its input, or ended."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            if not ends_by_itself:
                process.terminate()
            try:
                process.wait(20.0)
            except subprocess.TimeoutExpired:
                process.kill()
