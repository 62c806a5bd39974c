"""Damage follows the fluence, the speed of the electrons and the temperature."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physics import damage
from physics.dose import E_PER_A2


def test_lithium_carbonate_falls_to_1_over_e_at_750_electrons() -> None:
    # 200 keV, room temperature: Sci. Rep. 4 (2014), PMC4100024, figure 1
    critical = damage.sensitivities("lattice")["Li2CO3"].critical_fluence(200e3, 295.0)
    assert float(damage.surviving(750 * E_PER_A2, critical)) == pytest.approx(math.exp(-1), rel=1e-3)


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
