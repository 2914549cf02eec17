"""Which densities do the theory lines assume: Gaussian, Laplace and uniform, mean 0 and variance 1, in closed form.

With variance 1 a mean squared error is also noise over signal. Every function takes any real array.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from qanalysis.arrays import Doubles

RealFunction = Callable[[Doubles | float], Doubles]

_SQRT2 = math.sqrt(2.0)
_SQRT3 = math.sqrt(3.0)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A symmetric density of mean 0 and variance 1; `str()` gives the word that `parse` reads back.

    `tail_mass(t)` = P(X > t) and `tail_mean(t)` = E[X; X > t] are the two partial moments from which every grid's error
    follows.
    """

    name: str
    pdf: RealFunction
    tail_mass: RealFunction
    tail_mean: RealFunction
    quantile: RealFunction
    #: pdf^(1/3), normalised, is the pdf this many times as wide: the level density of the best companding (Panter and
    #: Dite 1951).
    companding_stretch: float
    #: 2^2b D of the best companding grid as b grows: (1/12) (integral of pdf^(1/3))^3.
    panter_dite_factor: float
    #: Differential entropy.
    entropy_nats: float
    #: Largest |x| that occurs.
    support: float = math.inf

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, text: Distribution | str) -> Distribution:
        """The catalogue's value for a word such as "gaussian"; a Distribution passes through. ValueError for another
        word.

        >>> str(Distribution.parse("laplace"))
        'laplace'
        """
        if isinstance(text, Distribution):
            return text
        if text not in DISTRIBUTIONS:
            message = f"distribution {text!r} is unknown: use one of {', '.join(DISTRIBUTIONS)}"
            raise ValueError(message)
        return DISTRIBUTIONS[text]

    @property
    def mean_abs(self) -> float:
        """E|X|."""
        return 2.0 * float(self.tail_mean(0.0))

    @property
    def shannon_factor(self) -> float:
        """2^2R times the Shannon lower bound on D at R bits: exp(2 h) / (2 pi e), 1 for the Gaussian."""
        return math.exp(2.0 * self.entropy_nats - 1.0) / (2.0 * math.pi)


def _gaussian_pdf(x: Doubles | float) -> Doubles:
    return np.asarray(np.exp(-0.5 * np.square(x)) / math.sqrt(2.0 * math.pi))


def _gaussian_tail_mass(t: Doubles | float) -> Doubles:
    return np.asarray(ndtr(np.negative(t)))


def _gaussian_quantile(p: Doubles | float) -> Doubles:
    return np.asarray(ndtri(p))


def _laplace_pdf(x: Doubles | float) -> Doubles:
    return np.asarray(np.exp(-_SQRT2 * np.abs(x)) / _SQRT2)


def _laplace_tail_mass(t: Doubles | float) -> Doubles:
    beyond = 0.5 * np.exp(-_SQRT2 * np.abs(t))
    return np.where(np.greater_equal(t, 0.0), beyond, 1.0 - beyond)


def _laplace_tail_mean(t: Doubles | float) -> Doubles:
    return np.asarray(0.5 * np.exp(-_SQRT2 * np.abs(t)) * (np.abs(t) + 1.0 / _SQRT2))


def _laplace_quantile(p: Doubles | float) -> Doubles:
    below = np.log(2.0 * np.minimum(p, np.subtract(1.0, p))) / _SQRT2
    return np.where(np.less(p, 0.5), below, -below)


def _uniform_pdf(x: Doubles | float) -> Doubles:
    return np.where(np.abs(x) <= _SQRT3, 0.5 / _SQRT3, 0.0)


def _uniform_tail_mass(t: Doubles | float) -> Doubles:
    return np.asarray(0.5 - np.clip(t, -_SQRT3, _SQRT3) * (0.5 / _SQRT3))


def _uniform_tail_mean(t: Doubles | float) -> Doubles:
    inside = np.clip(t, -_SQRT3, _SQRT3)
    return np.asarray((_SQRT3 - inside) * (_SQRT3 + inside) * (0.25 / _SQRT3))


def _uniform_quantile(p: Doubles | float) -> Doubles:
    return np.asarray(_SQRT3 * (np.multiply(2.0, p) - 1.0))


# The Gaussian's tail mean is its density.
GAUSSIAN = Distribution(
    name="gaussian",
    pdf=_gaussian_pdf,
    tail_mass=_gaussian_tail_mass,
    tail_mean=_gaussian_pdf,
    quantile=_gaussian_quantile,
    companding_stretch=_SQRT3,
    panter_dite_factor=_SQRT3 * math.pi / 2.0,
    entropy_nats=0.5 * math.log(2.0 * math.pi * math.e),
)
LAPLACE = Distribution(
    name="laplace",
    pdf=_laplace_pdf,
    tail_mass=_laplace_tail_mass,
    tail_mean=_laplace_tail_mean,
    quantile=_laplace_quantile,
    companding_stretch=3.0,
    panter_dite_factor=4.5,
    entropy_nats=1.0 + 0.5 * math.log(2.0),
)
UNIFORM = Distribution(
    name="uniform",
    pdf=_uniform_pdf,
    tail_mass=_uniform_tail_mass,
    tail_mean=_uniform_tail_mean,
    quantile=_uniform_quantile,
    companding_stretch=1.0,
    panter_dite_factor=1.0,
    entropy_nats=0.5 * math.log(12.0),
    support=_SQRT3,
)
DISTRIBUTIONS = {each.name: each for each in (GAUSSIAN, LAPLACE, UNIFORM)}
