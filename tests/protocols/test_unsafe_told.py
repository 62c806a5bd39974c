"""A run that ends with a device that cannot be made safe says so to whoever looks, whatever else it died of."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from drivers.cryostat import Cryostat
from drivers.errors import LinkClosed
from drivers.scan import Scan
from protocols import runner
from protocols.cli import FAILED, app
from tests.protocols.whole_run import COOL, recipe_text, rig_text

LOST = "the link scan to tcp://10.0.0.5:7770 was lost (closed from the far end)"


def test_what_could_not_be_made_safe_is_said_on_the_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(device: Scan) -> None:
        raise LinkClosed(LOST, device=device.name, action="make_safe")

    def broken(device: Cryostat, *_: object, **__: object) -> None:
        raise LinkClosed("the link cryostat is closed", device=device.name, action="set_temperature")

    monkeypatch.setattr(Scan, "make_safe", stuck)
    monkeypatch.setattr(Cryostat, "set_temperature", broken)
    monkeypatch.setattr(runner, "write_figures", lambda folder: [])
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(recipe_text(COOL), encoding="utf-8")
    Path("warm.yaml").write_text(rig_text(), encoding="utf-8")
    result = CliRunner().invoke(app, ["run", "small.yaml", "--rig", "warm.yaml", "--out", "night"])
    assert result.exit_code == FAILED
    assert result.stdout.splitlines()[-1] == f"NOT SAFE: scan: FAILED: scan: make_safe: {LOST}."
    assert result.stderr.strip() == "cryostat: set_temperature: the link cryostat is closed."
