"""The world: cables carry edges with their latency, the clock moves everything, one seed gives one world."""

from __future__ import annotations

import numpy as np

from drivers.rigfile import Wire
from tests.simulators.bench import grid, make_world


def _wire(source: str, to: str, latency: float) -> Wire:
    return Wire.model_validate({"from": source, "to": to, "latency": latency})


def test_an_edge_arrives_at_the_wired_input_late_by_its_latency_and_nowhere_else() -> None:
    world = make_world(wiring=[_wire("scan.unblanked", "eds.gate", 2e-6)])
    heard: list[tuple[str, float, bool]] = []
    world.listen("eds.gate", lambda time, level: heard.append(("gate", time, level)))
    world.listen("eds.sync", lambda time, level: heard.append(("sync", time, level)))
    world.signal("scan.unblanked", 1.0, True)
    world.signal("scan.line", 1.5, True)
    world.signal("scan.unblanked", 2.0, False)
    assert heard == [("gate", 1.0 + 2e-6, True), ("gate", 2.0 + 2e-6, False)]


def test_one_output_reaches_every_input_it_is_wired_to() -> None:
    world = make_world(wiring=[_wire("scan.unblanked", "eds.gate", 0.0), _wire("scan.unblanked", "eds.sync", 1e-6)])
    heard: list[float] = []
    for name in ("eds.gate", "eds.sync"):
        world.listen(name, lambda time, level: heard.append(time))
    world.signal("scan.unblanked", 3.0, True)
    assert heard == [3.0, 3.0 + 1e-6]


def test_catching_up_brings_every_process_to_the_clock() -> None:
    world = make_world()
    moments: list[float] = []
    world.processes.append(moments.append)
    world.clock.sleep(1800.0)
    world.catch_up()
    assert moments == [1800.0]
    assert world.truth.temperature("stage") < 250.0


def test_one_seed_gives_one_world_to_the_last_electron_and_photon() -> None:
    frames, photons = [], []
    for seed in (5, 5, 6):
        world = make_world(seed=seed, hidden_errors=True)
        u, v, cell = grid((0.0, 0.0), 400e-9, 64)
        frames.append(world.column.raster(u, v, cell, 1e-4, 0.0))
        photons.append(world.eds.photons(10.0)[1])
    assert np.array_equal(frames[0], frames[1])
    assert np.array_equal(photons[0], photons[1])
    assert not np.array_equal(frames[0], frames[2])


def test_what_is_read_from_a_sensor_does_not_change_what_the_beam_finds() -> None:
    quiet, curious = make_world(), make_world()
    for _ in range(10):
        curious.cryostat.sensor("stage")
    u, v, cell = grid((0.0, 0.0), 400e-9, 32)
    assert np.array_equal(quiet.column.raster(u, v, cell, 1e-5, 0.0), curious.column.raster(u, v, cell, 1e-5, 0.0))
