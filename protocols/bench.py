"""What a step works with: the rig, the ledger, the record and the people watching."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, cast

from acquisition.budget import Aim
from acquisition.chain import Chain, Entry
from acquisition.control import RunControl, Trip
from acquisition.datafile import About, DataFile
from acquisition.engine import Execution, Result
from acquisition.exposure import Sighting, Tracker
from acquisition.ledger import Ledger
from drivers.rigfile import Position
from drivers.ticket import Exposed, Frame, Ticket
from protocols.heading import Recipe
from protocols.outlook import PostconditionError, StepError
from protocols.plan import Dwell, Framed, settled
from protocols.rig import Rig

COLD_LOOK = 10.0  # s of rig time between looks at the sample's temperature
COLD_MARGIN = 3.0  # K above the temperature that is kept from which the beam waits


class Doable(Protocol):
    """A step as far as the bench knows it."""

    def run(self, run: StepRun) -> Result:
        """Do it and return a small JSON result."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for whoever watches: step number, its name, how far (0 to 1), and what it does."""

    step: int
    do: str
    fraction: float
    text: str
    area: str | None


@dataclass
class Bench:
    """Everything one run has on the table.

    places: of the areas.  report: told of progress.  remember: saves a simulated sample.  Temperatures in K.
    """

    rig: Rig
    ledger: Ledger
    control: RunControl
    journal: Chain
    tracker: Tracker
    folder: Path
    recipe: Recipe
    run_id: str
    begun: datetime
    places: dict[str, Position]
    report: Callable[[Progress], None]
    remember: Callable[[], None]
    kept_cold_at: float | None = None
    stage_kelvin: float | None = None
    attempts: dict[int, int] = field(default_factory=dict)

    def perform(self, execution: Execution) -> Result:
        """Do one execution of a step; the engine journals around it."""
        result = cast(Doable, execution.step).run(StepRun(self, execution))
        self.remember()
        return result

    def prepare(self) -> None:
        """On a resume: look at the stage, then bring it back to the temperature that finished steps left it at.

        A sample that got warmer than its ceiling meanwhile latches the run, unless a person has just reset that: then
        it is watched again once it is cold.  Raises PostconditionError when the stage does not hold the temperature as
        the step asked for it.
        """
        cooled = [e for e in self.journal.entries if e["kind"] == "result" and "kept_at_K" in e["result"]]
        if not cooled:
            return
        last, clock = cooled[-1], self.rig.clock
        asked = [e for e in self.journal.entries if e["kind"] == "step" and e["ordinal"] == last["ordinal"]][-1]
        kelvin, rate = last["result"]["kept_at_K"], last["result"]["ramp_K_per_s"]
        hold, tolerance = asked["parameters"]["hold"], asked["parameters"]["tolerance"]
        found = self.rig.cryostat.temperature()
        self.journal.append("stage", t=round(clock.now(), 6), found_at_K=round(found, 3))
        self.kept_cold_at = None if self._just_reset() else max(found, kelvin)
        self.control.poll()
        self.report(Progress(0, "resume", 0.0, f"bringing the stage back to {kelvin:g} K", None))
        self.rig.cryostat.set_temperature(kelvin, rate)
        end, worst = clock.now() + hold, abs(self.rig.cryostat.temperature() - kelvin)
        while (left := end - clock.now()) > 0.0:
            self.report(Progress(0, "resume", 1.0 - left / hold, f"holding {kelvin:g} K", None))
            self.control.wait(min(left, COLD_LOOK))
            worst = max(worst, abs(self.rig.cryostat.temperature() - kelvin))
        if not worst <= tolerance:
            raise PostconditionError(
                f"resume: while held the stage was {worst:.2f} K off {kelvin:g} K, more than {tolerance:g} K. "
                "Check the coolant and the heater range, then resume again."
            )
        self.kept_cold_at = kelvin

    def _just_reset(self) -> bool:
        """True when a person cleared a latch right before this resume."""
        kinds = [e["kind"] for e in self.journal.entries]
        resumed = max((place for place, kind in enumerate(kinds) if kind == "resumed"), default=0)
        return resumed > 0 and kinds[resumed - 1] == "reset"

    def look_at_stage(self) -> Trip | None:
        """The watch on the sample's temperature; it trips from the end of the first cool-down on."""
        self.stage_kelvin = kelvin = self.rig.cryostat.temperature()
        if self.kept_cold_at is None:
            return None
        ceiling = self.rig.file.sample_ceiling
        if not kelvin <= ceiling:
            return Trip(f"the stage is at {kelvin:.1f} K, above the sample's ceiling of {ceiling:g} K", latch=True)
        if not kelvin <= self.kept_cold_at + COLD_MARGIN:
            return Trip(f"the stage is at {kelvin:.1f} K instead of {self.kept_cold_at:g} K", latch=False)
        return None


