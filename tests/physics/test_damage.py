"""Damage follows the fluence, the speed of the electrons and the temperature."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.constants import c, e, fine_structure, hbar

from physics import damage
from physics.dose import E_PER_A2
from physics.electrons import REST_ENERGY, beta_squared, gamma
from physics.materials import atom_mass


def test_lithium_carbonate_falls_to_1_over_e_at_750_electrons() -> None:
    # 200 keV, room temperature: Sci. Rep. 4 (2014), PMC4100024, figure 1
    critical = damage.sensitivities("lattice")["Li2CO3"].critical_fluence(200e3, 295.0)
    assert float(damage.surviving(750 * E_PER_A2, critical)) == pytest.approx(math.exp(-1), rel=1e-3)


def test_a_noisy_fading_series_gives_the_750_electrons_back() -> None:
    """A spot of 200 electrons that fades with the critical dose of Sci. Rep. 4 (2014), in 40 frames of 50 e/A^2."""
    critical = damage.sensitivities("lattice")["Li2CO3"].critical_fluence(200e3, 295.0)
    fluences = np.arange(40) * 50 * E_PER_A2
    counts = np.random.default_rng(4).poisson(200 * damage.surviving(fluences, critical))
    kept = counts > 10
    slope = np.polyfit(fluences[kept], np.log(counts[kept]), 1, w=np.sqrt(counts[kept]))[0]
    assert -1 / slope / E_PER_A2 == pytest.approx(750, rel=0.05)


def highest_transfer(element: str, energy: float) -> float:
    """Largest energy in eV that an electron (eV) hands to an atom: 2 E (E + 2 m c^2) / (M c^2), Reimer and Kohl."""
    return float(2 * energy * (energy + 2 * REST_ENERGY) / (atom_mass(element) * c**2 / e))


def displacement(element: str, z: int, energy: float, threshold: float) -> float:
    """Cross-section in m^2 to push an atom off its place: W. McKinley and H. Feshbach, Phys. Rev. 74 (1948) 1759."""
    beta2 = beta_squared(energy)
    beta, ratio = math.sqrt(beta2), highest_transfer(element, energy) / threshold
    rest_length = fine_structure * hbar * c / (REST_ENERGY * e)  # classical electron radius, m
    area = math.pi * (z * rest_length / (beta2 * gamma(energy))) ** 2
    pull = math.pi * z * fine_structure * beta
    return float(area * (ratio - 1 - beta2 * math.log(ratio) + pull * (2 * math.sqrt(ratio) - 2 - math.log(ratio))))


@pytest.mark.parametrize(
    ("element", "transfers"),  # eV at 80, 200, 300 kV
    [("Li", (27.3, 75.6, 122.7)), ("O", (11.8, 32.8, 53.2)), ("P", (6.1, 16.9, 27.5))],
)
def test_electrons_hand_atoms_the_energies_of_the_textbook(element: str, transfers: tuple[float, float, float]) -> None:
    """Kinematics, Reimer and Kohl, chapter 11: lithium is knocked the hardest."""
    for energy, expected in zip((80e3, 200e3, 300e3), transfers, strict=True):
        assert highest_transfer(element, energy) == pytest.approx(expected, rel=0.01)


def test_knock_on_displaces_lithium_at_doses_so_high_that_the_table_may_leave_it_out() -> None:
    """McKinley-Feshbach with a displacement energy of 15 eV: 17.7, 16.4 and 14.7 barn, thus about 6e6 e/A^2."""
    barns = [displacement("Li", 3, energy, 15.0) / 1e-28 for energy in (80e3, 200e3, 300e3)]
    assert barns == pytest.approx([17.7, 16.4, 14.7], rel=0.03)
    critical = 1 / (displacement("Li", 3, 300e3, 15.0) * E_PER_A2)
    assert critical == pytest.approx(6.5e6, rel=0.1)
    assert critical > 100 * damage.sensitivities("lattice")["Li"].fluence / E_PER_A2


@pytest.mark.parametrize(("energy", "ratio"), [(200e3, 0.80), (80e3, 0.42)])
def test_slower_electrons_damage_more(energy: float, ratio: float) -> None:
    assert damage.critical_fluence(1e24, energy, 100.0) / 1e24 == pytest.approx(ratio, abs=0.005)


def test_the_table_stands_for_300_kev_at_100_k() -> None:
    assert damage.sensitivities("lattice")["Li3N"].critical_fluence(300e3, 100.0) == pytest.approx(5e3 * E_PER_A2)


def test_a_warm_salt_bears_a_quarter_and_a_warm_metal_as_much() -> None:
    salt, metal = damage.sensitivities("lattice")["Li2O"], damage.sensitivities("lattice")["Li"]
    assert salt.critical_fluence(3e5, 295.0) == pytest.approx(salt.critical_fluence(3e5, 100.0) / 4)
    assert metal.critical_fluence(3e5, 295.0) == pytest.approx(metal.critical_fluence(3e5, 100.0))


def test_colder_than_100_k_protects_no_further() -> None:
    assert damage.critical_fluence(1e24, 3e5, 77.0) == damage.critical_fluence(1e24, 3e5, 100.0)


@pytest.mark.parametrize(("fluence", "probability"), [(1e3, 0.017), (1e5, 0.81)])
def test_false_lithium_oxide_grows_in_a_careless_run(fluence: float, probability: float) -> None:
    critical = damage.sensitivities("growth")["Li2O"].critical_fluence(300e3, 100.0)
    assert float(damage.grown(fluence * E_PER_A2, critical)) == pytest.approx(probability, rel=0.03)


def test_nitrogen_outlives_a_map_of_ten_thousand_electrons() -> None:
    assert damage.sensitivities("element_loss")["N"].fluence >= 3e4 * E_PER_A2


@settings(max_examples=50, deadline=None)
@given(first=st.floats(0, 1e26), second=st.floats(0, 1e26), critical=st.floats(1e22, 1e26))
def test_two_exposures_damage_as_much_as_their_sum(first: float, second: float, critical: float) -> None:
    both = float(damage.surviving(first, critical)) * float(damage.surviving(second, critical))
    assert float(damage.surviving(first + second, critical)) == pytest.approx(both, rel=1e-6, abs=1e-300)


def test_every_number_says_where_it_comes_from() -> None:
    for effect in ("lattice", "element_loss", "growth"):
        assert all(entry.source for entry in damage.sensitivities(effect).values())


def test_a_critical_fluence_of_nothing_is_refused() -> None:
    for critical in (0.0, math.nan):
        with pytest.raises(ValueError, match="critical fluence"):
            damage.surviving(1e24, critical)
