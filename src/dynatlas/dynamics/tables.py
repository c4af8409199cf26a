"""Table columns for searches and fixed points."""

import json

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.linearization import Linearization
from dynatlas.dynamics.points import FixedPoints

Column = NDArray[np.float64] | NDArray[np.int64] | NDArray[np.bool_]


def search_columns(points: FixedPoints) -> dict[str, str | int | float]:
    """Return the outcome of a search as one row."""
    return {
        "n_roots": int((~points.is_slow).sum()),
        "n_stable": int(((points.n_unstable == 0) & ~points.is_slow).sum()),
        "n_slow": int(points.is_slow.sum()),
        "index_sum": points.index_sum,
        "certificate": points.certificate,
        "certificate_reason": points.reason,
        "cut": points.cut,
        "n_starts": points.n_starts,
        "n_singletons": points.n_singletons,
        "coverage": points.coverage.share,
        "expected_roots": points.coverage.expected,
        "n_on_kink": int((points.on_kink & ~points.is_slow).sum()),
        "rejected": json.dumps(points.rejected, sort_keys=True),
    }


def point_columns(
    points: FixedPoints, around: Linearization, radius: NDArray[np.float64], error: NDArray[np.float64]
) -> dict[str, Column]:
    """Return a row for each point: its search, the linear dynamics around it, and its proof of uniqueness."""
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
