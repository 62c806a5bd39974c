"""Dose of a scanned beam: fluence is charge per area, in electrons (or ions) per m^2."""

from scipy.constants import e

E_PER_A2 = 1e20
"""One electron per square angstrom, in m^-2."""

IONS_PER_NM2 = 1e18
"""One ion per square nanometre, in m^-2."""


def electrons(current: float, seconds: float) -> float:
    """Return how many singly charged particles a current (A) brings in a time (s); not rounded to whole ones."""
    return float(current * seconds / e)


def fluence(current: float, dwell: float, pitch_x: float, pitch_y: float, passes: int = 1) -> float:
    """Return the mean fluence in m^-2 of a scan of so many passes.

    current: A.  dwell: s per pixel and pass.  pitch_x, pitch_y: distance of pixels, m.  The mean over the field: a
    probe much finer than the pitch leaves more than this where it stood. ValueError unless both pitches are positive.
    """
    return electrons(current, dwell) * passes / _pixel(pitch_x, pitch_y)


def dwell_for(fluence: float, current: float, pitch_x: float, pitch_y: float, passes: int = 1) -> float:
    """Return the dwell in s per pixel and pass with which a scan of so many passes delivers a fluence (m^-2).

    current: A.  pitch_x, pitch_y: m. ValueError unless the current, the pitches and the number of passes are positive.
    """
    if not current > 0 or not passes > 0:
        raise ValueError(f"no dwell delivers a fluence with {current!r} A in {passes!r} passes")
    return float(fluence * _pixel(pitch_x, pitch_y) * e / (current * passes))


def _pixel(pitch_x: float, pitch_y: float) -> float:
    if not (pitch_x > 0 and pitch_y > 0):
        raise ValueError(f"pixel pitch {pitch_x!r} m x {pitch_y!r} m is not positive")
    return pitch_x * pitch_y
