"""What is told of a search and of the points that it found, as columns of tables."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.fixed_points import FixedPoints
from dynatlas.dynamics.linearization import Linearization


def search_facts(points: FixedPoints) -> dict[str, Any]:
    """How a search went, as one row."""
    return {
        "n_roots": int((~points.is_slow).sum()),
        "n_stable": int(((points.n_unstable == 0) & ~points.is_slow).sum()),
        "n_slow": int(points.is_slow.sum()),
        "index_sum": points.index_sum,
        "certificate": points.certificate,
        "n_starts": points.n_starts,
        "n_singletons": points.n_singletons,
        "coverage": points.coverage.share,
        "expected_roots": points.coverage.expected,
        "n_on_kink": int((points.on_kink & ~points.is_slow).sum()),
        "rejected": json.dumps(points.rejected, sort_keys=True),
    }


def point_facts(
    points: FixedPoints, around: Linearization, radius: NDArray[np.float64], error: NDArray[np.float64]
) -> dict[str, Any]:
    """The points, the linear dynamics around each, and within what radius each is proven alone."""
    return {
        "q": points.q,
        "is_slow": points.is_slow,
        "n_unstable": points.n_unstable,
        "index": points.index,
        "hits": points.hits,
        "spectral_radius": np.abs(around.eigenvalues[:, 0]),
        "time_constant": around.time_constants[:, 0],
        "newton_step": points.newton_step,
        "on_kink": points.on_kink,
        "unique_radius": radius,
        "root_error": error,
        "non_normality": around.non_normality,
        "eigenbasis_condition": around.condition,
    }
