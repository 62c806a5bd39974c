"""The phases that a run reported, held against the crystals that its lattice images could show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acquisition.analysis.bands import Composition, bands, locate
from acquisition.analysis.fading import align
from acquisition.datafile import open_record
from benchmarks.visible import visible
from physics.materials import material
from simulators.world import World

_ONE_NAME = {"gamma-Li3PO4": "Li3PO4"}  # polymorphs are reported under one


@dataclass
class Phases:
    """Counts over the bands of a run.

    said: phases reported, and right: of them those with a visible spot.  there: phases with a visible two-spot
    crystal, and seen: of them those reported.  undecided: share of groups of spots without a verdict.
    """

    said: int = 0
    right: int = 0
    there: int = 0
    seen: int = 0
    undecided: float = 0.0
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


def phases_of(folder: Path, results: Mapping[str, Any], world: World) -> Phases:
    """Compare results.json of a run with its world, band by band."""
    if "regions" not in results:
        return Phases()
    there = _there(folder, results, world)
    found = Phases(undecided=float(results["undecided_rate"]))
    for region in results["regions"]:
        name = region["name"]
        one, two = there.get(name, (set(), set()))
        said = {phase["phase"] for phase in region["phases"]}
        found.said += len(said)
        found.right += len(said & one)
        found.there += len(two)
        found.seen += len(said & two)
        found.wrong += [f"{name}: {phase}" for phase in sorted(said - one)]
        found.missed += [f"{name}: {phase}" for phase in sorted(two - said)]
    return found


def _there(folder: Path, results: Mapping[str, Any], world: World) -> dict[str, tuple[set[str], set[str]]]:
    """By band, the phases with one visible spot and with a visible crystal of two, of all images that were used."""
    profiles = results.get("profiles", {})
    ramps = {element: (one["from_nm"] * 1e-9, one["to_nm"] * 1e-9) for element, one in profiles.items()}
    composition = Composition(material("Li"), material("LiPON"), ramps or None)
    there: dict[str, tuple[set[str], set[str]]] = {}
    scale, first = float(results["phase_map"]["pixel_of_believed"]), _first_sights(folder)
    for file in results["phase_map"]["images"]:
        with open_record(folder / file) as record:
            passes = record.passes()
            stack = record.image("lattice")
            frames = list(stack.reshape(-1, *stack.shape[-2:]))[: len(passes)]
            pitch = record.flood("lattice").pitch[0] * scale
        sight = world.flooding.sights[first[file]]
        total = align(frames, pitch, len(frames)).total
        placed = locate(total, pitch, composition)
        ends = composition.extent() if ramps else (-placed.extent / 2, placed.extent / 2)
        shape = (total.shape[0], total.shape[1])
        side = results["phase_map"]["patch_nm"] * 1e-9
        patches = {band.name: band.patches for band in bands(shape, pitch, placed, ends, side)}
        middle = sum(one.fluence_planned for one in passes) / 2.0
        seen = visible(world.matter, sight, total, patches, fluence=middle, temperature=100.0)
        for name, each in seen.items():
            one, two = there.setdefault(name, (set(), set()))
            one |= {_ONE_NAME.get(phase, phase) for phase in each.one}
            two |= {_ONE_NAME.get(phase, phase) for phase in each.two}
    return there


def _first_sights(folder: Path) -> dict[str, int]:
    """Which of all lattice frames of a run is the first of each file: files are in the order they were taken in."""
    first, number = {}, 0
    for path in sorted((folder / "data").glob("*-hrtem*.nxs")):
        first[f"data/{path.name}"] = number
        with open_record(path) as record:
            number += len(record.passes())
    return first
