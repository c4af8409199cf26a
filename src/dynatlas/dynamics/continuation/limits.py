"""Limits of a continuation: the box, the largest step, the number of points."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas.dynamics.continuation.curve import Curve

Bounds = tuple[ArrayLike, ArrayLike]
SLACK = 1e-9  # by which rounding may leave the box


@dataclass(frozen=True)
class Limits:
    """Where branches end.

    Attributes:
        box: (low, high) of the region that F maps into itself, at each parameter; or None.
        largest_step: of the arc length.
        max_points: of a branch.
    """

    box: Bounds | Callable[[float], Bounds] | None
    largest_step: float
    max_points: int

    def bounds(self, parameter: float, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return the box at a parameter, or None."""
        if self.box is None:
            return None
        low, high = self.box(parameter) if callable(self.box) else self.box
        return (
            np.broadcast_to(np.asarray(low, np.float64), (n,)),
            np.broadcast_to(np.asarray(high, np.float64), (n,)),
        )

    def contains(self, curve: Curve, x: NDArray[np.float64]) -> bool:
        """Whether a point lies in the box; without a box, whether it is finite."""
        bounds = self.bounds(curve.parameter(x[-1]), len(x) - 1)
        if bounds is None:
            return bool(np.isfinite(x).all())
        low, high = bounds
        slack = SLACK * np.minimum(1 + high - low, 1e300)
        return bool(((x[:-1] >= low - slack) & (x[:-1] <= high + slack)).all())
