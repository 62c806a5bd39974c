"""The defocus of a lattice image, from the rings that the lens makes of what is amorphous in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, interpolate, ndimage, optimize

from physics.electrons import wavelength

Array = NDArray[np.float64]

_TILE = 1024  # px, of which spectra are averaged
_LOWEST = 0.6e9  # 1/m: below it thickness and illumination, not atoms
_HIGHEST = 0.7  # of the Nyquist frequency
_COARSE = 7, 4  # knots of the smooth curves that rings stand on, and of their height: few, for few rings to be told
_FINE = 15, 8  # of those that are given with a defocus that was found
_STEPS = 121  # of the defocus that are tried
_THICKNESSES = 6
_SPOT = 30.0  # times the mean of its ring: a point of a tile that no noise makes; such tiles hold crystals
_MODEL = 1.5e-9  # m, standard deviation of what smooth curves under the rings shift them; of synthetic spectra
_APART = 6e-9  # m from which on another defocus is another one


@dataclass(frozen=True)
class Defocus:
    """What the rings say.

    value: m, underfocus positive, of the middle of the foil.  error: standard uncertainty, m.  score: share of the
    variance beyond smooth curves that rings explain, 0 to 1.  other: the next best defocus, m, and how many times
    worse it fits, in variances of the noise: below 9 the two cannot be told apart.  thickness: of the foil, m, that
    fits best.  frequency: (n,), 1/m.  power, fit, smooth: spectrum, model, and the model without rings, (n,).
    """

    value: float
    error: float
    score: float
    other: float
    other_worse: float
    thickness: float
    frequency: Array
    power: Array
    fit: Array
    smooth: Array


def find_defocus(
    image: NDArray[np.floating],
    pitch: float,
    *,
    beam_energy: float,
    spherical: float,
    nominal: float,
    reach: float,
    thickest: float,
) -> Defocus:
    """Fit the Thon rings of an image (rows, columns), counts, of something mostly amorphous.

    pitch: m.  beam_energy: eV.  spherical: C3, m.  nominal: defocus as it was set, m; looked for within `reach` of it.
    thickest: the foil, at most, m: rings of its upper and lower half cancel where they differ by half a turn, which the
    fit takes into account.  Spots of crystals are left out as the median in each ring is taken. The sign of the defocus
    shows in the rings only by way of C3; where it does not, it is that of the nominal one.
    ValueError for an image smaller than 128 pixels a side.
    """
    spectrum = np.array(radial_power(np.asarray(image, dtype=np.float64), pitch))
    frequency, power, errors = spectrum[:, (spectrum[0] >= _LOWEST) & (spectrum[0] <= _HIGHEST / (2 * pitch))]
    lens = wavelength(beam_energy), spherical
    model = _Rings(frequency, power, errors, lens, _COARSE)
    without = model.misfit(None)
    values = nominal + np.linspace(-reach, reach, _STEPS)
    depths = np.linspace(0.0, thickest, _THICKNESSES)
    misfits = np.array([[model.misfit((value, depth)) for depth in depths] for value in values])
    best = np.unravel_index(np.argmin(misfits), misfits.shape)
    step = float(values[1] - values[0])
    refined = optimize.minimize(
        lambda p: model.misfit((p[0] * step, abs(p[1]) * thickest)),
        [values[best[0]] / step, depths[best[1]] / thickest],
        method="Nelder-Mead",
        options={"xatol": 0.01, "fatol": 0.01, "maxfev": 80},
    )
    value, depth = float(refined.x[0]) * step, abs(float(refined.x[1])) * thickest
    least = float(refined.fun)
    if math.copysign(1, value) != math.copysign(1, nominal):
        mirrored = model.misfit((-value, depth))
        if mirrored - least < 9 * max(least / frequency.size, 1) and abs(-value - nominal) <= reach:
            value, least = -value, mirrored
    noise = max(least / max(frequency.size - sum(_COARSE) - 2, 1), 1.0)
    fit, smooth = _Rings(frequency, power, errors, lens, _FINE).curves((value, depth))
    error = math.hypot(_error(model, value, depth, least, noise, step), _MODEL)
    other, worse = _runner_up(values, misfits.min(axis=1), value, least, noise)
    return Defocus(
        value=value,
        error=error,
        score=float(np.clip(1 - least / max(without, 1e-300), 0, 1)),
        other=other,
        other_worse=worse,
        thickness=depth,
        frequency=frequency,
        power=power,
        fit=fit,
        smooth=smooth,
    )


def radial_power(image: Array, pitch: float) -> tuple[Array, Array, Array]:
    """Frequencies, 1/m, power spectrum (median in rings, over that of an exponential), and its error; (n,) each.

    Averaged over tiles under a Hann window, those without crystals where there are any.  ValueError for an image
    smaller than 128 pixels a side.
    """
    side = min(_TILE, *image.shape)
    if side < 128:
        raise ValueError(f"an image of shape {image.shape} is too small for rings")
    window = np.outer(*(np.hanning(side + 2)[1:-1],) * 2)
    down, right = fft.fftfreq(side), fft.rfftfreq(side)
    number = np.rint(np.hypot(down[:, None], right[None, :]) * side).astype(np.int64).ravel()
    order = np.argsort(number, kind="stable")
    edges = np.searchsorted(number[order], np.arange(1, side // 2))
    first = max(round(_LOWEST * side * pitch), 1)
    spectra, spotted = [], []
    for row in range(0, image.shape[0] - side + 1, side):
        for column in range(0, image.shape[1] - side + 1, side):
            tile = image[row : row + side, column : column + side]
            power = (np.abs(fft.rfft2((tile / tile.mean() - 1) * window)) ** 2).ravel()[order]
            rings = np.split(power, edges)[:-1]
            spectra.append([float(np.median(ring)) / math.log(2) for ring in rings])
            spotted.append(
                max(float(ring.max()) / mean for ring, mean in zip(rings[first:], spectra[-1][first:], strict=True))
            )
    clean = [spectrum for spectrum, spot in zip(spectra, spotted, strict=True) if spot <= _SPOT]
    spectra = clean or spectra
    sizes = np.diff(np.concatenate([[0], edges]))[: len(spectra[0])]
    mean = np.mean(spectra, axis=0)
    # half of the points of a row are the other half's mirror image only at k_x = 0; a Hann window joins neighbours
    independent = np.maximum(sizes * len(spectra) / 2.25, 1)
    frequency = np.arange(len(mean)) / (side * pitch)
    return frequency[1:], mean[1:], (mean / math.log(2) / np.sqrt(independent))[1:]


class _Rings:
    """A spectrum as smooth curves, and rings of given defocus and thickness on them; the curves follow by fitting.

    lens: wavelength and spherical aberration, m.  knots: of the curves, and of the height of the rings.
    """

    def __init__(
        self, frequency: Array, power: Array, error: Array, lens: tuple[float, float], knots: tuple[int, int]
    ) -> None:
        self._k, self._power = frequency, power
        level = ndimage.gaussian_filter1d(power, 3.0, mode="nearest")
        self._weight = 1 / (level * error / np.maximum(power, 1e-300))
        self._length, self._spherical = lens
        self._smooth = _hats(frequency, knots[0])
        self._rings = _hats(frequency, knots[1])
        self._noise = power * self._weight

    def misfit(self, p: tuple[float, float] | None) -> float:
        """Weighted sum of squares that is left; None for no rings at all."""
        return float(optimize.nnls(self._design(p) * self._weight[:, None], self._noise)[1] ** 2)

    def curves(self, p: tuple[float, float]) -> tuple[Array, Array]:
        """The fitted spectrum, and what it stands on, (n,) each."""
        design = self._design(p)
        best, _ = optimize.nnls(design * self._weight[:, None], self._noise)
        smooth = design[:, : self._smooth.shape[1]] @ best[: self._smooth.shape[1]]
        return np.asarray(design @ best), np.asarray(smooth)

    def _design(self, p: tuple[float, float] | None) -> Array:
        if p is None:
            return self._smooth
        defocus, thickness = p
        phase = math.pi * self._length * self._k**2
        chi = phase * (defocus - self._spherical * (self._length * self._k) ** 2 / 2)
        # over a foil of even thickness, what each depth adds averages to this
        kept = np.sinc(phase * thickness / math.pi)
        rings = -self._rings * (np.cos(2 * chi) * kept)[:, None]
        return np.concatenate([self._smooth, rings], axis=1)


def _hats(k: Array, knots: int) -> Array:
    """Quadratic B-splines over k, (n, knots), even on the scale of k."""
    inner = np.linspace(k[0], k[-1] * (1 + 1e-9), knots - 1)
    padded = np.concatenate([[inner[0]] * 2, inner, [inner[-1]] * 2])
    return np.asarray(interpolate.BSpline.design_matrix(k, padded, 2).toarray())


def _runner_up(values: Array, misfits: Array, best: float, least: float, noise: float) -> tuple[float, float]:
    """The next lowest valley of the misfit apart from the best one, and how much worse it is over the noise."""
    valleys = [
        i
        for i in range(1, len(values) - 1)
        if misfits[i] <= min(misfits[i - 1], misfits[i + 1])
        and abs(values[i] - best) > max(_APART, 3 * (values[1] - values[0]))
    ]
    if not valleys:
        return best, math.inf
    lowest = min(valleys, key=lambda i: float(misfits[i]))
    return float(values[lowest]), float(misfits[lowest] - least) / noise


def _error(model: _Rings, value: float, depth: float, least: float, noise: float, step: float) -> float:
    """Standard uncertainty: how far the defocus goes until the misfit grows by its noise, to both sides."""
    reaches = []
    for side in (-1.0, 1.0):
        at = step / 16
        for _ in range(12):
            if model.misfit((value + side * at, depth)) - least > noise:
                break
            at *= 1.6
        grown = max(model.misfit((value + side * at, depth)) - least, 1e-12)
        reaches.append(at * math.sqrt(noise / grown) if grown > noise else at)
    return max(reaches)
