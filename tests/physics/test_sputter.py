"""Sputtering: the table's own numbers, the published ones, and the shape of the angle law."""

from __future__ import annotations

import numpy as np
import pytest

from physics import materials
from physics.sputter import removal

UM3_PER_NC = 1e-9  # m^3/C


def volume(material: str, energy: float = 30e3, degrees: float = 0.0) -> float:
    return float(removal(material, energy, np.radians(degrees))) / UM3_PER_NC


def test_a_nanocoulomb_at_30_kv_removes_0_27_cubic_micrometres_of_silicon() -> None:
    # maker's chart 0.27; 0.15 to 0.48 are published
    assert volume("Si") == pytest.approx(0.27)


@pytest.mark.parametrize(("energy", "degrees", "expected"), [(30e3, 80, 1.98), (5e3, 0, 0.166), (2e3, 80, 0.695)])
def test_the_table_s_own_points_come_back(energy: float, degrees: float, expected: float) -> None:
    assert volume("Si", energy, degrees) == pytest.approx(expected, rel=0.01)


def test_silicon_mills_fastest_at_78_to_86_degrees() -> None:
    degrees = np.arange(0.0, 90.0, 0.5)
    fastest = degrees[np.argmax(removal("Si", 30e3, np.radians(degrees)))]
    assert 78.0 <= fastest <= 86.0
    assert 5.0 <= volume("Si", degrees=80) / volume("Si") <= 10.0


def test_lithium_mills_two_to_three_times_faster_than_lipon_at_grazing_angles() -> None:
    for degrees in (78, 80, 82, 84, 86):
        assert 2.0 <= volume("Li", degrees=degrees) / volume("LiPON", degrees=degrees) <= 3.0
    assert volume("Li") / volume("LiPON") < 2.0


def test_nothing_is_removed_along_the_surface_or_from_behind() -> None:
    assert np.all(removal("Cu", 30e3, np.radians([90.0, 120.0, -90.0])) == 0.0)


def test_slower_ions_remove_less() -> None:
    energies = [500.0, 2e3, 5e3, 8e3, 16e3, 30e3]
    for material in ("Li", "LiPON", "Si", "W"):
        volumes = [volume(material, energy) for energy in energies]
        assert volumes == sorted(volumes)
        assert volumes[0] > 0.0


def test_every_material_of_the_sample_files_can_be_milled() -> None:
    assert all(volume(name) > 0.0 for name in materials.names())


def test_what_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match=r'no "cheese" in sputter\.yaml\. There are: C, Cu, Li'):
        volume("cheese")
    with pytest.raises(ValueError, match="remove nothing"):
        volume("Si", energy=0.0)
