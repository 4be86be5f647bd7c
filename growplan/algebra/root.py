"""Exact coefficients: `Root(q)` is sign(q) * sqrt(|q|) with q rational."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt, sqrt


@dataclass(frozen=True, slots=True)
class Root:
    """The exact real sign(q) * sqrt(|q|); closed under product and quotient, not under sum."""

    q: Fraction = Fraction(1)

    @staticmethod
    def rational(value: Fraction | int) -> Root:
        value = Fraction(value)
        return Root(value * abs(value))

    @property
    def square(self) -> Fraction:
        return abs(self.q)

    @property
    def is_one(self) -> bool:
        return self.q == 1

    @property
    def is_zero(self) -> bool:
        return self.q == 0

    def __mul__(self, other: Root) -> Root:
        return Root(self.q * other.q)

    def __truediv__(self, other: Root) -> Root:
        return Root(self.q / other.q)

    def __neg__(self) -> Root:
        return Root(-self.q)

    def plus(self, other: Root) -> Root | None:
        """The exact sum, or None when it is no single root (sqrt(2) + 1)."""
        if self.is_zero or other.is_zero:
            return other if self.is_zero else self
        ratio = (other / self).as_rational()
        return None if ratio is None else self * Root.rational(1 + ratio)

    def as_rational(self) -> Fraction | None:
        """The value as a fraction, or None when it is irrational."""
        num, den = abs(self.q.numerator), self.q.denominator
        a, b = isqrt(num), isqrt(den)
        if a * a != num or b * b != den:
            return None
        return Fraction(a if self.q >= 0 else -a, b)

    def __float__(self) -> float:
        exact = self.as_rational()
        if exact is not None:
            return float(exact)
        return (1.0 if self.q > 0 else -1.0) * sqrt(abs(self.q))

    def __str__(self) -> str:
        exact = self.as_rational()
        if exact is not None:
            return str(exact)
        return f"{'-' if self.q < 0 else ''}sqrt({abs(self.q)})"


ONE = Root()
