"""Cold, drift and ice: the numbers their sources publish, and what happens when things break."""

from __future__ import annotations

import numpy as np
import pytest

from physics import liquid_nitrogen
from simulators.sample.file import load_sample
from simulators.stages.drift import Drift
from simulators.stages.ice import Ice
from simulators.stages.thermal import Cryostat
from tests.simulators.bench import make_world, sample_with

HOUR = 3600.0


def _cryostat() -> Cryostat:
    return Cryostat(np.random.default_rng(1))


def _held_at(kelvin: float, seconds: float = 2.5 * HOUR) -> Cryostat:
    cryostat = _cryostat()
    cryostat.heater_limit = 10.0
    cryostat.set_ramp(10.0 / 60.0)
    cryostat.go_to(kelvin)
    cryostat.advance(seconds)
    return cryostat


def test_without_heat_the_stage_comes_to_90_kelvin() -> None:  # physics.md section 7: 90.2 K
    cryostat = _cryostat()
    cryostat.advance(3 * HOUR)
    assert cryostat.temperature("stage") == pytest.approx(90.2, abs=1.5)
    assert cryostat.temperature("shield") < cryostat.temperature("stage")


def test_113_kelvin_is_reached_in_64_minutes() -> None:  # physics.md section 7: 64 min to -160 C
    cryostat = _cryostat()
    minutes = 0
    while cryostat.temperature("stage") > 113.0:
        minutes += 1
        cryostat.advance(60.0 * minutes)
    assert minutes == pytest.approx(64, abs=5)


def test_a_ramp_to_100_kelvin_overshoots_by_less_than_2_and_holds() -> None:
    cryostat = _held_at(100.0, 0.0)
    lowest = 300.0
    for second in range(0, int(2.5 * HOUR), 10):
        cryostat.advance(float(second))
        lowest = min(lowest, cryostat.temperature("stage"))
    assert lowest > 98.0
    assert cryostat.temperature("stage") == pytest.approx(100.0, abs=0.01)


def test_holding_103_kelvin_takes_the_heat_and_nitrogen_of_the_design() -> (
    None
):  # physics.md section 7: 0.67 W, 0.8 g/min
    cryostat = _held_at(103.0)
    before = cryostat.nitrogen
    cryostat.advance(2.5 * HOUR + 600.0)
    assert cryostat.heater_power() == pytest.approx(0.67, abs=0.1)
    assert (before - cryostat.nitrogen) * 1e3 / 10.0 == pytest.approx(0.8, abs=0.2)


def test_one_watt_boils_0_0226_litres_an_hour() -> None:  # published 0.0225
    litres = liquid_nitrogen.boil_off(1.0) * HOUR / liquid_nitrogen.density() * 1e3
    assert litres == pytest.approx(0.0226, rel=0.01)


def test_the_heat_that_came_in_boiled_nitrogen_or_is_in_the_metal() -> None:
    heat = _held_at(100.0).heat
    assert heat.heater + heat.leaked - heat.stored == pytest.approx(heat.boiled, rel=0.01)


def test_the_nitrogen_lost_is_the_heat_it_took() -> None:
    cryostat = _held_at(100.0)
    lost = 0.7e-3 * liquid_nitrogen.density() - cryostat.nitrogen
    assert lost * liquid_nitrogen.latent_heat() == pytest.approx(cryostat.heat.boiled + 1.2 * 2.5 * HOUR, rel=0.01)


def test_a_dry_dewar_lets_the_stage_pass_143_kelvin_within_two_hours() -> None:
    cryostat = _held_at(100.0)
    cryostat.lose_ln2()
    cryostat.set_point = cryostat.target = 100.0
    cryostat.advance(2.5 * HOUR + 600.0)
    assert cryostat.temperature("stage") < 143.0
    cryostat.advance(4.5 * HOUR)
    assert cryostat.temperature("stage") > 143.0


def test_the_stage_is_the_same_however_often_one_looks() -> None:
    rarely, often = _held_at(120.0, 5000.0), _held_at(120.0, 0.0)
    for tenth in range(0, 50_001, 7):
        often.advance(tenth / 10.0)
    often.advance(5000.0)
    assert often.temperature("stage") == rarely.temperature("stage")


def test_the_set_point_ramps_from_where_it_stands_at_its_rate() -> None:
    cryostat = _held_at(200.0, 60.0)
    assert cryostat.set_point == pytest.approx(285.0)
    assert cryostat.ramping()
    cryostat.set_ramp(None)
    assert (cryostat.set_point, cryostat.ramping()) == (200.0, False)


