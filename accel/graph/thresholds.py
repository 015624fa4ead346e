"""Where the sign of an affine function of an integer changes, exactly: batch norm and sign as an integer threshold.

A binary layer gives an integer n per output channel. What follows until a sign is affine in n, with numbers that are
float32 in the file, and perhaps one square root: batch norm's. The bit is that of exact arithmetic over those numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from fractions import Fraction

MOST_TERMS = 1 << 22
"""Thresholds between integers below this are float32 numbers."""

_ROUNDING = 1e-12
"""Of the magnitudes that were added: far above what some ten operations in float64 lose."""

Vector = np.ndarray


class Affine(NamedTuple):
    """y = x * scale / divisor + shift, float64 vectors of one element or one a channel."""

    scale: Vector
    divisor: Vector
    shift: Vector


class Norm(NamedTuple):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta."""

    gamma: Vector
    beta: Vector
    mean: Vector
    variance: Vector
    epsilon: float


class Sign(NamedTuple):
    """+1 where y > 0, or y >= 0 unless `strict`; else -1; `inverted`: the other way round. A NaN is neither.

    `zero`: what else the operator gives for 0, as ONNX's Sign does: then no 0 may occur.
    """

    strict: bool
    inverted: bool = False
    zero: bool = False


class Thresholds(NamedTuple):
    """+1 where n >= at, or where -n >= at in `flipped` channels; int64 and bool vectors. `at` is in -terms..terms+1."""

    at: Vector
    flipped: Vector


@dataclass(slots=True)
class Chain:
    """What is done to a number, step by step, in `channels` channels."""

    channels: int
    steps: list[Affine | Norm] = field(default_factory=list)

    def then(self, step: Affine | Norm) -> bool:
        """Append a step; False where it is not one that exact arithmetic follows."""
        numbers = np.concatenate([np.ravel(part) for part in step])
        divides_by_zero = isinstance(step, Affine) and (step.divisor == 0).any()
        degenerate = isinstance(step, Norm) and (
            (step.variance + step.epsilon == 0).any() or any(isinstance(s, Norm) for s in self.steps)
        )
        if np.isinf(numbers).any() or divides_by_zero or degenerate:
            return False
        self.steps.append(step)
        return True

    def undefined(self) -> Vector:
        """Channels in which every result is NaN."""
        nan = np.zeros(self.channels, np.bool_)
        for step in self.steps:
            for part in step:
                nan |= np.isnan(part)
            if isinstance(step, Norm):
                nan |= step.variance + step.epsilon < 0
        return nan

    def direction(self) -> Vector:
        """+1 where the result grows with n, -1 where it falls, 0 where it is constant."""
        sign = np.ones(self.channels)
        for step in self.steps:
            factor = np.sign(step.gamma) if isinstance(step, Norm) else np.sign(step.scale) * np.sign(step.divisor)
            sign = sign * factor
        return sign

    def signs(self, x: Vector) -> Vector:
        """The sign, -1, 0 or 1, of the result for one finite number a channel; where it is NaN, anything."""
        value, size = x.astype(np.float64), np.abs(x).astype(np.float64)
        with np.errstate(all="ignore"):
            for step in self.steps:
                if isinstance(step, Norm):
                    factor = step.gamma / np.sqrt(step.variance + step.epsilon)
                    value = (value - step.mean) * factor + step.beta
                    size = (size + np.abs(step.mean)) * np.abs(factor) + np.abs(step.beta)
                else:
                    factor = step.scale / step.divisor
                    value, size = value * factor + step.shift, size * np.abs(factor) + np.abs(step.shift)
            clear = (np.abs(value) > size * _ROUNDING) & np.isfinite(size)
        result = np.sign(value)
        for channel in np.flatnonzero(~clear & ~self.undefined()):
            result[channel] = self._exact_sign(int(channel), float(x[channel]))
        return result

    def _exact_sign(self, channel: int, x: float) -> int:
        """Of rational + irrational * sqrt(radicand)."""
        from fractions import Fraction  # few networks come here, every session would import it

        def at(vector: Vector) -> Fraction:
            return Fraction(float(vector[channel if vector.size > 1 else 0]))

        rational, irrational, radicand = Fraction(x), Fraction(0), Fraction(0)
        for step in self.steps:
            if isinstance(step, Norm):
                radicand = at(step.variance) + Fraction(step.epsilon)
                irrational = at(step.gamma) * (rational - at(step.mean)) / radicand
                rational = at(step.beta)
            else:
                factor = at(step.scale) / at(step.divisor)
                rational, irrational = rational * factor + at(step.shift), irrational * factor
        one, other = _sign(rational), _sign(irrational)
        if one * other >= 0:
            return one or other
        return one * _sign(rational**2 - irrational**2 * radicand)


