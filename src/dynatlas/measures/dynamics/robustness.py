"""Distance between the robustness of two networks: between the typical sizes of pushes that leave their attractors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dynatlas._util.arrays import ArrayLike
from dynatlas.measures.pairs import Comparison, Reduced


def typical_size(relative_sizes: ArrayLike) -> float:
    """Return the mean over attractors of log₁₀ of the smallest perturbations' relative sizes; NaN without any.

    A relative size is the length of a push as a share of the distance to the nearest other attractor. It does not
    depend on the scale of the states, which differs between architectures and activations. Sizes that are not finite
    and positive do not count.

    Example:
        >>> round(typical_size([0.1, 0.4]), 3)
        -0.699
    """
    sizes = np.asarray(relative_sizes, np.float64)
    kept = sizes[np.isfinite(sizes) & (sizes > 0)]
    return float(np.log10(kept).mean()) if len(kept) else float("nan")


@dataclass(frozen=True)
class RobustnessRatio(Comparison):
    """|x − y| for networks reduced to {"size": []} by ``typical_size``: at 1 the sizes differ by a factor of ten.

    With such a distance PERMANOVA is the analysis of variance of x: R² is its η².
    """

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two networks."""
        return abs(float(first["size"]) - float(second["size"]))

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Compare all pairs at once."""
        rows, columns = (np.array([float(one["size"]) for one in group]) for group in (firsts, seconds))
        return np.asarray(np.abs(rows[:, None] - columns))
