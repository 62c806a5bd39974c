"""What each band of an interphase holds: verdicts over many patches, weighed against chance and against controls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from acquisition.analysis.lattices import CANDIDATES, lattice
from acquisition.analysis.looks import Looked
from acquisition.analysis.phases import CRYSTALS, SURE, Candidates, Verdict
from acquisition.analysis.spots import Spots

Array = NDArray[np.float64]

REPORTED = 0.95  # confidence from which a phase is reported
ALONE = 0.999  # posterior from which one crystal is enough
SHELL = "Li2O"
_ROUNDS = 2  # of learning how many crystals a patch holds
_SLOW = 5.0  # patches that what was expected beforehand weighs as much as
_SCRAMBLES = 3
_SAME_PLACE = 3e-9  # m: nearer than that two lattices of a phase in overlapping patches are one crystal
_SAME_SPOT = 0.08e9  # 1/m
_EVERYWHERE = 8  # places in all at which such a spot is seen
_CHANCE = 1e-3  # that spots of small crystals of one spacing stand alike
_GRAIN = 3  # patches apart from one another that show the same spot: a grain larger than the patches


@dataclass(frozen=True)
class Seen:
    """A verdict on some spots of a patch that was looked at."""

    looked: Looked
    verdict: Verdict


@dataclass(frozen=True)
class Phase:
    """A phase in a band.

    patches: that hold a decided crystal of it, crystals: how many different ones, spots: of them in all.  confidence:
    that it is there at all.  reported: or else undecided.
    """

    phase: str
    patches: int
    crystals: int
    spots: int
    confidence: float
    reported: bool


@dataclass(frozen=True)
class Layer:
    """What a band holds. groups: of spots that may be a crystal, and undecided: those without a verdict.

    films: lattice fringes that run through many patches, 1/m each, with how many patches show them.
    """

    name: str
    patches: int
    phases: tuple[Phase, ...]
    seen: tuple[Seen, ...]
    groups: int
    undecided: int
    chance: Mapping[str, float]
    films: tuple[tuple[float, int], ...] = ()
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Control:
    """What patches of film that should hold no crystals say.

    patches: how many there are.  decided: in how many of them each phase was seen.
    """

    patches: int
    decided: Mapping[str, int]

    @property
    def false_positives(self) -> float:
        """Share of the patches with any verdict at all."""
        return sum(self.decided.values()) / self.patches if self.patches else 0.0

    @property
    def at_most(self) -> float:
        """The same at 95 %, after C. Clopper and E. Pearson (1934)."""
        count = min(sum(self.decided.values()), self.patches)
        if count >= self.patches:
            return 1.0
        return float(stats.beta.ppf(0.95, count + 1, self.patches - count))


def judge(
    name: str,
    looked: Sequence[Looked],
    temperature: float,
    control: Control,
    phases: Sequence[str] = CANDIDATES,
    sure: float = SURE,
) -> Layer:
    """Say which phases the patches of a band show.

    temperature: of the sample, K.  control: of film without crystals.  What a patch is expected to hold is learnt from
    the band itself. How often a phase would be seen by chance comes from the same spots, each turned by any angle about
    the middle, which leaves spacings as they are but no angle between spots, and from the control.
    """
    films, rest = _grains(looked)
    candidates, found = _learnt(rest, temperature, phases, sure)
    seen = [Seen(each, verdict) for each, verdicts in zip(rest, found, strict=True) for verdict in verdicts]
    patches = len({each.patch for each in looked})
    names = {one.phase: one.reported for one in candidates.lattices}
    notes: list[str] = []
    grains, told = _of_grains(films, temperature, phases, sure)
    notes += told
    chance = _by_chance(rest, candidates, sure)
    crystals_of = {
        phase: distinct([each for each in seen if each.verdict.decided and each.verdict.phase == phase])
        for phase in dict.fromkeys(names.values())
    }
    # several looks show the same crystal
    often = sum(each.verdict.decided for each in seen) / max(sum(map(len, crystals_of.values())), 1)
    chance = {phase: number / max(often, 1.0) for phase, number in chance.items()}
    results = []
    for phase, crystals in crystals_of.items():
        decided = [each for each in seen if each.verdict.decided and each.verdict.phase == phase]
        through = grains.get(phase)
        if not decided and through is None:
            continue
        expected = chance[phase] + control.decided.get(phase, 0) * patches / max(control.patches, 1)
        by_chance = float(stats.poisson.sf(len(crystals) - 1, expected)) if crystals else 1.0
        doubt = math.prod(1 - each.verdict.confidence for each in crystals) if crystals else 1.0
        confidence = (1 - doubt) * (1 - by_chance)
        enough = len(crystals) >= 2 or (bool(crystals) and crystals[0].verdict.confidence >= ALONE)
        where = {each.looked.patch for each in decided}
        spots = sum(len(each.verdict.crystal.spots) for each in crystals)
        if through is not None:
            where |= through[1]
            spots += through[2]
            confidence, enough = max(confidence, through[0]), True
        confidence = min(confidence, 0.999)
        results.append(
            Phase(
                phase,
                len(where),
                len(crystals) + (through is not None),
                spots,
                confidence,
                enough and confidence >= REPORTED,
            )
        )
    groups = len(distinct(seen))
    undecided = groups - len(distinct([each for each in seen if each.verdict.decided]))
    notes += [
        f"{each.phase} is undecided here: {each.crystals} crystal(s), confidence {each.confidence:.2f}"
        for each in results
        if not each.reported
    ]
    lines = tuple((float(np.hypot(*k)), len(where)) for k, _, where in films)
    order = sorted(results, key=lambda each: (-each.reported, -each.crystals))
    return Layer(name, patches, tuple(order), tuple(seen), groups, undecided, chance, lines, tuple(notes))


def control_of(looked: Sequence[Looked], temperature: float, phases: Sequence[str] = CANDIDATES) -> Control:
    """Look at patches of film without crystals, as if nothing were known of them."""
    candidates = Candidates(temperature, phases)
    decided: dict[str, set[int]] = {}
    for each in looked:
        for phase in {verdict.phase for verdict in candidates.verdicts(each.spots) if verdict.decided}:
            decided.setdefault(phase, set()).add(each.patch)
    patches = len({each.patch for each in looked})
    return Control(patches, {phase: len(where) for phase, where in decided.items()})


def shell_explains(band: Layer, lithium: Layer, share: float) -> bool:
    """Whether the oxide that lithium carries on its faces explains the Li2O of a band.

    share: of metal in the band. True unless there are more crystals of it a patch than in lithium, at 95 %.
    """
    here, there = (next((p.crystals for p in layer.phases if p.phase == SHELL), 0) for layer in (band, lithium))
    if not here or not there or share <= 0:
        return False
    exposure = share * band.patches / (share * band.patches + lithium.patches)
    return bool(stats.binom.sf(here - 1, here + there, exposure) > 0.05)


def _learnt(
    looked: Sequence[Looked], temperature: float, phases: Sequence[str], sure: float
) -> tuple[Candidates, list[list[Verdict]]]:
    """Candidates with what the band teaches of their numbers, and the verdicts with that."""
    candidates = Candidates(temperature, phases)
    fitted = [candidates.fitted(each.spots) for each in looked]
    found: list[list[Verdict]] = []
    for attempt in range(_ROUNDS + 1):
        found = [candidates.verdicts(each.spots, sure, fits) for each, fits in zip(looked, fitted, strict=True)]
        if attempt == _ROUNDS:
            break
        numbers = dict.fromkeys(candidates.expected, 0.0)
        for verdicts in found:
            for verdict in verdicts:
                for one, weight in verdict.lattices.items():
                    numbers[one] += weight
        candidates = Candidates(
            temperature,
            phases,
            {
                one.phase: (CRYSTALS * _SLOW + numbers[one.phase] / one.doubles) / (_SLOW + len(looked))
                for one in candidates.lattices
            },
        )
    return candidates, found


def _by_chance(looked: Sequence[Looked], candidates: Candidates, sure: float) -> dict[str, float]:
    """How many verdicts for each reported phase unrelated spots of these spacings would give."""
    random = np.random.default_rng(0)
    numbers = {one.reported: 0.3 for one in candidates.lattices}
    for _ in range(_SCRAMBLES):
        for each in looked:
            angle = random.uniform(0.0, math.pi, len(each.spots))
            k = each.spots.length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            for verdict in candidates.verdicts(each.spots.turned(k), sure):
                numbers[verdict.phase] += verdict.decided
    return {phase: number / _SCRAMBLES for phase, number in numbers.items()}


def distinct(seen: Sequence[Seen]) -> list[Seen]:
    """One verdict for each crystal, the surest first; looks that overlap show the same one."""
    kept: list[tuple[Seen, Array]] = []
    for each in sorted(seen, key=lambda one: -one.verdict.confidence):
        spots, members = each.looked.spots, list(each.verdict.crystal.spots)
        weight = spots.place_error[members] ** -2.0
        place = np.array(each.looked.place) + weight @ spots.place[members] / weight.sum()
        if all(
            one.looked.image != each.looked.image or np.hypot(*(place - other)) > _SAME_PLACE for one, other in kept
        ):
            kept.append((each, place))
    return [each for each, _ in kept]


_Film = tuple[Array, Spots, set[int]]  # k, the spot as of all its patches together, and those patches


def _grains(looked: Sequence[Looked]) -> tuple[list[_Film], list[Looked]]:
    """Spots that stand at one place in patches far apart, of grains larger than a patch; and the patches without."""
    k = np.concatenate([each.spots.k for each in looked] or [np.empty((0, 2))])
    of = np.repeat(np.arange(len(looked)), [len(each.spots) for each in looked])
    image = np.array([each.image for each in looked], dtype=np.intp)[of]
    ratio = np.concatenate([each.spots.ratio for each in looked] or [np.empty(0)])
    place = np.array([each.place for each in looked]).reshape(-1, 2)[of]
    place += np.concatenate([each.spots.place for each in looked] or [np.empty((0, 2))])
    length = np.hypot(k[:, 0], k[:, 1])
    free = np.ones(len(k), dtype=bool)
    films: list[_Film] = []
    for spot in np.argsort(-ratio):
        if not free[spot]:
            continue
        near = np.minimum(np.hypot(*(k - k[spot]).T), np.hypot(*(k + k[spot]).T)) < _SAME_SPOT
        alike = np.flatnonzero(near & free & (image == image[spot]))
        if len(alike) < _EVERYWHERE or _apart(place[alike], looked[of[spot]].spots.side) <= _GRAIN:
            continue
        sources = _apart(place[alike], _SAME_PLACE)
        if sources < _EVERYWHERE:
            continue
        ring = np.abs(length - length[spot]) < _SAME_SPOT
        share = 2 * _SAME_SPOT / (math.pi * length[spot])
        if stats.poisson.sf(sources - 1, share * _apart(place[ring & free], _SAME_PLACE)) < _CHANCE:
            free[alike] = False
            first = np.searchsorted(of, of[alike])  # of the spots of its patch
            parts = [looked[of[i]].spots.only(np.array([i - j])) for i, j in zip(alike, first, strict=True)]
            films.append((k[spot], _together(parts), {looked[i].patch for i in of[alike]}))
    return films, [each.only(free[of == number]) for number, each in enumerate(looked)]


def _apart(places: Array, side: float) -> int:
    """How many of some places lie so far from one another, as they come."""
    count, left = 0, places
    while len(left):
        left = left[np.abs(left - left[0]).max(axis=1) > side]
        count += 1
    return count


def _together(spots: Sequence[Spots]) -> Spots:
    """One spot as the mean of the same one in several patches; where its fringes are says nothing any more."""
    first = spots[0].k[0]
    k = np.array([each.k[0] * np.sign(each.k[0] @ first) for each in spots])
    weight = np.array([1 / each.across[0] ** 2 for each in spots])
    mean = weight @ k / weight.sum()
    few = min(len(spots), 9)
    strongest = max(spots, key=lambda each: float(each.ratio[0]))
    return Spots(
        k=mean[None],
        ratio=strongest.ratio,
        along=strongest.along / math.sqrt(few) + 0.002 * float(np.hypot(*mean)),
        across=strongest.across / math.sqrt(few) + 0.002 * float(np.hypot(*mean)),
        place=np.zeros((1, 2)),
        place_error=np.array([10 * strongest.side]),
        floor=strongest.floor,
        side=strongest.side,
    )


def _of_grains(
    films: Sequence[_Film], temperature: float, phases: Sequence[str], sure: float
) -> tuple[dict[str, tuple[float, set[int], int]], list[str]]:
    """Phases of grains larger than a patch: confidence, patches and spots of each; and what cannot be told."""
    notes: list[str] = []
    told: dict[str, tuple[float, set[int], int]] = {}
    explained: set[int] = set()
    if len(films) > 1:
        parts = [spot for _, spot, _ in films]
        joined = Spots(
            k=np.concatenate([part.k for part in parts]),
            ratio=np.concatenate([part.ratio for part in parts]),
            along=np.concatenate([part.along for part in parts]),
            across=np.concatenate([part.across for part in parts]),
            place=np.concatenate([part.place for part in parts]),
            place_error=np.concatenate([part.place_error for part in parts]),
            floor=parts[0].floor,
            side=parts[0].side,
        )
        for verdict in Candidates(temperature, phases).verdicts(joined, sure):
            if verdict.decided:
                members = verdict.crystal.spots
                patches = {n for i in members for n in films[i][2]}
                told[verdict.phase] = (verdict.confidence, patches, len(members))
                explained |= set(members)
    for number, (k, spot, patches) in enumerate(films):
        if number not in explained:
            length, error = float(np.hypot(*k)), float(spot.along[0])
            fits = [
                f"{one.reported} {one.labels[near]}"
                for one in (lattice(phase, temperature) for phase in phases)
                for near in [one.nearest(length)]
                if abs(one.length[near] - length) < 3 * error
            ]
            notes.append(
                f"fringes of {1e9 / length:.4f} nm run through {len(patches)} patches: one spot decides nothing"
                + (f" (fits {', '.join(fits)})" if fits else "")
            )
    return told, notes