def _sign(x: Fraction) -> int:
    return (x > 0) - (x < 0)


def find(chain: Chain, terms: int, rule: Sign, step: int = 1) -> Thresholds | None:
    """The threshold of every channel for n in -terms..terms.

    Parameters
    ----------
    terms : below MOST_TERMS.
    step : 2 where n is odd or even as `terms` is: no zero padding is counted in.

    Returns
    -------
    Thresholds, or None where the rule gives something else than +1 and -1 for an n that can occur.
    """
    undefined = chain.undefined()
    if terms >= MOST_TERMS or (rule.zero and undefined.any()):
        return None
    direction = chain.direction()
    falls = direction < 0
    turn = np.where(falls, -1, 1)

    def holds(m: Vector) -> Vector:
        found = chain.signs(turn * m)
        true: Vector = (found > 0 if rule.strict else found >= 0) & ~undefined
        return true

    # Bisection for the least m = +-n for which it holds: at `above` it does, or there is none.
    below, above = np.full(chain.channels, -terms - 1), np.full(chain.channels, terms + 1)
    while (open_ := above - below > 1).any():
        middle = (below + above) // 2
        true = holds(middle) & open_
        above = np.where(true, middle, above)
        below = np.where(open_ & ~true, middle, below)
    if rule.zero:
        n = np.clip(above - 1, -terms, terms)  # the one n where 0 could be; any where all are alike
        occurs = (above - 1 == n) & ((n - terms) % step == 0) | (direction == 0)
        if (occurs & (chain.signs(turn * n) == 0)).any():
            return None
    if rule.inverted:  # m < at, that is -m >= 1 - at
        return Thresholds(1 - above, ~falls)
    return Thresholds(above, falls)


class RealThresholds(NamedTuple):
    """+1 where x >= at, or where x <= at in `below` channels; float32, NaN for never, and bool."""

    at: Vector
    below: Vector


def find_real(chain: Chain) -> RealThresholds:
    """Where the result is 0 or more, for float32 x: the last number of them that is, from either side."""
    direction, undefined = chain.direction(), chain.undefined()
    falls = direction < 0
    turn = np.where(falls, -1, 1)
    last = int(np.array(np.finfo(np.float32).max).view(np.int32))

    def number(place: Vector) -> Vector:
        """Float32 numbers in their order: place 0 is 0, place 1 the least above it."""
        numbers: Vector = np.sign(place) * np.abs(place).astype(np.int32).view(np.float32).astype(np.float64)
        return numbers

    # As in `find`, over places instead of integers.
    below, above = np.full(chain.channels, -last - 1), np.full(chain.channels, last + 1)
    while (open_ := above - below > 1).any():
        middle = (below + above) // 2
        true = (chain.signs(turn * number(middle)) >= 0) & open_
        above = np.where(true, middle, above)
        below = np.where(open_ & ~true, middle, below)
    at = turn * number(np.minimum(above, last))
    at[above > last] = np.nan
    always = (direction == 0) & (above <= last)
    at = np.where(undefined, np.nan, np.where(always, -np.inf, at))
    return RealThresholds(at.astype(np.float32), falls)
