"""How much detail a frame shows beyond its noise, with its uncertainty: for looking at the focus at low dose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft


@dataclass(frozen=True)
class Sharpness:
    """Fine detail in a frame: variance of the detail over the square of the mean, and its standard uncertainty."""

    value: float
    error: float


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
