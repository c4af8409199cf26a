"""Array arguments, functions compiled for a fixed number of rows, and NumPy generators seeded by JAX keys."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray


@runtime_checkable
class SupportsArray(Protocol):
    """An array of NumPy, JAX, pandas or xarray."""

    def __array__(self) -> NDArray[Any]:
        """Convert to a NumPy array."""


# What ``numpy.asarray`` converts. NumPy's own ``ArrayLike`` refuses tuples and floats when it is checked at run time.
ArrayLike = SupportsArray | Sequence[object] | float | int


def in_chunks(
    compiled: Callable[[jax.Array], Sequence[jax.Array]], rows: NDArray[np.float64], size: int
) -> tuple[NDArray[Any], ...]:
    """Apply a function to all rows, ``size`` rows per call, so that it is compiled once.

    The last chunk is padded with copies of the last row. Without rows the function is called once, on zeros, for the
    shapes of its empty results.

    Returns:
        Each result of ``compiled``, concatenated over the chunks.

    Example:
        >>> doubled, sums = in_chunks(lambda rows: (2 * rows, rows.sum(axis=1)), np.ones((3, 2)), 2)
        >>> doubled.shape, sums.tolist()
        ((3, 2), [2.0, 2.0, 2.0])
    """
    count = len(rows)
    filled = np.repeat(rows[-1:], -count % size, axis=0) if count else np.zeros((size, *rows.shape[1:]))
    padded = np.concatenate([rows, filled])
    results = [compiled(jnp.asarray(padded[first : first + size])) for first in range(0, len(padded), size)]
    return tuple(np.concatenate([np.asarray(part) for part in parts])[:count] for parts in zip(*results, strict=True))


def weighted_median(rows: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, in each column of ``rows`` [p, …], the least value that at least half of the weight does not exceed.

    NaN without rows or weight. Weights are not negative.

    Example:
        >>> weighted_median(np.array([[1.0], [2.0], [900.0]]), np.array([0.3, 0.3, 0.4])).tolist()
        [2.0]
    """
    if not weights.sum() > 0:
        return np.full(rows.shape[1:], np.nan)
    order = np.argsort(rows, axis=0, kind="stable")
    below = np.cumsum(weights[order], axis=0)
    # A sum of shares that are half of the weight may round to less.
    place = (below >= (0.5 - 1e-9) * weights.sum()).argmax(axis=0)
    return np.asarray(np.take_along_axis(np.take_along_axis(rows, order, axis=0), place[None], axis=0)[0])


def generator(key: PRNGKeyArray) -> np.random.Generator:
    """Return NumPy's generator seeded by a JAX key: it compiles nothing, whatever shapes are drawn.

    Raises:
        ValueError: something other than a JAX key, such as a number.
    """
    _check_key(key)
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())


def key_or_default(key: PRNGKeyArray | None) -> PRNGKeyArray:
    """Return the key, or that of the seed 0 for None: a search without a key returns the same each time.

    Raises:
        ValueError: something other than a JAX key, such as a number.

    Example:
        >>> bool(key_or_default(None) == jax.random.key(0))
        True
    """
    if key is None:
        return jax.random.key(0)
    _check_key(key)
    return key


def _check_key(key: object) -> None:
    if not isinstance(key, jax.Array | np.ndarray):
        raise ValueError(f"key is {key!r:.60}; expected a JAX key, such as jax.random.key(0)")
