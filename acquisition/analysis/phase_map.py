"""From lattice images to what stands in each band: looks, verdicts, controls, and what the beam did meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.analysis.bands import BANDS, ENOUGH, Band, Composition, Placement, independent
from acquisition.analysis.fading import Fading, align, appeared, fading
from acquisition.analysis.layers import SHELL, Control, Layer, control_of, distinct, judge, shell_explains
from acquisition.analysis.looks import Looked, look
from acquisition.analysis.patches import spectrum
from acquisition.analysis.phases import Candidates
from acquisition.analysis.spots import rings_of

Array = NDArray[np.float64]
Image = NDArray[np.floating]

_FADED = 0.2  # of the amplitude; what is lost at least before it is said
_RINGS = 16  # patches of a band that its radial profile is averaged over
_NOISE = 7.8e9  # 1/m: beyond, shot noise is all there is
_GLASS = 2.0e9, 5.0e9  # 1/m, where the halo of what is amorphous stands
_HALO = 1.1  # of the noise
_UNCLEAN = 0.1  # of the control patches, in which nothing that the beam makes was found
_TRIED = 60  # looks that a scale is fitted to, those with most spots
_SCALES = 17


@dataclass(frozen=True)
class Divided:
    """A lattice image with its bands.

    total: of the first `kept` frames, laid upon one another; frames: (rows, columns) each, counts, as they were taken.
    shifts: how far the sample had moved in each, m; None where that is not known.  pitch: m a pixel.
    """

    total: NDArray[np.float32]
    frames: Sequence[Image]
    shifts: tuple[tuple[float, float] | None, ...]
    kept: int
    pitch: float
    placed: Placement
    bands: tuple[Band, ...]

    def pairs(self, numbers: Sequence[int]) -> list[tuple[Image, tuple[float, float]]]:
        """Return some frames with their shifts; those that were not laid upon the first are left out."""
        return [(self.frames[i], shift) for i in numbers if (shift := self.shifts[i]) is not None]

    @property
    def early(self) -> list[int]:
        """Numbers of the first frames: as many as there are last ones."""
        return list(range(min(self.kept, max(len(self.frames) // 2, 1))))

    @property
    def late(self) -> list[int]:
        """Numbers of the last frames."""
        return list(range(len(self.frames) - len(self.early), len(self.frames)))


@dataclass(frozen=True)
class Region:
    """One band with all that is said of it.

    across: middle, first and last middle of its patches, m from the zero of the composition.  apart: patches that do
    not overlap.  halo: power of what is amorphous over the noise.  notes: for people.
    """

    layer: Layer
    looked: tuple[Looked, ...]
    across: tuple[float, float, float]
    apart: int
    halo: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PhaseMap:
    """What the images show. profile: 1/m, and for each region the mean power at it over shot noise, (rings,)."""

    regions: tuple[Region, ...]
    control: Control
    fading: Fading | None
    grown: tuple[int, int] | None
    flags: tuple[str, ...]
    profile: tuple[Array, tuple[Array, ...]]

    @property
    def undecided(self) -> float:
        """Share of all groups of spots that may be a crystal without a verdict."""
        groups = sum(region.layer.groups for region in self.regions)
        return sum(region.layer.undecided for region in self.regions) / groups if groups else 0.0


def looks_at(images: Sequence[Divided]) -> dict[str, list[Looked]]:
    """Look at the patches of every band of all images."""
    found: dict[str, list[Looked]] = {name: [] for name in BANDS}
    for number, image in enumerate(images):
        for band in image.bands:
            first = len({(each.image, each.patch) for each in found[band.name]})
            found[band.name] += look(image.total, image.pitch, band, number=number, first=first)
    return found


def own_scale(looks: Sequence[Looked], temperature: float, within: float) -> float:
    """Return how many times as large a pixel is as believed, within a relative bound, by the lattices of the sample.

    For want of a calibration: the scale at which lattices explain most spots.
    """
    richest = sorted(looks, key=lambda each: -len(each.spots))[:_TRIED]
    candidates = Candidates(temperature)

    def worth(scale: float) -> float:
        crystals = [candidates.crystals(each.spots.rescaled(scale)) for each in richest]
        return sum(float(np.logaddexp.reduce([0.0, *(one.evidence for one in each)])) for each in crystals)

    scales = 1 + within * np.linspace(-1, 1, _SCALES)
    worths = np.array([worth(float(scale)) for scale in scales])
    weight = np.exp(worths - worths.max())
    return float(weight @ scales / weight.sum())


def rescaled(looks: Sequence[Looked], factor: float) -> list[Looked]:
    """Return looks as they are with pixels `factor` times as large."""
    return [
        replace(
            each,
            place=(each.place[0] * factor, each.place[1] * factor),
            across=each.across * factor,
            spots=each.spots.rescaled(factor),
        )
        for each in looks
    ]


def evaluate(
    images: Sequence[Divided], looks: dict[str, list[Looked]], composition: Composition, temperature: float
) -> PhaseMap:
    """Judge every band and follow its crystals through the frames.

    looks: of looks_at, in true lengths.  temperature: of the sample, K.
    """
    control = control_of([each for each in looks["lipon"] if each.control], temperature)
    layers = {name: judge(name, looks[name], temperature, control) for name in BANDS}
    regions, profiles = [], []
    rings = np.empty(0)
    for name, layer in layers.items():
        across = np.array([each.across for each in looks[name]] or [np.nan])
        rings, profile, halo = _radial(images, name)
        profiles.append(profile)
        apart = sum(independent(band.patches) for image in images for band in image.bands if band.name == name)
        regions.append(
            Region(
                layer,
                tuple(looks[name]),
                (float(across.mean()), float(across.min()), float(across.max())),
                apart,
                halo,
                (*layer.notes, *_notes(layer, layers["lithium"], composition, float(across.mean()))),
            )
        )
    faded = _faded(images, regions)
    grown = _grown(images, temperature)
    return PhaseMap(tuple(regions), control, faded, grown, flags_of(faded, grown, control), (rings, tuple(profiles)))


def _notes(layer: Layer, lithium: Layer, composition: Composition, across: float) -> list[str]:
    notes = []
    if layer.patches < ENOUGH:
        notes.append(f"only {layer.patches} patches lie in this band; {ENOUGH} were asked for")
    if not any(phase.phase == SHELL for phase in layer.phases):
        return notes
    share = 1.0 if layer.name == "lithium" else 0.0 if layer.name == "lipon" else composition.lithium(across)
    if layer.name == "lithium" or shell_explains(layer, lithium, share):
        notes.append("Li2O here may be the shell of the lithium")
    return notes


def _faded(images: Sequence[Divided], regions: Sequence[Region]) -> Fading | None:
    """What became of the decided crystals of all images but what the beam may have made; the one with most spots."""
    found: list[Fading] = []
    for number, image in enumerate(images):
        if len(image.frames) < 2:
            continue
        seen = [
            each
            for region in regions
            if region.layer.name != "lipon"
            for each in distinct([one for one in region.layer.seen if one.verdict.decided])
            if each.looked.image == number
        ]
        first, last = image.pairs(image.early), image.pairs(image.late)
        lost = fading(seen, first, last, image.pitch) if first and last else None
        if lost is not None:
            found.append(lost)
    return max(found, key=lambda each: each.spots, default=None)


def _grown(images: Sequence[Divided], temperature: float) -> tuple[int, int] | None:
    """In how many control patches Li2O was seen in the first half of the frames, and in the last; None with one frame.

    Halves, for a crystal or two in a single frame are easily lost in its noise.
    """
    counts = np.zeros(2, dtype=int)
    several = [image for image in images if len(image.frames) > 1]
    for image in several:
        band = next(band for band in image.bands if band.name == "lipon")
        half = len(image.frames) // 2
        for place, numbers in enumerate((range(half), range(len(image.frames) - half, len(image.frames)))):
            part = image.pairs(numbers)
            if not part:
                return None
            total = align([frame for frame, _ in part], image.pitch, len(part)).total
            counts[place] += control_of(look(total, image.pitch, band), temperature).decided.get(SHELL, 0)
    return (int(counts[0]), int(counts[1])) if several else None


def flags_of(faded: Fading | None, grown: tuple[int, int] | None, control: Control) -> tuple[str, ...]:
    """What a careful reader would ask about: fading, growth, and controls that are none."""
    said = []
    if faded is not None and faded.low > 0 and faded.lost > _FADED:
        said.append(f"crystal signal fell by {100 * faded.lost:.0f} % during exposure")
    if grown is not None and appeared(*grown):
        said.append(
            f"Li2O appeared in LiPON ({grown[0]} patches in the first half of the frames, {grown[1]} in the last)"
        )
    elif control.decided.get(SHELL, 0) > 1:
        said.append(f"Li2O is seen in {control.decided[SHELL]} of {control.patches} control patches of LiPON")
    flags: tuple[str, ...] = ("; ".join(said),) if said else ()
    strange = {phase: number for phase, number in control.decided.items() if phase != SHELL and number}
    if sum(strange.values()) > _UNCLEAN * max(control.patches, 1):
        told = ", ".join(f"{phase} in {number}" for phase, number in strange.items())
        flags += (
            f"the LiPON that serves as control is not clean ({told} of {control.patches} patches): the place of the "
            "interphase or the size of a pixel may be wrong, and no verdict is worth more than that",
        )
    return flags


def _radial(images: Sequence[Divided], name: str) -> tuple[Array, Array, float]:
    """Distances, 1/m, the mean power of a band there over the shot noise, and how far the film's halo is above it."""
    powers, films = [], []
    distances = np.empty(0)
    for image in images:
        band = next(band for band in image.bands if band.name == name)
        for patch in band.patches[:: max(len(band.patches) // _RINGS, 1)]:
            seen = spectrum(patch.cut(image.total), image.pitch)
            distances, ratio = rings_of(seen)
            film = np.interp(distances, seen.rings, seen.background)
            films.append(film)
            powers.append(film * ratio)
    if not powers:
        return distances, np.full(distances.shape, np.nan), 0.0
    film, power = np.mean(films, axis=0), np.mean(powers, axis=0)
    noise = float(film[distances > _NOISE].mean())
    halo = float(film[(distances > _GLASS[0]) & (distances < _GLASS[1])].max()) / noise
    return distances, power / noise, halo


def has_halo(halo: float) -> bool:
    """Whether something amorphous shows over the noise."""
    return halo > _HALO
