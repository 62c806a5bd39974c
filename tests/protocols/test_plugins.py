"""Drivers of third parties: found where they are installed, imported when a rig names them, refused in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.console import Console

from protocols.doctor import examine
from protocols.kinds import KINDS, known_kinds
from protocols.plugins import PluginError
from protocols.rigtext import RigFileError, load_rig, read_rig
from tests.protocols.small_rig import small

DRIVER = """
from drivers.cryostat import Cryostat, ranges
from drivers.kind import Kind
from simulators.boxes.cryostat import CryostatServer
KIND = Kind(Cryostat, ranges, CryostatServer)
"""
BROKEN = {
    "raise ImportError('no vendor\\nand no other')": "cannot be imported: ImportError: no vendor and no other",
    "KIND = ": "cannot be imported: SyntaxError",
    "1 / 0": "cannot be imported: ZeroDivisionError",
    "OTHER = 1": "cannot be imported: AttributeError",
    "KIND = 1": "is a int, not a drivers.kind.Kind",
    "from drivers.kind import Kind\nKIND = Kind(int, dict)": "its driver int has no Settings, a pydantic model",
    DRIVER + "class Half:\n    Settings = Cryostat.Settings\n    def open(self): ...\nKIND = Kind(Half, ranges)": (
        "its driver Half has no close, make_safe, status"
    ),
}


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which packages can be installed."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("shelf_"):
            del sys.modules[name]


def install(shelf: Path, package: str, name: str, code: str) -> None:
    """A package with one module that offers one driver."""
    module = f"shelf_{package.replace('-', '_')}"
    (shelf / f"{module}.py").write_text(code, encoding="utf-8")
    about = shelf / f"{package.replace('-', '_')}-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(f"[cryolift.drivers]\n{name} = {module}:KIND\n", encoding="utf-8")


def rig_with(driver: str) -> str:
    """A rig whose cryostat is driven by another driver."""
    return small("bench-exact").replace("driver: lakeshore", f"driver: {driver}")


def test_a_rig_file_may_name_the_driver_of_a_third_party(shelf: Path) -> None:
    install(shelf, "acme-cold", "acme", DRIVER)
    assert list(known_kinds()) == [*KINDS, "acme"]
    assert len(known_kinds()) == len(KINDS) + 1
    assert "shelf_acme_cold" not in sys.modules  # nothing is imported to know of it
    rig = read_rig(rig_with("acme"), "my.yaml")
    assert rig.kind("cryostat").driver is KINDS["lakeshore"].driver
    assert "shelf_acme_cold" in sys.modules


def test_a_driver_that_nobody_offers_is_refused_with_those_there_are(shelf: Path) -> None:
    install(shelf, "acme-cold", "acme", DRIVER)
    with pytest.raises(RigFileError, match=r'line \d+, .*no driver "emca"\. Drivers: lakeshore, .*, acme\.'):
        read_rig(rig_with("emca"), "my.yaml")


@pytest.mark.parametrize(("code", "said"), BROKEN.items())
def test_a_broken_driver_is_one_line_with_its_package_and_hurts_no_rig_without_it(
    shelf: Path, code: str, said: str
) -> None:
    install(shelf, "acme-cold", "acme", code)
    load_rig("bench")
    with pytest.raises(RigFileError) as caught:
        read_rig(rig_with("acme"), "my.yaml")
    assert str(caught.value).startswith("rig my.yaml line ")
    assert "acme (acme-cold 1.2, shelf_acme_cold:KIND)" in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_of_ours_stays_ours(shelf: Path) -> None:
    install(shelf, "acme-cold", "lakeshore", "raise RuntimeError('never imported')")
    kinds = known_kinds()
    assert kinds["lakeshore"] is KINDS["lakeshore"]
    assert len(kinds) == len(KINDS)
    assert "refused: cryolift has a driver of its own" in kinds.fault(kinds.offers[0])


def test_a_name_that_two_packages_offer_is_neither_s(shelf: Path) -> None:
    install(shelf, "acme-cold", "acme", DRIVER)
    install(shelf, "acme-warm", "acme", DRIVER)
    with pytest.raises(PluginError, match=r"two packages offer it: acme \(acme-cold 1.2, .* and acme \(acme-warm 1.2"):
        known_kinds()["acme"]


def test_doctor_lists_the_drivers_of_third_parties_and_what_is_wrong_with_them(shelf: Path) -> None:
    install(shelf, "acme-cold", "acme", DRIVER)
    install(shelf, "acme-broken", "broken", "1 / 0")
    install(shelf, "acme-scan", "open-beam-interface", DRIVER)
    console = Console(record=True, width=200, file=(shelf / "said.txt").open("w", encoding="utf-8"))
    assert examine(read_rig(small("bench-exact"), "my.yaml"), console)
    console.file.close()
    said = console.export_text()
    assert "driver of a third party: acme (acme-cold 1.2, shelf_acme_cold:KIND)" in said
    assert "driver of a third party: broken (acme-broken 1.2, shelf_acme_broken:KIND) cannot be imported" in said
    assert "open-beam-interface (acme-scan 1.2, shelf_acme_scan:KIND) is refused" in said