def test_a_heater_range_that_is_off_gives_no_heat() -> None:
    cryostat = _held_at(100.0)
    cryostat.heater_limit = 0.0
    assert cryostat.heater_power() == 0.0
    cryostat.advance(4.0 * HOUR)
    assert cryostat.temperature("stage") < 95.0


def test_a_sensor_has_20_millikelvin_of_noise() -> None:
    cryostat = _cryostat()
    assert np.std([cryostat.sensor("stage") for _ in range(2000)]) == pytest.approx(0.020, rel=0.1)


def test_an_open_sensor_reads_nothing_and_turns_the_heater_off() -> None:
    world = make_world()
    world.cryostat.heater_limit = 10.0
    world.cryostat.go_to(300.0)
    world.clock.sleep(30.0)
    world.catch_up()
    assert world.cryostat.heater_power() > 0.0
    world.faults.sensor_open("stage")
    world.clock.sleep(2.0)
    world.catch_up()
    assert world.cryostat.sensor_open("stage")
    assert np.isnan(world.cryostat.sensor("stage"))
    assert world.cryostat.heater_power() == 0.0


def test_a_quench_warms_the_stage_past_the_ceiling_of_ice() -> None:
    world = make_world()
    world.clock.sleep(2.5 * HOUR)
    world.catch_up()
    world.faults.quench()
    world.clock.sleep(1200.0)
    world.catch_up()
    assert world.truth.temperature("stage") > 130.0


def test_a_stalled_heater_is_believed_to_heat_and_does_not() -> None:
    cryostat = _held_at(100.0)
    cryostat.stall()
    cryostat.advance(3.5 * HOUR)
    assert cryostat.heater_power() > 5.0
    assert cryostat.temperature("stage") < 95.0


def test_drift_settles_to_1_5_nm_a_minute() -> None:  # Gatan 636 class, physics.md section 5.10
    drift = Drift(load_sample("li-lipon").environment.drift, np.random.default_rng(1))
    drift.light(100.0)
    assert drift.speed(100.0 + 2 * HOUR) * 60e9 == pytest.approx(1.5, rel=0.01)
    assert drift.speed(100.0) > 2.0 * drift.speed(100.0 + 2 * HOUR)
    x, y = drift.displacement(np.array([100.0, 100.0 + HOUR]))
    assert np.hypot(x, y) * 1e9 == pytest.approx([0.0, 90.0 + 60.0 * (1 - np.exp(-4.0))])


def test_drift_counts_from_the_first_pixel_that_is_scanned_and_not_from_a_beam_left_standing() -> None:
    world, middle = make_world(), np.array([0.5])
    world.column.park(0.0, 0.0, 0.0, 0.001)
    assert world.truth.drift(2 * HOUR) == (0.0, 0.0)
    world.clock.sleep(2 * HOUR)
    world.column.raster(middle, middle, (1e-4, 1e-4), 0.001, 2 * HOUR)
    assert world.truth.drift(2 * HOUR) == (0.0, 0.0)
    assert np.hypot(*world.truth.drift(2 * HOUR + 60.0)) > 1e-9


def test_ice_grows_50_nm_an_hour_at_1_2e_7_mbar() -> None:  # Delmic's figure, physics.md section 5.11
    environment = sample_with(water_pressure=1.2e-5, shielding=1.0).environment
    cryostat = _cryostat()
    ice = Ice(environment, cryostat)
    ice.advance(2 * HOUR)
    before = ice.thickness
    ice.advance(3 * HOUR)
    assert (ice.thickness - before) / 2.0 == pytest.approx(50e-9, rel=0.05)  # a face


def test_a_lamella_in_the_shipped_column_gains_1_to_3_nm_an_hour() -> None:  # physics.md section 5.11
    world = make_world()
    world.clock.sleep(2 * HOUR)
    world.catch_up()
    before = world.truth.ice()
    world.clock.sleep(HOUR)
    world.catch_up()
    assert 1e-9 < world.truth.ice() - before < 3e-9


def test_ice_leaves_a_stage_that_is_warm() -> None:
    cryostat = _cryostat()
    ice = Ice(load_sample("li-lipon").environment, cryostat)
    ice.thickness = 5e-9
    ice.advance(60.0)  # still near room temperature
    assert ice.thickness == 0.0
