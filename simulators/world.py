"""The world: one sample, one clock, one seed, and every physical process that goes on while somebody waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drivers.clock import Clock
from drivers.rigfile import Optics, Wire
from simulators.beam.column import Column
from simulators.beam.diffraction import Diffraction
from simulators.beam.emission import Response
from simulators.beam.flooding import Flooding
from simulators.beam.own_scan import OwnScan
from simulators.beam.xrays import Eds
from simulators.constants import constants
from simulators.faults import Faults
from simulators.fibsem.chamber import Chamber
from simulators.sample.dose import Fluence, FluenceMap
from simulators.sample.file import Sample
from simulators.sample.lamella import Lamella
from simulators.sample.matter import Matter
from simulators.sample.scene import Crystals, Scene, Window
from simulators.sample.slab import Slab
from simulators.stages.axes import Stage
from simulators.stages.drift import Drift
from simulators.stages.goniometer import Goniometer
from simulators.stages.ice import Ice
from simulators.stages.manipulator import Manipulator
from simulators.stages.thermal import Cryostat


@dataclass(frozen=True)
class Truth:
    """What no wire tells: read by tests, never by a server.

    scan_scale: true over nominal width of the scan field.  scan_skew: what its lines lean along x, m a metre along y.
    probe_fwhm: true width of the probe, m.  eds: what the detector and the atomic data are off by.  slab: how the
    lamella is cut, and the inclination of its interface.
    """

    scan_scale: float
    scan_skew: float
    probe_fwhm: float
    eds: Response
    slab: Slab
    _matter: Matter
    _column: Column
    _received: FluenceMap
    _drift: Drift
    _ice: Ice
    _cryostat: Cryostat

    @property
    def beam_current(self) -> float:
        """True current at the sample, A."""
        return self._column.current

    def fluence(self) -> Fluence:
        """Expected fluence received so far, m^-2, on the 4 nm grid of the lamella frame."""
        return self._received.whole()

    def crystals(self, window: Window, tilt: float = 0.0) -> Crystals:
        """Nanocrystals that stand in a window under a tilt, rad, as the beam has left them so far."""
        return self._matter.crystals(window, tilt, self._received.at, self._ice.lamella_temperature)

    def drift(self, time: float) -> tuple[float, float]:
        """How far the lamella has moved since first light, m, along x and y, at a clock time."""
        x, y = self._drift.displacement(np.array([time]))
        return float(x[0]), float(y[0])

    def ice(self) -> float:
        """Ice on both faces of the lamella together, m."""
        return self._ice.thickness

    def temperature(self, node: str) -> float:
        """Temperature of a node ("stage" or "shield"), K, without the noise of its sensor."""
        return self._cryostat.temperature(node)


class World:
    """One physical sample behind every simulated box.

    beam_current: nominal, A.  full_field: nominal width of the scan field, m.  hidden_errors: current, field, skew of
    the scan and width of the probe differ from the nominal ones as data/column.yaml has it, drawn from the seed.
    """

    def __init__(
        self,
        sample: Sample,
        *,
        seed: int,
        clock: Clock,
        optics: Optics,
        beam_current: float,
        hidden_errors: bool,
        full_field: float,
        wiring: Sequence[Wire] = (),
    ) -> None:
        self.clock = clock
        sample = sample.drawn(np.random.default_rng([seed, 33]))
        hidden, geometry, sensors, shots, photons, holder = (
            np.random.default_rng([seed, stream]) for stream in range(6)
        )
        numbers = constants("column")
        bounds = numbers["hidden_current"], numbers["hidden_scan"]
        current_error, scale_error = hidden.uniform(-1.0, 1.0, 2) * bounds * hidden_errors
        true_current = beam_current * (1.0 + float(current_error))
        scan_scale = 1.0 + float(scale_error)
        skew, wider = (np.random.default_rng([seed, 32]).uniform(-1.0, 1.0, 2) * hidden_errors).tolist()
        skew *= numbers["hidden_skew"]
        optics = optics.model_copy(update={"probe_fwhm": optics.probe_fwhm * (1.0 + numbers["hidden_probe"] * wider)})

        self._dice = {"sensors": sensors, "shots": shots, "photons": photons}

        self.cryostat = Cryostat(sensors)
        self._dice |= {"stage": np.random.default_rng([seed, 10]), "needle": np.random.default_rng([seed, 11])}
        self.stage = Stage(self._dice["stage"])
        self.needle = Manipulator(self._dice["needle"], hidden_errors=hidden_errors)
        self._ice = ice = Ice(sample.environment, self.cryostat)
        self._received = received = FluenceMap()
        self._drift = drift = Drift(sample.environment.drift, holder)
        slab = Slab.of(sample, geometry, np.random.default_rng([seed, 31]))
        self.matter = Matter(sample, slab, seed, optics.beam_energy)
        lamella = Lamella(sample, optics, full_field, slab)  # twice the field: the lamella drifts
        detector = np.random.default_rng([seed, 20])
        response = Response.drawn(sample.environment.window_ice, detector, hidden_errors=hidden_errors)
        self.eds = Eds(lamella, optics, photons, response)
        landing, meters = (np.random.default_rng([seed, stream]) for stream in (40, 41))
        height = float(np.random.default_rng([seed, 30]).uniform(-1.0, 1.0)) * hidden_errors
        self.goniometer = Goniometer(landing, loose=hidden_errors, height=height)
        self._dice["diffraction"] = np.random.default_rng([seed, 13])
        self.diffraction = Diffraction(
            lamella,
            optics,
            self.matter,
            received=received.at,
            temperature=lambda: ice.lamella_temperature,
            fixed=np.random.default_rng([seed, 13, 0]),
            shots=self._dice["diffraction"],
            hidden_errors=hidden_errors,
        )
        self.column = Column(
            lamella,
            optics,
            received=received,
            drift=drift,
            goniometer=self.goniometer,
            ice=ice,
            eds=self.eds,
            diffraction=self.diffraction,
            losses=sample.damage,
            current=true_current,
            field=full_field * scan_scale,
            skew=skew,
            random=shots,
        )
        self.own_scan = OwnScan(self.column, meters, hidden_errors=hidden_errors)
        self._dice["flooding"] = np.random.default_rng([seed, 51])
        self.flooding = Flooding(
            self.column,
            self._sees,
            slab.met,
            received=received,
            drift=drift,
            goniometer=self.goniometer,
            middle=lamella.middle,
            hidden=np.random.default_rng([seed, 50]),
            shots=self._dice["flooding"],
            hidden_errors=hidden_errors,
        )
        self.chamber = Chamber.of(sample, clock, np.random.default_rng([seed, 12]), hidden_errors=hidden_errors)
        self.faults = Faults(self.cryostat, self.column)
        self.truth = Truth(
            scan_scale,
            skew,
            optics.probe_fwhm,
            response,
            slab,
            self.matter,
            self.column,
            received,
            drift,
            ice,
            self.cryostat,
        )
        self.processes: list[Callable[[float], None]] = [
            ice.advance,
            self.cryostat.advance,
            self.stage.advance,
            self.needle.advance,
            self.own_scan.advance,
            self.flooding.advance,
        ]
        self._wiring = tuple(wiring)
        self._listeners: dict[str, list[Callable[[float, bool], None]]] = {}
        self._counters: dict[str, list[Callable[[float, float, float, int], None]]] = {}

    @property
    def beam_energy(self) -> float:
        """Of the electrons, eV."""
        return self.column.beam_energy

    def save(self, path: Path) -> None:
        """Write what the sample and its surroundings are now, so that another process can go on with them."""
        state = {
            "cryostat": self.cryostat.state(),
            "ice": self._ice.state(),
            "stage": self.stage.state(),
            "needle": self.needle.state(),
            "first_light": self._drift.first_light,
            "beam_current": self.column.current,
            "column": self.column.state(),
            "goniometer": self.goniometer.state(),
            "own_scan": self.own_scan.state(),
            "flooding": self.flooding.state(),
            "chamber": self.chamber.state(),
            "dice": {name: die.bit_generator.state for name, die in self._dice.items()},
        }
        tiles = self._received.tiles()
        part = path.with_name(path.name + ".part.npz")
        places, values = np.array(list(tiles), dtype=np.int64), np.array(list(tiles.values()))
        surface: dict[str, Any] = self.chamber.surface.state()
        np.savez(part, state=np.array(json.dumps(state)), places=places, tiles=values, **surface)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote; sample, seed and optics must be those it was written with."""
        with np.load(path, allow_pickle=False) as kept:
            state = json.loads(str(kept["state"]))
            tiles = {
                (int(row), int(column)): tile for (row, column), tile in zip(kept["places"], kept["tiles"], strict=True)
            }
            self.chamber.surface.recall(kept)
        self.cryostat.recall(state["cryostat"])
        self._ice.recall(state["ice"])
        self.stage.recall(state["stage"])
        self.needle.recall(state["needle"])
        self.chamber.recall(state["chamber"])
        if state["first_light"] is not None:
            self._drift.light(state["first_light"])
        self.column.current = state["beam_current"]
        self.column.recall(state["column"])
        self.goniometer.recall(state["goniometer"])
        self.own_scan.recall(state["own_scan"])
        self.flooding.recall(state["flooding"])
        for name, die in self._dice.items():
            die.bit_generator.state = state["dice"][name]
        self._received.recall(tiles)

    def _sees(self, window: Window) -> Scene:
        """What a parallel beam goes through in a window of the lamella now."""
        tilt = self.goniometer.place(self.clock.now())["a"]
        return self.matter.scene(window, tilt, self._received.at, self._ice.thickness, self._ice.lamella_temperature)

    def catch_up(self) -> None:
        """Bring every process to the clock."""
        now = self.clock.now()
        for advance in self.processes:
            advance(now)

    def signal(self, output: str, time: float, level: bool) -> None:
        """An output such as "scan.blank" changes its level at a clock time; the rig's wiring carries it on."""
        for wire in self._wiring:
            if wire.source == output:
                for hear in self._listeners.get(wire.to, ()):
                    hear(time + wire.latency, level)

    def listen(self, input: str, hear: Callable[[float, bool], None]) -> None:
        """Call `hear(time, level)` for each edge that reaches an input such as "eds.gate", with its time of arrival."""
        self._listeners.setdefault(input, []).append(hear)

    def pulses(self, output: str, start: float, period: float, width: float, count: int) -> None:
        """An output such as "scan.pixel_clock" gives so many pulses: the first at a clock time, each of `width` s."""
        for wire in self._wiring:
            if wire.source == output:
                for hear in self._counters.get(wire.to, ()):
                    hear(start + wire.latency, period, width, count)
                for hear_edge in self._listeners.get(wire.to, ()):
                    for edge in (start + wire.latency + period * number for number in range(count)):
                        hear_edge(edge, True)
                        hear_edge(edge + width, False)

    def listen_pulses(self, input: str, hear: Callable[[float, float, float, int], None]) -> None:
        """Call `hear(start, period, width, count)` for each train of pulses that reaches an input.

        Single edges are not among them; a box that hears trains hears those by `listen` on an input of another name.
        """
        self._counters.setdefault(input, []).append(hear)
