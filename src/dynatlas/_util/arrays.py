"""What keeps compilations few: many rows through a function of a fixed number of them, random numbers without JAX."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray


def in_chunks(
    compiled: Callable[[jax.Array], Sequence[jax.Array]], rows: NDArray[np.float64], size: int
) -> tuple[NDArray[Any], ...]:
    """Each of the function's results for all rows, computed ``size`` rows at a time.

    The last chunk is filled up with copies of the last row. Without rows the function is called once, on zeros, for the
    shapes of its empty results.

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


def generator(key: PRNGKeyArray) -> np.random.Generator:
    """NumPy's random numbers for a JAX key: nothing to compile, whatever the shape."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
