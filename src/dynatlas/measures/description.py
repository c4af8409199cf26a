"""Numbers that describe one network's activity: its dimensions, and what its units are selective for."""

from typing import Final

import numpy as np
from jaxtyping import Float

from dynatlas._util.arrays import ArrayLike
from dynatlas._util.selection import even_selection
from dynatlas.measures.activity import centred, on_unit_scale, orthonormal, principal_axes

MOST_SAMPLES: Final = 1_000  # of which neighbours are sought: their number squared decides the time
DISCARDED: Final = 0.1  # share of the largest ratios that the fit leaves out


def participation_ratio(activity: ArrayLike) -> float:
    """Return the participation ratio (Σ v)² / Σ v² of the variances v along principal axes.

    It is n where n axes have equal variance and the others none.

    Args:
        activity: [samples, units].

    Raises:
        ValueError: activity that is not [samples, units], not finite, or constant.

    Example:
        >>> corners = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
        >>> round(participation_ratio(corners), 12)
        2.0

    Source: Gao et al. 2017.
    """
    samples = on_unit_scale(centred(activity, "activity"))
    covariance = samples.T @ samples
    return float(np.trace(covariance) ** 2 / np.sum(covariance**2))


def intrinsic_dimension(activity: ArrayLike) -> float:
    """Return the dimension of the manifold that samples lie on, from the two nearest neighbours of each (TwoNN).

    With μ the ratio of a sample's distances to its second and its first neighbour, and F the share of samples with at
    most this ratio, −ln(1 − F) = d ln μ for samples of a d-dimensional manifold of locally even density. d is fitted by
    least squares, without the largest 10 % of ratios. At most 1,000 samples, evenly chosen, are used; equal ones count
    once. NaN if fewer than three differ, or none of the ratios exceeds 1.

    Args:
        activity: [samples, units].

    Raises:
        ValueError: activity that is not [samples, units], not finite, or constant.

    Example:
        >>> angles = np.random.default_rng(0).uniform(0, 2 * np.pi, 1000)
        >>> round(intrinsic_dimension(np.stack([np.cos(angles), np.sin(angles)], axis=1)), 1)
        1.0

    Source: Facco et al. 2017.
    """
    from sklearn.neighbors import NearestNeighbors  # takes a second

    samples = on_unit_scale(centred(activity, "activity"))
    samples = np.unique(samples[even_selection(range(len(samples)), MOST_SAMPLES)], axis=0)
    if len(samples) < 3:
        return float("nan")
    distances = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(samples).kneighbors(samples)[0]
    nearest, second = distances[:, 1], distances[:, 2]
    logarithms = np.sort(np.log(second[nearest > 0] / nearest[nearest > 0]))
    kept = logarithms[: int(len(logarithms) * (1 - DISCARDED))]
    if not kept.any():
        return float("nan")
    shares = -np.log1p(-np.arange(1, len(kept) + 1) / len(logarithms))
    return float(kept @ shares / (kept @ kept))


def selectivity(activity: ArrayLike, variables: ArrayLike) -> tuple[float, Float[np.ndarray, " units"]]:
    """Return how much of the activity task variables explain, and how selective each unit is for one of them.

    A unit's selectivity is max_j r_j² / R²: the largest share of its variance that a single variable explains, divided
    by what all explain together, both by linear regression. 1: the unit follows one variable; less: it mixes several.

    Args:
        activity: [samples, units].
        variables: inputs and targets of the same samples [samples, variables]; constant ones explain nothing.

    Returns:
        The share of the summed variance of all units that the variables explain, and the selectivity of each unit; NaN
        for a unit of which they explain less than 1e-6.

    Raises:
        ValueError: activity that is not [samples, units], not finite, or constant; variables that are not [samples,
            variables] with as many samples, or not finite.

    Example:
        >>> first, second = np.array([1.0, 1, -1, -1]), np.array([1.0, -1, 1, -1])
        >>> units = np.stack([first, first + second], axis=1)
        >>> share, of_units = selectivity(units, np.stack([first, second], axis=1))
        >>> round(share, 12), of_units.round(12).tolist()
        (1.0, [1.0, 0.5])

    Source: linear regression as in Rigotti et al. 2013; the index is a choice of dynatlas.
    """
    samples = on_unit_scale(centred(activity, "activity"))
    given = np.asarray(variables, np.float64)
    if given.ndim != 2 or len(given) != len(samples) or not np.isfinite(given).all():
        raise ValueError(
            f"variables have the shape {given.shape} and {(~np.isfinite(given)).sum()} numbers that are not finite; "
            f"expected [samples, variables] with {len(samples)} samples, as the activity has, and finite numbers"
        )
    explaining = given - given.mean(axis=0)
    explaining = explaining[:, np.abs(explaining).max(axis=0) > 1e-12]
    variances = (samples**2).sum(axis=0)
    if not explaining.shape[1]:
        return 0.0, np.full(samples.shape[1], np.nan)
    basis = orthonormal(explaining @ principal_axes(explaining)[1])
    together = ((basis.T @ samples) ** 2).sum(axis=0)
    single = (explaining.T @ samples) ** 2 / (explaining**2).sum(axis=0)[:, None]
    is_explained = together > 1e-6 * np.maximum(variances, 1e-300)
    of_units = np.divide(single.max(axis=0), together, out=np.full(len(together), np.nan), where=is_explained)
    return float(together.sum() / variances.sum()), np.minimum(of_units, 1)


def describe(
    activity: Float[np.ndarray, "samples units"], variables: Float[np.ndarray, "samples variables"]
) -> dict[str, float]:
    """Return the columns of the table ``activity`` for one network; see the functions of this file."""
    share, of_units = selectivity(activity, variables)
    explained = of_units[~np.isnan(of_units)]
    return {
        "participation_ratio": participation_ratio(activity),
        "intrinsic_dimension": intrinsic_dimension(activity),
        "explained_share": share,
        "selectivity": float(explained.mean()) if explained.size else float("nan"),
    }
