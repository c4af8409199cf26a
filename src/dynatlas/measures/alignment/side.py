"""One of two networks that are aligned: its activity, centred and scaled, and its principal components."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas.measures.activity import principal_axes

Array = NDArray[np.float64]


class Side(NamedTuple):
    """Activity (X − mean) · scale of one network.

    Attributes:
        mean: of each unit [units].
        scale: a power of two, so that squares neither overflow nor vanish.
        scaled: [samples, units].
        variances: of the components above rounding, largest first [k].
        axes: of these components [units, k].
    """

    mean: Array
    scale: float
    scaled: Array
    variances: Array
    axes: Array

    @classmethod
    def of(cls, activity: Float[np.ndarray, "samples units"]) -> "Side":
        """Centre and scale activity that is not constant."""
        exponent = np.frexp(np.abs(activity).max())[1]
        mean = np.ldexp(np.ldexp(activity, -exponent).mean(axis=0), exponent)
        scale = float(np.ldexp(1.0, min(-np.frexp(np.abs(activity - mean).max())[1], 1000)))
        scaled = (activity - mean) * scale
        return cls(mean, scale, scaled, *principal_axes(scaled))

    def to_basis(self, kept: int | None = None) -> Array:
        """Return the map of ``scaled`` to an orthonormal basis of its leading components [units, kept]."""
        axes = self.axes[:, :kept]
        return np.asarray(axes @ np.linalg.inv(np.linalg.qr(self.scaled @ axes)[1]))

    def silent_directions(self) -> Array:
        """Return an orthonormal basis of the directions without activity [units, units − k]."""
        return np.asarray(np.linalg.qr(self.axes, mode="complete")[0][:, self.axes.shape[1] :])
