"""The noncentral t distribution, and the noncentralities that agree with a t statistic seen.

T = (Z + c) / W with Z standard normal, c the noncentrality and W independent of Z, f W^2 chi-square
with f degrees of freedom (Johnson, Kotz and Balakrishnan, "Continuous univariate distributions" 2,
1995, chapter 31). Given W = w, T stays below t with probability Phi(t w - c), so that
P(T <= t) = integral of Phi(t w - c) times the density of W at w. SciPy's own function is not used:
it is NaN or wrong in the tails that an interval needs (for t = -3 and five seeds already).
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)
PANELS = 8
LOST = 1e-15
"""The probability that is left out at each end of W."""


def noncentral_t_below(t: float, df: int, noncentrality: float) -> float:
    """P(T <= t), to an absolute error below 1e-10; `df` is at least 2 and `t` not negative."""
    ends = np.sqrt(2 * special.gammaincinv(df / 2, [LOST, 1 - LOST]) / df)
    edges = np.linspace(ends[0], ends[1], PANELS + 1)
    if t > 0:
        # Phi(t w - c) rises from 0 to 1 around w = c / t, steeply where t is great.
        rise = (noncentrality + np.array([-8.0, -3.0, 0.0, 3.0, 8.0])) / t
        edges = np.unique(np.concatenate([edges, np.clip(rise, ends[0], ends[1])]))
    half = np.diff(edges)[:, None] / 2
    w = (edges[:-1, None] + half) + half * NODES
    inside = special.ndtr(t * w - noncentrality) * _density(w, df)
    return float((half * WEIGHTS * inside).sum())


def noncentrality_interval(t: float, df: int, confidence: float) -> tuple[float, float]:
    """The noncentralities for which neither tail beyond `t` has less than (1 - confidence) / 2."""
    tail = (1 - confidence) / 2
    low, high = (_noncentrality(abs(t), df, p) for p in (1 - tail, tail))
    return (low, high) if t >= 0 else (-high, -low)


def _noncentrality(t: float, df: int, probability: float) -> float:
    """The noncentrality at which T stays below `t`, which is not negative, with `probability`."""

    def excess(noncentrality: float) -> float:
        return noncentral_t_below(t, df, noncentrality) - probability

    # W is below 3 but for 1 in 8000 where there are two degrees of freedom, and rarer with more.
    return float(optimize.root_scalar(excess, bracket=(-10.0, 10.0 + 3 * t), xtol=1e-10).root)


def _density(w: NDArray[np.float64], df: int) -> NDArray[np.float64]:
    """Of W."""
    half = df / 2
    log = math.log(2) + half * math.log(half) - special.gammaln(half)
    return np.asarray(np.exp(log + (df - 1) * np.log(w) - half * w**2), dtype=np.float64)
