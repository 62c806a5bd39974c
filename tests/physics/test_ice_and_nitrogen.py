"""Ice grows, sublimes and nitrogen boils as published."""

import pytest

from physics import ice, liquid_nitrogen

MBAR = 100.0  # Pa
NM_PER_HOUR = 1e-9 / 3600


def test_the_vapour_pressure_at_the_triple_point_is_that_of_the_formula() -> None:
    assert float(ice.vapour_pressure(273.16)) == pytest.approx(611.657, abs=5e-4)  # Murphy and Koop (2005)


def test_fifty_nanometres_an_hour_are_1_2e_7_mbar_of_water() -> None:
    assert ice.growth_rate(1.2e-7 * MBAR, 110.0) / NM_PER_HOUR == pytest.approx(50, rel=0.02)


@pytest.mark.parametrize(("pressure", "turning_point"), [(1e-8, 142), (1e-7, 151), (1e-6, 160)])
def test_ice_stops_growing_at_the_temperature_where_it_sublimes_as_fast(pressure: float, turning_point: float) -> None:
    assert ice.growth_rate(pressure * MBAR, turning_point - 1.0) > 0
    assert ice.growth_rate(pressure * MBAR, turning_point + 1.0) < 0


@pytest.mark.parametrize(("celsius", "nanometres"), [(-95, 5.5), (-110, 0.24), (-130, 0.0014)])
def test_ice_sublimes_in_a_good_vacuum(celsius: float, nanometres: float) -> None:
    assert -ice.growth_rate(0.0, celsius + 273.15) * 1e9 == pytest.approx(nanometres, rel=0.05)


def test_a_shield_keeps_water_away_in_proportion() -> None:
    assert ice.growth_rate(1e-5, 100.0, shield=0.1) == pytest.approx(0.1 * ice.growth_rate(1e-5, 100.0), rel=1e-6)


def test_half_the_sticking_is_half_the_growth() -> None:
    assert ice.growth_rate(1e-5, 110.0, sticking=0.5) == pytest.approx(ice.growth_rate(1e-5, 110.0) / 2)


def test_water_at_1e_7_mbar_consumes_half_a_nanometre_of_lithium_a_minute() -> None:
    assert ice.arrival_rate(1e-7 * MBAR) / 46.3e27 * 60 * 1e9 == pytest.approx(0.46, rel=0.03)


def test_a_watt_boils_0_0225_litres_of_nitrogen_an_hour() -> None:
    litres = liquid_nitrogen.boil_off(1.0) / liquid_nitrogen.density() * 1e3 * 3600
    assert litres == pytest.approx(0.0225, rel=0.01)


def test_nitrogen_boils_at_77_36_kelvin() -> None:
    assert liquid_nitrogen.boiling_point() == 77.36
