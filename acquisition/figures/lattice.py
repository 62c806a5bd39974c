"""Pictures of lattice images: the image with its scale bar and its dose, its Fourier transform, first against last."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft
from matplotlib.axes import Axes
from numpy.typing import NDArray

from acquisition.datafile import PassRecord, Recorded
from acquisition.figures.axes import MARK, SMALL, draw_scale_bar
from acquisition.figures.panel import Panel
from drivers.ticket import Flood
from physics.dose import E_PER_A2

SHOWN = 1024  # pixels a side of the picture of an image
FARTHEST = 6.0e9  # 1/m; to where a Fourier transform is shown: 1.7 angstrom
RINGS = 256

Floats = NDArray[np.float64]


def panels(record: Recorded) -> Iterator[Panel]:
    """Of each stack of lattice images: the first frame, its Fourier transform, and the last against the first."""
    name = "lattice"
    if name not in record.images:
        return
    flood, passes = record.flood(name), {one.index: one for one in record.passes()}
    if not passes:
        return
    stack = record.image(name).reshape(-1, *flood.pixels[::-1])
    first, last = min(passes), max(passes)
    stem = record.path.stem.partition("-")[2]
    yield _image(stem, record.image_title(name), stack[first], flood, passes[first])
    spectrum, step = power(stack[first], flood)
    yield _transform(stem, spectrum, step, passes[first])
    if last > first:
        yield _fading(stem, (spectrum, power(stack[last], flood)[0]), step, (passes[first], passes[last]))


def power(image: NDArray[np.uint16], flood: Flood) -> tuple[Floats, float]:
    """Power spectrum of an image around no frequency at all, (n, n), and the step of its pixels, 1/m.

    A Hann window keeps the sides of the image out of it; it is cut where nothing more is shown.
    """
    rows, columns = image.shape
    down, across = (np.hanning(side + 2)[1:-1].astype(np.float32) for side in (rows, columns))
    windowed = image.astype(np.float32)
    windowed -= np.float32(image.mean())
    windowed *= down[:, None]
    windowed *= across
    spectrum = scipy.fft.rfft2(windowed, workers=2, overwrite_x=True)
    step = 1.0 / flood.size[0]
    far = min(int(FARTHEST / step), columns // 2 - 1, rows // 2 - 1)
    half = np.abs(np.concatenate([spectrum[-far:, : far + 1], spectrum[: far + 1, : far + 1]])) ** 2
    whole = np.empty((2 * far + 1, 2 * far + 1))
    whole[:, far:] = half
    whole[:, :far] = half[::-1, :0:-1]  # the image is real
    return whole, step


def radial(spectrum: Floats) -> tuple[Floats, Floats]:
    """Distance from the middle in pixels, and the mean of a power spectrum at it, both (RINGS,) at most."""
    far = len(spectrum) // 2
    y, x = np.ogrid[-far : far + 1, -far : far + 1]
    width = max(far / RINGS, 1.0)
    ring = (np.hypot(x, y) / width).astype(np.intp)
    inside = ring <= int(far / width) - 1
    count = np.bincount(ring[inside])
    mean = np.asarray(np.bincount(ring[inside], spectrum[inside]) / np.maximum(count, 1), np.float64)
    return np.asarray((np.arange(len(mean)) + 0.5) * width), mean


def _image(stem: str, title: str, image: NDArray[np.uint16], flood: Flood, one: PassRecord) -> Panel:
    by = max(-(-len(image) // SHOWN), 1)
    side = len(image) // by * by
    shown = image[:side, :side].reshape(side // by, by, side // by, by).mean(axis=(1, 3))

    def draw(axes: Axes, found: object) -> None:
        low, high = np.percentile(shown, [0.5, 99.5])
        axes.imshow(shown, cmap="gray", vmin=low, vmax=max(high, low + 1.0), interpolation="nearest")
        draw_scale_bar(axes, shown.shape, flood.size)
        _say(axes, _dose(one))

    return Panel(f"{stem}-image", title, "square", draw)


def _transform(stem: str, spectrum: Floats, step: float, one: PassRecord) -> Panel:
    where, mean = radial(spectrum)
    far = len(spectrum) // 2
    y, x = np.ogrid[-far : far + 1, -far : far + 1]
    # what goes round in rings (glass, lens, noise) is taken out, so that spots are what is left
    flat = np.sqrt(spectrum / np.maximum(np.interp(np.hypot(x, y), where, mean), 1e-300))
    reach = far * step * 1e-9

    def draw(axes: Axes, found: object) -> None:
        axes.imshow(
            flat,
            cmap="gray",
            vmin=0.5,
            vmax=max(float(np.percentile(flat, 99.95)), 3.0),
            extent=(-reach, reach, reach, -reach),
            interpolation_stage="data",  # far more points than dots: colours are for the dots
        )
        axes.set_xlabel("spatial frequency (1/nm)")
        axes.set_ylabel("spatial frequency (1/nm)")
        _say(axes, _dose(one))

    return Panel(
        f"{stem}-fft", "Fourier transform of the lattice image, over its mean at each distance", "square", draw
    )


def _fading(stem: str, spectra: tuple[Floats, Floats], step: float, passes: tuple[PassRecord, PassRecord]) -> Panel:
    curves = []
    for spectrum, one in zip(spectra, passes, strict=True):
        where, brightest = _brightest(spectrum)
        curves.append((where * step * 1e-9, brightest, _dose(one)))

    def draw(axes: Axes, found: object) -> None:
        for (frequency, brightest, dose), colour in zip(curves, ("#0072b2", MARK), strict=True):
            axes.plot(frequency, brightest, color=colour, linewidth=0.9, label=dose)
        axes.set_xlabel("spatial frequency (1/nm)")
        axes.set_ylabel("brightest spot over the mean at its distance")
        axes.set_xlim(1.0, FARTHEST * 1e-9)
        axes.set_yscale("log")
        axes.legend(fontsize=SMALL, title="first and last frame", title_fontsize=SMALL)

    return Panel(f"{stem}-fading", "spots of the lattice, first against last frame", "wide", draw)


def _brightest(spectrum: Floats) -> tuple[Floats, Floats]:
    """Distance from the middle, and the brightest pixel of a power spectrum at it over the mean there."""
    far = len(spectrum) // 2
    where, mean = radial(spectrum)
    y, x = np.ogrid[-far : far + 1, -far : far + 1]
    width = where[0] * 2.0
    ring = (np.hypot(x, y) / width).astype(np.intp)
    inside = ring < len(mean)
    brightest = np.zeros(len(mean))
    np.maximum.at(brightest, ring[inside], spectrum[inside])
    return where, brightest / np.maximum(mean, 1e-300)


def _dose(one: PassRecord) -> str:
    """What the place had received when the frame was over, as the ledger counts."""
    return f"{one.fluence_planned / E_PER_A2:.0f} e/A$^2$; at most {one.dose_after / E_PER_A2:.0f} in all"


def _say(axes: Axes, text: str) -> None:
    axes.text(
        0.98,
        0.98,
        text,
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=SMALL,
        color="white",
        bbox={"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 2},
    )
