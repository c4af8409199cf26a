"""Comparison of all pairs of reduced networks, tile by tile, in large products.

A tile is the comparison of two groups of at most ``GROUP`` networks. The groups depend only on the order
of the networks, so no number depends on the number of jobs or of groups per job.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas._util.cores import available_cores, single_threaded_algebra

# Networks in a group. Larger products gain little, and their rounding depends on their shape: this is a constant.
GROUP = 32
Array = NDArray[np.float64]
Reduced = dict[str, NDArray[Any]]  # one reduced network
Thing = TypeVar("Thing")


class Comparison(ABC):
    """A distance between reduced networks. Subclasses are frozen dataclasses whose fields are the options.

    A subclass defines ``between``, and ``tile`` if it can compare many networks in a few large products.
    """

    @abstractmethod
    def between(self, first: Reduced, second: Reduced) -> float:
        """Return the distance between two reduced networks."""

    @property
    def has_lower_bound(self) -> bool:
        """Whether the distance is the least that a search found, and ``lower_bound`` limits what it may have missed."""
        return False

    def lower_bound(self, first: Reduced, second: Reduced) -> float:
        """Return a number that the distance cannot lie below: the distance itself, unless it is sought."""
        return self.between(first, second)

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Return the distances between each of ``firsts`` and each of ``seconds``."""
        return np.array([[self.between(first, second) for second in seconds] for first in firsts])


def in_groups(networks: Sequence[Thing], size: int = GROUP) -> list[Sequence[Thing]]:
    """Split networks into groups of ``size``, in their order; the last one may be smaller."""
    return [networks[start : start + size] for start in range(0, len(networks), size)]


def all_pairs(
    networks: Sequence[Reduced], comparison: Comparison, threads: int | None = None
) -> Float[np.ndarray, "n n"]:
    """Return the distances between all networks: exactly symmetric, exactly 0 on the diagonal, never negative.

    Args:
        networks: the reduced networks.
        comparison: the distance.
        threads: tiles computed at once; by default one per core.
    """
    return compare(in_groups(networks), None, comparison, threads)


def compare(
    rows: Sequence[Sequence[Reduced]],
    columns: Sequence[Sequence[Reduced]] | None,
    comparison: Comparison,
    threads: int | None = None,
) -> Float[np.ndarray, "rows columns"]:
    """Return the distances between the networks of two lists of groups; for None, within the first list."""
    others = rows if columns is None else columns
    row_ends, column_ends = (np.cumsum([0, *map(len, groups)]) for groups in (rows, others))
    places = [(i, j) for i in range(len(rows)) for j in range(len(others)) if columns is not None or j <= i]

    def tile(place: tuple[int, int]) -> Array:
        firsts, seconds = rows[place[0]], others[place[1]]
        if not firsts or not seconds:
            return np.zeros((len(firsts), len(seconds)))
        # Rounding can leave −1e-16 between identical networks.
        clipped: Array = np.maximum(comparison.tile(firsts, seconds), 0)
        return clipped

    distances = np.zeros((row_ends[-1], column_ends[-1]))
    # The products are small: one thread each, several at once.
    with single_threaded_algebra(), ThreadPoolExecutor(threads or available_cores()) as pool:
        for (i, j), computed in zip(places, pool.map(tile, places), strict=True):
            distances[row_ends[i] : row_ends[i + 1], column_ends[j] : column_ends[j + 1]] = computed
    if columns is not None:
        return distances
    lower = np.tril(distances, -1)
    return np.asarray(lower + lower.T)


def labelled(
    distances: Float[np.ndarray, "n n"], names: Sequence[str], measure: str, **settings: object
) -> xr.DataArray:
    """Label distances with the networks' names, and with the measure and its options in ``attrs``."""
    labels = np.array(names, dtype=np.str_)
    return xr.DataArray(
        distances,
        dims=("network", "other_network"),
        coords={"network": labels, "other_network": labels},
        name=measure,
        attrs={"measure": measure, **settings},
    )


def blocks_of_products(
    firsts: Sequence[Array], seconds: Sequence[Array]
) -> Iterator[tuple[tuple[NDArray[np.intp], ...], Float[np.ndarray, "pairs rows columns"]]]:
    """Yield XᵀY for every X [samples, ·] of the first and Y [samples, ·] of the second, from one large product.

    Pairs with equal widths are yielded together, as (indices of the pairs, their products in that order).
    """
    first_widths, second_widths = ([array.shape[1] for array in arrays] for arrays in (firsts, seconds))
    product = np.concatenate(firsts, axis=1).T @ np.concatenate(seconds, axis=1)
    first_ends, second_ends = np.cumsum([0, *first_widths]), np.cumsum([0, *second_widths])
    for height in sorted(set(first_widths)):
        rows = np.flatnonzero(np.equal(first_widths, height))
        taken = product[(first_ends[rows, None] + np.arange(height)).ravel()]
        for width in sorted(set(second_widths)):
            columns = np.flatnonzero(np.equal(second_widths, width))
            block = taken[:, (second_ends[columns, None] + np.arange(width)).ravel()]
            block = block.reshape(len(rows), height, len(columns), width).swapaxes(1, 2)
            yield np.ix_(rows, columns), block
