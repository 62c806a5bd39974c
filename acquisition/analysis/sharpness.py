"""How sharp a frame is, with its uncertainty, and where a series of frames is sharpest: for focusing at low dose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft


@dataclass(frozen=True)
class Sharpness:
    """Fine detail in a frame: variance of the detail over the square of the mean, and its standard uncertainty."""

    value: float
    error: float


@dataclass(frozen=True)
class Focus:
    """The setting at which a series is sharpest and its standard uncertainty, in the unit of the settings.

    found: whether the series has a maximum inside it that is clear of the noise; when not, best is the sharpest member.
    """

    best: float
    error: float
    found: bool


def sharpness(
    image: ArrayLike, pitch: tuple[float, float], *, counts_per_electron: float, detail: tuple[float, float]
) -> Sharpness:
    """Measure the detail of a frame (rows, columns), counts, between two sizes.

    pitch: m a pixel (x, y).  counts_per_electron: makes shot noise known, so that it can be taken off: a frame of noise
    alone has a sharpness of 0 within its error.  detail: smallest and largest period that counts, m, the smallest not
    below two pixels.  ValueError when no wave of the frame lies between, or the frame is dark.
    """
    electrons = np.asarray(image, dtype=np.float64) / counts_per_electron
    mean = float(electrons.mean())
    if not mean > 0:
        raise ValueError("the frame is dark: no sharpness in it")
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in electrons.shape))
    window /= math.sqrt(float(np.mean(window**2)))
    power = np.abs(fft.fft2((electrons - mean) * window)) ** 2 / electrons.size
    ky, kx = (fft.fftfreq(n, step) for n, step in zip(electrons.shape, pitch[::-1], strict=True))
    wave = np.hypot(ky[:, None], kx[None, :])
    band = (wave <= 1 / detail[0]) & (wave >= 1 / detail[1])
    waves = int(np.count_nonzero(band))
    if waves == 0:
        raise ValueError(f"no wave of the frame has a period between {detail[0]:g} and {detail[1]:g} m")
    noise = float(np.mean(electrons * window**2))
    detail_power = max(float(np.sum(power[band] - noise)), 0.0)
    # |signal + noise|^2 varies by 2 S N + N^2; a real frame holds every wave twice, the window joins neighbours
    variance = (2 * detail_power * noise + waves * noise**2) * 2 * float(np.mean(window**4))
    scale = mean**2 * electrons.size
    return Sharpness(float(np.sum(power[band] - noise)) / scale, math.sqrt(variance) / scale)


def best_focus(settings: Sequence[float], measured: Sequence[Sharpness]) -> Focus:
    """Find the setting of the largest sharpness by a weighted parabola through the members around the sharpest.

    settings: of the lens, any unit, at least three different ones.  Farther than two steps from the sharpest member a
    series is no parabola, and those members are left out.  ValueError for too few settings.
    """
    if len(set(settings)) < 3 or len(measured) != len(settings):
        raise ValueError("a focus series needs at least three different settings and one sharpness for each")
    sharpest = settings[int(np.argmax([one.value for one in measured]))]
    near = np.argsort(np.abs(np.asarray(settings) - sharpest), kind="stable")[:5]
    where = np.asarray(settings, dtype=np.float64)[near]
    values = np.array([measured[i].value for i in near])
    weights = 1 / np.maximum(np.array([measured[i].error for i in near]), 1e-300)
    middle, span = float(where.mean()), float(np.ptp(where)) / 2
    design = np.vander((where - middle) / span, 3) * weights[:, None]
    covariance = np.linalg.inv(design.T @ design)
    bend, slope, _ = covariance @ (design.T @ (values * weights))
    best = -slope / (2 * bend) if bend < 0 else math.inf
    gradient = np.array([slope / (2 * bend**2), -1 / (2 * bend), 0.0]) if bend else np.zeros(3)
    clear = bend < -3 * math.sqrt(covariance[0, 0])
    if not (clear and abs(best) <= 1):
        return Focus(float(sharpest), math.inf, False)
    return Focus(middle + span * best, span * math.sqrt(float(gradient @ covariance @ gradient)), True)
