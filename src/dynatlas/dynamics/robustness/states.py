"""Sets of states whose basins are asked for."""

import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike, generator
from dynatlas.dynamics.points import FixedPoints


def uniform_states(box: tuple[ArrayLike, ArrayLike], n: int, count: int, *, key: PRNGKeyArray) -> NDArray[np.float64]:
    """Draw states uniformly in a box.

    Args:
        box: (low, high), scalars or [n], finite.
        n: dimensions.
        count: number of states.
        key: random key.

    Returns:
        [count, n].

    Raises:
        ValueError: the box is no pair of bounds, empty or not finite, or ``n`` or ``count`` is no positive whole
            number.

    Example:
        >>> import jax
        >>> uniform_states((-1, 1), 3, 10_000, key=jax.random.key(0)).shape
        (10000, 3)
    """
    _check_count(count)
    if not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n is {n!r}; expected a whole number of dimensions, at least 1")
    if not hasattr(box, "__len__") or len(box) != 2:
        raise ValueError(f"box is {box!r:.60}; expected (low, high), such as (-1, 1)")
    for bound in map(np.asarray, box):
        if bound.shape not in {(), (n,)}:
            raise ValueError(f"box has a bound of shape {bound.shape}; expected scalars or [{n}]")
    low, high = (np.broadcast_to(np.asarray(bound, np.float64), (n,)) for bound in box)
    if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise ValueError(f"box goes from {low.min():g} to {high.max():g}; expected finite bounds with low < high")
    return generator(key).uniform(low, high, (count, n))


def states_around(
    points: FixedPoints | ArrayLike, radius: ArrayLike, count: int, *, key: PRNGKeyArray
) -> NDArray[np.float64]:
    """Draw Gaussian states around each point: h = h* + r g/√n with g standard normal.

    The root mean square distance from the point is the radius r, in any number of dimensions.

    Args:
        points: of which the stable roots are taken, in their order; or states [p, n], which are all taken.
        radius: r, a scalar or one for each point [p].
        count: number of states around each point.
        key: random key.

    Returns:
        [p, count, n], as ``basins`` takes sets of states.

    Raises:
        ValueError: a radius is not positive, or ``count`` is less than 1.

    Example:
        >>> import jax
        >>> states = states_around([[0.0, 1.0]], 0.5, 10_000, key=jax.random.key(0))
        >>> states.shape, round(float(np.sqrt(((states - [0, 1]) ** 2).sum(axis=-1).mean())), 1)
        ((1, 10000, 2), 0.5)
    """
    _check_count(count)
    centres = points.states[stable_roots(points)] if isinstance(points, FixedPoints) else np.asarray(points, np.float64)
    if centres.ndim != 2:
        raise ValueError(f"points has shape {centres.shape}; expected [p, n]")
    radii = np.broadcast_to(np.asarray(radius, np.float64), (len(centres),))
    if not (radii > 0).all():
        raise ValueError(f"radius is {radii.min():g}; expected positive numbers")
    n = centres.shape[1]
    noise = generator(key).normal(size=(len(centres), count, n)) / np.sqrt(n)
    return np.asarray(centres[:, None] + radii[:, None, None] * noise)


def stable_roots(points: FixedPoints) -> NDArray[np.int64]:
    """Return the indices of the roots without unstable directions."""
    return np.flatnonzero((points.n_unstable == 0) & ~points.is_slow)


def _check_count(count: int) -> None:
    if not isinstance(count, int | np.integer) or count < 1:
        raise ValueError(f"count is {count!r}; expected a whole number, at least 1")