class StepRun:
    """The bench as one execution of a step sees it."""

    def __init__(self, bench: Bench, execution: Execution) -> None:
        self._bench = bench
        self.execution = execution
        bench.attempts[execution.ordinal] = sum(
            1 for e in bench.journal.entries if e["kind"] == "step" and e["ordinal"] == execution.ordinal
        )

    @property
    def rig(self) -> Rig:
        """The open rig."""
        return self._bench.rig

    @property
    def ledger(self) -> Ledger:
        """The dose ledger of the sample."""
        return self._bench.ledger

    @property
    def control(self) -> RunControl:
        """The run's state; drivers and exposures poll it."""
        return self._bench.control

    @property
    def tracker(self) -> Tracker:
        """Where the sample stands in the scan field."""
        return self._bench.tracker

    @property
    def elements(self) -> tuple[str, ...]:
        """What the recipe says the sample is made of."""
        return self._bench.recipe.heading.elements

    def wait(self, seconds: float) -> None:
        """The control wait."""
        self._bench.control.wait(seconds)

    def progress(self, fraction: float, text: str, area: str | None = None) -> None:
        """Tell whoever watches."""
        self._bench.report(Progress(self.execution.ordinal, self.execution.step.do, fraction, text, area))

    def keep_cold(self, kelvin: float) -> None:
        """From now on the run watches that the sample stays at this temperature, K."""
        self._bench.kept_cold_at = kelvin

    def allow_warming(self, kelvin: float) -> None:
        """A stage that is kept cold may be ramped warmer, up to the sample's ceiling."""
        if self._bench.kept_cold_at is not None:
            self._bench.kept_cold_at = max(self._bench.kept_cold_at, kelvin)

    def note(self, kind: str, **facts: Any) -> Entry:
        """Write into the journal, durably."""
        entry = self._bench.journal.append(kind, ordinal=self.execution.ordinal, t=self._now(), **facts)
        self._bench.remember()
        return entry

    def area(self, name: str | None) -> str:
        """The area a step means: the one it names, or where the scan field was moved to; raises StepError."""
        if name is None:
            moved = self.latest("move_stage")
            if moved is None:
                raise StepError(f"{self.execution.step.do}: names no area, and the scan field was not moved to one.")
            name = str(moved["to"])
        if name not in self._bench.places:
            raise StepError(
                f'{self.execution.step.do}: area "{name}" has no place. Known: {sorted(self._bench.places)}.'
            )
        return name

    def middle(self, area: str) -> tuple[float, float]:
        """The place (x, y), m, of an area's middle: as it was saved, or where a step of this run centred it."""
        centred = [entry["at"] for entry in self.entries("centred") if entry["area"] == area]
        x, y = centred[-1] if centred else self._bench.places[area].at
        return x, y

    def centre(self, area: str, at: tuple[float, float]) -> None:
        """From now on frames over an area have their middle at (x, y), m; its budget stays where it is. Journalled."""
        self.note("centred", area=area, at=list(at))

    def frame(self, area: str, size: tuple[float, float], pixels: tuple[int, int], dwell: Dwell) -> Framed:
        """The frame over an area, moved along with the sample, as the scan box will really do it; raises LimitError."""
        (x, y), (dx, dy) = self.middle(area), self.tracker.aim(self._now()).offset
        scan = self.rig.scan
        return settled(scan.commanded, Frame((x + dx, y + dy), size, pixels, scan.settings.limits.dwell[0]), dwell)

    def place(self, area: str) -> Position:
        """The place of an area as it was saved, and how large it is."""
        return self._bench.places[area]

    def require(self, area: str, work: Exposed, passes: int) -> None:
        """Refuse now what would not fit the budget later; raises BudgetError."""
        aim = self._aim()
        self.ledger.require(area, work, aim, passes=passes, step=self.execution.step.do)

    def reserve(self, area: str, work: Exposed, index: int, *, besides: float = 0.0) -> Ticket:
        """A ticket for one pass; besides: s that it takes besides its exposure, at most, while the sample drifts on."""
        attempt = self._bench.attempts[self.execution.ordinal]
        exposure = f"{self._bench.run_id[:8]}-{self.execution.ordinal:04d}-{attempt}-{index:04d}"
        ticket = self.ledger.reserve(
            area, work, self._aim(work.seconds + besides), exposure, step=self.execution.step.do
        )
        for notice in self.ledger.notices():
            self.progress(0.0, f"note: {notice}", area)
        return ticket

    def latest(self, do: str) -> Result | None:
        """The result of the last finished step of a name, or None."""
        named = {e["ordinal"] for e in self._bench.journal.entries if e["kind"] == "step" and e["do"] == do}
        results = [e["result"] for e in self._bench.journal.entries if e["kind"] == "result" and e["ordinal"] in named]
        done = [r for r in results if not r.get("skipped")]
        return dict(done[-1]) if done else None

    def calibrations(self) -> dict[str, dict[str, Any]]:
        """Everything that steps of this run calibrated, the latest of each name: value, unit, uncertainty, ..."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self.entries("result"):
            found |= entry["result"].get("calibrations", {})
        return found

    def entries(self, kind: str) -> list[Entry]:
        """The journal's entries of a kind."""
        return [entry for entry in self._bench.journal.entries if entry["kind"] == kind]

    def log_temperature(self, file: DataFile) -> None:
        """Add the stage temperature of the last look to a file that is being written."""
        if self._bench.stage_kelvin is not None:
            since = (self.rig.clock.utc() - file.about.started).total_seconds()
            file.temperature(since, self._bench.stage_kelvin)

    def passes_begun(self) -> int:
        """How many passes torn executions of this very step began; each counts as delivered, whatever came of it."""
        ours = f"-{self.execution.ordinal:04d}-"
        begun = [e["exposure_id"] for e in self.entries("begin") if ours in e["exposure_id"]]
        return 1 + max((int(exposure.rpartition("-")[2]) for exposure in begun), default=-1)

    def earlier_files(self) -> list[Path]:
        """Files that torn executions of this very step began, oldest first."""
        begun = [self.path(e["name"]) for e in self.entries("file") if e["ordinal"] == self.execution.ordinal]
        return [path for path in begun if path.exists()]

    def sighted(self, moved: tuple[float, float], then: float, *, unsure: float | None) -> None:
        """A registration found the sample moved from where it was believed; see Tracker.sighted. Journalled."""
        self.tracker.sighted(moved, then, unsure=unsure)
        self.note("sighted", **asdict(self.tracker.last))

    def resighted(self, sighting: Sighting, *, torn: float = 0.0) -> None:
        """Where the sample stands is known, or is less known, for another reason than its drift. Journalled.

        torn: m by which that is less sure for whoever goes on with a run that is torn before the next sighting.
        """
        self.tracker.last = sighting
        self.note("sighted", **asdict(replace(sighting, unsure=sighting.unsure + torn)))

    def margin(self) -> float:
        """How far off the sample may be now, m."""
        return self.tracker.aim(self._now()).margin

    def path(self, name: str) -> Path:
        """A file of the run by the name results give it."""
        return self._bench.folder / name

    def new_file(self, title: str, part: str = "") -> tuple[str, DataFile]:
        """Open this execution's data file; gives its name within the run folder, too.

        part: what tells it apart where a step measures and evaluates in files of their own.
        """
        step, ordinal = self.execution.step, self.execution.ordinal
        attempt = self._bench.attempts[ordinal]
        again = f"-{attempt}" if attempt > 1 else ""
        name = f"data/{ordinal:04d}-{step.do}{part and f'-{part}'}{again}.nxs"
        self.path(name).parent.mkdir(exist_ok=True)
        self.note("file", name=name)
        return name, DataFile.create(self.path(name), self._about(title))

    def _about(self, title: str) -> About:
        bench, recipe, rig = self._bench, self._bench.recipe, self._bench.rig
        step = self.execution.step
        calibration = rig.file.calibrations.beam_current
        state = rig.status()
        return About(
            title=title,
            step=step.do,
            ordinal=self.execution.ordinal,
            run_id=bench.run_id,
            started=rig.clock.utc(),
            sample=recipe.heading.sample,
            atom_types=recipe.heading.elements,
            sample_thickness=None,
            simulated=rig.file.practice,
            recipe_name=recipe.heading.name,
            recipe_text=recipe.text,
            recipe_sha256=recipe.sha256,
            recipe_type="text/x-python" if recipe.steps is None else "text/x-yaml",
            rig_name=rig.file.name,
            rig_text=rig.text,
            requested=step.parameters(),
            state=state,
            versions=versions(),
            passport_sha256=bench.ledger.passport_sha256,
            command_line=f"cryolift {' '.join(sys.argv[1:])}",
            optics=rig.file.optics,
            beam_current=calibration.value,
            beam_current_uncertainty=calibration.uncertainty,
            stage_temperature=rig.cryostat.temperature(),
        )

    def _aim(self, lasting: float = 0.0) -> Aim:
        """Where the sample stands until the end of a frame that lasts so long, s."""
        if not self.entries("reserve"):
            self.tracker.first_light(self._now())
            self.ledger.before_light()
        return self.tracker.aim(self._now() + lasting)

    def _now(self) -> float:
        return round(self.rig.clock.now(), 6)


def versions() -> dict[str, str]:
    """Versions of the programs whose behaviour a file depends on."""
    names = ("cryolift", "numpy", "scipy", "h5py", "hdf5plugin", "xraylib", "pydantic", "pint")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}
