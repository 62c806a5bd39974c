"""Pictures of a phase map: the lattice image with its squares, the indexed transform of each, rings, and the layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from acquisition.analysis.patches import Patch, spectrum
from acquisition.datafile import Column, PassRecord, Recorded, open_record
from acquisition.figures.axes import MARK, SMALL, draw_scale_bar, said_dose, say
from acquisition.figures.panel import Panel

STEP = "phase_map"
IMAGE = "lattice"
SHOWN = 1024  # pixels a side of the picture of an image
PHASES = {  # told apart by all eyes (Okabe and Ito), and by their marks
    "Li": ("#56b4e9", "h"),
    "Li2O": ("#d55e00", "o"),
    "Li3N": ("#0072b2", "s"),
    "Li3PO4": ("#009e73", "^"),
    "Li3P": ("#cc79a7", "D"),
    "LiOH": ("#e69f00", "v"),
    "Li2CO3": ("#f0e442", "P"),
    "ice": ("#999999", "*"),
    "Cu": ("#000000", "X"),
}
BANDS = {
    "lithium": ("#999999", ":"),
    "lithium-side": ("#0072b2", "-"),
    "middle": ("#009e73", "-"),
    "lipon-side": ("#d55e00", "-"),
    "lipon": ("#000000", "--"),
}
CONTROLS = ("lithium", "lipon")
ROOM = 0.2, 0.1  # of the half width, that a name takes
FARTHEST = 7.5  # 1/nm that a transform is shown to

Floats = NDArray[np.float64]


def panels(record: Recorded) -> Iterator[Panel]:
    """The pictures of a finished phase map; those that show the lattice image where its file is still beside it."""
    found = record.results
    if record.about.step != STEP or "regions" not in found:
        return
    by_file: dict[str, list[dict[str, Any]]] = {}
    for square in found.get("squares", ()):
        by_file.setdefault(square["file"], []).append(square)
    for number, (file, squares) in enumerate(by_file.items(), start=1):
        path = record.path.parent / file.rpartition("/")[2]
        if not path.exists():
            continue
        stem = f"{STEP}-{number}" if len(by_file) > 1 else STEP
        with open_record(path) as source:
            passes = sorted(source.passes(), key=lambda one: one.index)
            stack = source.image(IMAGE)
            frames = stack.reshape(-1, *stack.shape[-2:])
            flood = source.flood(IMAGE)
        first = frames[passes[0].index]
        yield _image(stem, first, squares, flood.size, passes[0])
        for square in squares:
            yield _transform(stem, first, square, passes[0])
    if "radial_profile" in record.tables:
        yield _rings(record.table("radial_profile"), found)
    yield _layers(found)


def indexed(indices: str) -> str:
    """Miller indices as people write them: bars above what is negative."""
    digits = re.findall(r"-?\d+" if " " in indices.strip() else r"-?\d", indices)
    written = "".join(rf"\bar{{{digit[1:]}}}" if digit.startswith("-") else digit for digit in digits)
    return f"${written}$"


def formula(phase: str) -> str:
    """A phase with its numbers below the line."""
    return re.sub(r"(\d)", r"$_\1$", phase)


def _image(
    stem: str, image: NDArray[Any], squares: list[dict[str, Any]], size: tuple[float, float], one: PassRecord
) -> Panel:
    by = max(-(-len(image) // SHOWN), 1)
    side = len(image) // by * by
    shown = image[:side, :side].reshape(side // by, by, side // by, by).mean(axis=(1, 3))

    def draw(axes: Axes, found: object) -> None:
        low, high = np.percentile(shown, [0.5, 99.5])
        axes.imshow(shown, cmap="gray", vmin=low, vmax=max(high, low + 1.0), interpolation="nearest")
        for number, square in enumerate(squares, start=1):
            corner, wide = (square["column"] / by, square["row"] / by), square["side"] / by
            axes.add_patch(Rectangle(corner, wide, wide, fill=False, edgecolor=MARK, linewidth=1.6))
            place = corner[0] + wide * 1.15, corner[1]
            axes.text(*place, str(number), fontsize=10, va="top", weight="bold", bbox={"facecolor": MARK, "pad": 1})
        draw_scale_bar(axes, shown.shape, (size[0], size[1]))
        say(axes, said_dose(one.fluence_planned, one.dose_after))

    names = ", ".join(f"{number} {square['region']}" for number, square in enumerate(squares, start=1))
    return Panel(f"{stem}-image", f"first frame; squares: {names}", "square", draw)


def _transform(stem: str, image: NDArray[Any], square: Mapping[str, Any], one: PassRecord) -> Panel:
    patch = Patch(square["row"], square["column"], square["side"])
    pitch = square["pixel_nm"] * 1e-9
    seen = spectrum(patch.cut(image).astype(np.float64), pitch)
    far = min(int(FARTHEST * 1e9 / seen.step), seen.half)
    half = seen.ratio[seen.half - far : seen.half + far + 1, : far + 1]
    whole = np.concatenate([half[::-1, :0:-1], half], axis=1)
    reach = far * seen.step * 1e-9
    spots = square["spots"]
    what = "control FFT" if square["region"] in CONTROLS else "FFT"

    def draw(axes: Axes, found: object) -> None:
        axes.imshow(
            np.sqrt(whole),
            cmap="gray",
            vmin=0.5,
            vmax=5.0,
            extent=(-reach, reach, reach, -reach),
            interpolation="nearest",
        )
        named: list[tuple[float, float]] = []
        for spot in spots:
            phase, _, plane = label.partition(" ") if (label := spot["label"]) else ("", "", "")
            colour, _ = PHASES.get(phase, ("white", "o"))
            x, y = spot["k_per_nm"]
            for sign in (1, -1) if label else (1,):
                axes.plot(
                    sign * x,
                    sign * y,
                    marker="o",
                    markersize=11 if label else 7,
                    fillstyle="none",
                    markeredgewidth=1.6 if label else 0.6,
                    color=colour,
                )
            # of a Friedel pair the half that lies lower is named, where there is room for it
            x, y = (x, y) if y >= 0.0 else (-x, -y)
            free = all(abs(x - a) > ROOM[0] * reach or abs(y - b) > ROOM[1] * reach for a, b in named)
            if label and free:
                named.append((x, y))
                axes.annotate(
                    indexed(plane),
                    (x, y),
                    xytext=(6, 7),
                    textcoords="offset points",
                    color=colour,
                    fontsize=SMALL,
                    weight="bold",
                    bbox={"facecolor": "black", "alpha": 0.65, "linewidth": 0, "pad": 1},
                    ha="left" if x < 0.5 * reach else "right",
                )
        for phase in dict.fromkeys(spot["label"].partition(" ")[0] for spot in spots if spot["label"]):
            axes.plot([], [], "o", fillstyle="none", color=PHASES.get(phase, ("white", "o"))[0], label=formula(phase))
        if named:
            axes.legend(fontsize=SMALL, loc="lower left", facecolor="black", labelcolor="linecolor", framealpha=0.65)
        axes.set_xlim(-reach, reach)
        axes.set_ylim(reach, -reach)
        axes.set_xlabel("spatial frequency (1/nm)")
        axes.set_ylabel("spatial frequency (1/nm)")
        say(axes, said_dose(one.fluence_planned, one.dose_after))

    title = f"{what} of {square['region']}, over the film's mean at each distance"
    return Panel(f"{stem}-fft-{square['region']}", title, "square", draw)


def _rings(table: Mapping[str, Column], results: Mapping[str, Any]) -> Panel:
    (_, frequency), *columns = table.items()

    def draw(axes: Axes, found: object) -> None:
        for name, column in columns:
            band = name.replace("_", "-")
            colour, line = BANDS.get(band, ("#444444", "-"))
            if np.isfinite(column.values).any():
                axes.plot(frequency.values, column.values, color=colour, linestyle=line, linewidth=1.1, label=band)
        axes.axhline(1.0, color="#444444", linewidth=0.6)
        axes.text(1.1, 0.97, "shot noise", fontsize=SMALL, color="#444444", va="top")
        axes.set_yscale("log")
        axes.set_xlim(1.0, float(frequency.values[-1]))
        axes.set_ylim(bottom=0.7)
        axes.set_xlabel("spatial frequency 1/d (1/nm)")
        axes.set_ylabel("mean power over shot noise")
        axes.legend(fontsize=SMALL, title=_dose(results), title_fontsize=SMALL)

    return Panel(f"{STEP}-rings", "radial profile: halo of what is amorphous, and rings of crystals", "wide", draw)


def _layers(results: Mapping[str, Any]) -> Panel:
    """The sequence of layers, drawn from what was found."""
    regions = [region for region in results["regions"] if region["patches"]]
    control = results["controls"]

    def draw(axes: Axes, found: object) -> None:
        if not regions:
            axes.set_axis_off()
            return
        edges = _edges(regions)
        names = [*dict.fromkeys(one["phase"] for region in regions for one in region["phases"])]
        for number, (region, start, end) in enumerate(zip(regions, edges, edges[1:], strict=False)):
            grey = 0.97 - 0.05 * number
            axes.axvspan(start, end, color=(grey, grey, grey), linewidth=0)
            height = len(names) + (0.1 if number % 2 else 0.35)  # narrow bands have long names
            axes.text((start + end) / 2, height, region["name"], ha="center", va="bottom", fontsize=SMALL)
            notes = " ".join(region["notes"])
            for one in region["phases"]:
                height = names.index(one["phase"])
                colour, mark = PHASES.get(one["phase"], ("#444444", "o"))
                axes.barh(
                    height + 0.5,
                    0.94 * (end - start),
                    height=0.72,
                    left=start + 0.03 * (end - start),
                    color=colour,
                    alpha=0.45,
                    hatch="//" if one["phase"] == "Li2O" and "shell" in notes else None,
                    edgecolor=colour,
                )
                axes.plot((start + end) / 2, height + 0.66, marker=mark, markersize=7, color=colour)
                text = f"{one['crystals']} crystals\n{one['confidence']:.3f}"
                axes.text((start + end) / 2, height + 0.5, text, ha="center", va="top", fontsize=SMALL - 1)
        axes.set_yticks([number + 0.5 for number in range(len(names))], [formula(name) for name in names])
        axes.set_ylim(0, max(len(names), 1) + 1.3)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel("distance from the interface (nm)")
        said = f"false positives in LiPON: {(control['decided'] and sum(control['decided'].values())) or 0} of "
        said += f"{control['patches']} patches; undecided: {100 * results['undecided_rate']:.0f} %; {_dose(results)}"
        if any("shell" in note for region in regions for note in region["notes"]):
            said += "; hatched: may be the shell of the lithium"
        axes.text(0.5, 0.985, fill(said, 92), transform=axes.transAxes, ha="center", va="top", fontsize=SMALL - 1)

    return Panel(f"{STEP}-layers", "; ".join(["layers as found", *results["flags"]]), "wide", draw)


def _edges(regions: list[dict[str, Any]]) -> Floats:
    """Where bands meet, nm: half-way between their patches; the outermost end with theirs."""
    inner = [(before["to_nm"] + after["from_nm"]) / 2 for before, after in pairwise(regions)]
    return np.array([regions[0]["from_nm"] - 6.4, *inner, regions[-1]["to_nm"] + 6.4])


def _dose(results: Mapping[str, Any]) -> str:
    doses = [f"{dose:.0f}" for dose in results["phase_map"]["summed_e_per_A2"]]
    return f"{', '.join(doses)} e/A$^2$"
