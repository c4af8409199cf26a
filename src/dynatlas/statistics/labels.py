"""Levels of factors, as integers: checked labels of networks, and combinations of several factors."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike

Codes = NDArray[np.int64]  # [n], levels from 0


def checked_codes(labels: ArrayLike, n: int, name: str, networks: tuple[str, ...] = ()) -> Int[np.ndarray, " n"]:
    """Check labels and encode them as integers from 0; the index of a Series may name the networks.

    Raises:
        ValueError: another number of labels than networks, a missing label, an unhashable label, or an index that
            names other networks.

    Example:
        >>> checked_codes(["b", "a", "b"], 3, "groups").tolist()
        [0, 1, 0]
    """
    # As objects: NumPy would convert a NaN among strings to the label "nan", and the number 1 to the label "1".
    array = np.asarray(_by_name(labels, name, networks), dtype=object)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape} for {n} networks; expected one label for each network")
    masked = labels.mask if isinstance(labels, np.ma.MaskedArray) else np.False_
    # None, NaN, pandas.NA, NaT, and what NumPy masks.
    missing = np.flatnonzero(pd.isna(array) | masked)
    if len(missing):
        raise ValueError(
            f"{name} has no label for {len(missing)} of {n} networks (first: number {missing[0]}); leave those out"
        )
    try:
        return codes(array)
    except TypeError as error:
        raise ValueError(f"{name} has a label that cannot be compared ({error}); expected text or numbers") from None


def codes(labels: Iterable[Any]) -> Int[np.ndarray, " n"]:
    """Encode labels by their first occurrence. Labels are the same level if Python calls them equal.

    Example:
        >>> codes([1, "1", 1.0]).tolist()
        [0, 1, 0]
    """
    levels: dict[Hashable, int] = {}
    return np.array([levels.setdefault(label, len(levels)) for label in labels], np.int64)


def combined(factors: Sequence[Codes], n: int) -> Int[np.ndarray, " n"]:
    """Encode each network's combination of several factors; one combination for all without factors.

    Example:
        >>> combined([np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])], 4).tolist()
        [0, 1, 2, 3]
    """
    return codes(zip(*(levels.tolist() for levels in factors), strict=True)) if factors else np.zeros(n, np.int64)


def _by_name(labels: Any, name: str, networks: tuple[str, ...]) -> Any:
    """Return the labels in the order of the networks, if an index names these."""
    index = [str(each) for each in getattr(labels, "index", ())] if hasattr(labels, "reindex") else []
    if not set(index) & set(networks) or index == list(networks) or type(labels.index).__name__ == "RangeIndex":
        return labels
    if set(index) != set(networks) or len(index) != len(networks):
        lost = sorted(set(networks) - set(index)) or sorted(set(index) - set(networks)) or ["names that repeat"]
        raise ValueError(
            f"the index of {name} does not have the {len(networks)} networks of the distances: {lost[0]} differs; "
            "expected one label for each, by its name or in their order without an index"
        )
    places = {each: place for place, each in enumerate(index)}
    return np.asarray(labels, dtype=object)[[places[network] for network in networks]]
