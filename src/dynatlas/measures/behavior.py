"""Distance between the behaviour of two networks: between their errors under variations of a task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from dynatlas._util.arrays import ArrayLike
from dynatlas.measures.pairs import Comparison, Reduced

LEAST, MOST = 1e-6, 1e3  # errors beyond these, as shares of the targets' variance, differ no more
_LIMITS: Final = np.log10([LEAST, MOST])


def error_profile(errors: ArrayLike) -> Float[np.ndarray, " variations"]:
    """Return log₁₀ of errors [variations], kept between 1e-6 and 1e3, as which an infinite error counts.

    Args:
        errors: mean squared errors as shares of the variance of the targets, one for each variation.

    Raises:
        ValueError: an error is negative or not a number.

    Example:
        >>> error_profile([0.01, 1.0, np.inf]).tolist()
        [-2.0, 0.0, 3.0]
    """
    values = np.asarray(errors, np.float64)
    if not (values >= 0).all():
        raise ValueError(f"an error is {values[~(values >= 0)][0]:g}; expected at least 0, or infinity")
    return np.clip(np.log10(np.clip(values, LEAST, MOST)), *_LIMITS)


def profile_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Return the distance between two error profiles: √(mean over variations of (log₁₀ e − log₁₀ e′)²). A metric.

    At 1 the errors differ by a factor of ten.

    Args:
        first: errors as ``error_profile`` takes them.
        second: errors of another network under the same variations.

    Raises:
        ValueError: different numbers of variations, none, or a negative error.

    Example:
        >>> profile_distance([0.01, 0.1], [0.1, 1.0])
        1.0
    """
    one, other = error_profile(first), error_profile(second)
    if one.shape != other.shape or not one.size:
        raise ValueError(
            f"the errors have the shapes {one.shape} and {other.shape}; expected one error of each network for each "
            "variation, at least one"
        )
    return float(np.sqrt(np.mean((one - other) ** 2)))


@dataclass(frozen=True)
class ErrorProfile(Comparison):
    """``profile_distance`` between networks reduced to {"profile": [variations]} by ``error_profile``."""

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two networks."""
        return float(self.tile([first], [second])[0, 0])

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Compare all pairs at once."""
        rows, columns = (np.stack([one["profile"] for one in group]) for group in (firsts, seconds))
        return np.asarray(np.sqrt(np.mean((rows[:, None] - columns) ** 2, axis=-1)))
