"""Which columns of a step's Jacobian share no row, and damped least squares that eliminates them first.

The memory of an LSTM reaches the next state of its own unit alone: of the 2N columns of J − I, N have two entries each,
in rows where no other of the N has one. Such *separate* columns are computed by one tangent, all together; and being
orthogonal they leave a least-squares problem by one reflection each, so that no more than the *coupled* columns are
left to factorise. The step is the same but for rounding, at less than half of the cost.

Which columns are separate is read off the operations of the step function, not off their numbers: it holds whatever the
weights are.

Sources: Curtis, Powell & Reid 1974 for columns that share a tangent; Golub & Pereyra 1973 for the elimination.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.reach import reach

Step = Callable[[Any, Any], Any]

# Fewer separate columns than this share of all save too little.
LEAST_SHARE = 0.25


class Structure(NamedTuple):
    """Which columns of J − I are separate, and the rows they have.

    Attributes:
        coupled: the columns that are not [d].
        separate: those that are [k].
        slots: the rows of each separate column [w, k], filled up with n, which stands for no row.
        others: the rows of none of them [u].
    """

    coupled: NDArray[np.int64]
    separate: NDArray[np.int64]
    slots: NDArray[np.int64]
    others: NDArray[np.int64]


def column_structure(step: Step, state: Float[Array, " n"], inputs: Any) -> Structure:
    """The structure of J − I at any state of this shape, taking the columns with the fewest entries first.

    Example:
        A unit that integrates another: its own column has one entry.

        >>> step = lambda h, x: jnp.stack([jnp.tanh(h[0]), h[1] + h[0]])
        >>> structure = column_structure(step, jnp.zeros(2), None)
        >>> structure.coupled.tolist(), structure.separate.tolist()
        ([0], [1])
    """
    n = state.shape[0]
    uses = reach(step, state, inputs) | np.eye(n, dtype=bool)
    taken = np.zeros(n, bool)
    separate = []
    # One column at least is left to factorise.
    for column in np.argsort(uses.sum(axis=0), kind="stable")[: n - 1]:
        if not (uses[:, column] & taken).any():
            taken |= uses[:, column]
            separate.append(column)
    if len(separate) < LEAST_SHARE * n:
        return Structure(np.arange(n), np.zeros(0, int), np.zeros((0, 0), int), np.arange(n))
    columns = np.sort(separate)
    slots = np.full((uses[:, columns].sum(axis=0).max(), len(columns)), n)
    for place, column in enumerate(columns):
        rows = np.flatnonzero(uses[:, column])
        slots[: len(rows), place] = rows
    return Structure(np.setdiff1d(np.arange(n), columns), columns, slots, np.flatnonzero(~taken))


class Jacobian(NamedTuple):
    """J − I without its zeros, and what is computed with it."""

    coupled: Float[Array, "n d"]
    separate: Float[Array, " n"]  # the sum of the separate ones
    structure: Structure

    def row_lengths(self) -> Float[Array, " n"]:
        """The Euclidean length of each row."""
        return jnp.sqrt((self.coupled**2).sum(axis=1) + self.separate**2)

    def scale_rows(self, scale: Float[Array, " n"]) -> "Jacobian":
        """Each row times its number."""
        return self._replace(coupled=self.coupled * scale[:, None], separate=self.separate * scale)

    def gradient(self, residual: Float[Array, " n"]) -> Float[Array, " n"]:
        """(J − I)ᵀ r."""
        of_separate = _in_slots(self.separate * residual, self.structure).sum(axis=0)
        return _joined(self.coupled.T @ residual, of_separate, self.structure)

    def damped_inverse(self, damping: Float[Array, ""]) -> Callable[[Float[Array, " n"]], Float[Array, " n"]]:
        """The map g ↦ ((J − I)ᵀ(J − I) + μI)⁻¹ g.

        A separate column v, with √μ below it, is reflected into a row of its own, where ρ = √(v·v + μ) is all that it
        has. That puts A·v/ρ of the coupled columns A into the row, and takes v (A·v)/(ρ(ρ + √μ)) from the others.
        """
        coupled, separate, structure = self
        if not len(structure.separate):
            return _solver(coupled, damping)
        entries, of_coupled = _in_slots(separate, structure), _in_slots(coupled, structure)
        products = (entries[..., None] * of_coupled).sum(axis=0)  # v·A [k, d]
        squares = (entries**2).sum(axis=0) + damping
        lengths = jnp.sqrt(squares)
        taken = products / (lengths * (lengths + jnp.sqrt(damping)))[:, None]
        left = (of_coupled - entries[..., None] * taken).reshape(-1, coupled.shape[1])
        solve = _solver(jnp.concatenate([left, coupled[structure.others]]), damping)

        def inverse(gradient: Float[Array, " n"]) -> Float[Array, " n"]:
            for_separate = gradient[structure.separate] / squares
            for_coupled = solve(gradient[structure.coupled] - for_separate @ products)
            return _joined(for_coupled, for_separate - products @ for_coupled / squares, structure)

        return inverse


def residual_and_columns(
    step: Step, state: Float[Array, " n"], inputs: Any, structure: Structure
) -> tuple[Float[Array, " n"], Jacobian]:
    """Residual r = F(h, x) − h, and the columns of J − I."""
    following, tangent = jax.linearize(lambda h: step(h, inputs), state)
    identity = np.eye(len(state))
    directions = identity[structure.coupled]
    if len(structure.separate):
        directions = np.concatenate([directions, identity[structure.separate].sum(axis=0, keepdims=True)])
    columns = jax.vmap(tangent, out_axes=1)(jnp.asarray(directions, state.dtype)) - directions.T
    n_coupled = len(structure.coupled)
    separate = columns[:, n_coupled] if len(structure.separate) else jnp.zeros_like(state)
    return following - state, Jacobian(columns[:, :n_coupled], separate, structure)


def _solver(matrix: Float[Array, "rows d"], damping: Float[Array, ""]) -> Callable[[Array], Array]:
    """The map g ↦ (AᵀA + μI)⁻¹ g."""
    identity = jnp.eye(matrix.shape[1], dtype=matrix.dtype)
    factor = jax.scipy.linalg.cho_factor(matrix.T @ matrix + damping * identity)
    return lambda gradient: jax.scipy.linalg.cho_solve(factor, gradient)


def _in_slots(values: Float[Array, "n *columns"], structure: Structure) -> Float[Array, "w k *columns"]:
    """The rows of each separate column; zeros where it has fewer than others."""
    slots, n = structure.slots, len(values)
    if np.array_equal(slots.ravel(), np.arange(n)):  # a gather would take as long as the product that follows
        return values.reshape(*slots.shape, *values.shape[1:])
    return jnp.concatenate([values, jnp.zeros_like(values[:1])])[slots]


def _joined(
    of_coupled: Float[Array, " d"], of_separate: Float[Array, " k"], structure: Structure
) -> Float[Array, " n"]:
    """One number per column, in the order of the state."""
    order = np.argsort(np.concatenate([structure.coupled, structure.separate]))
    return jnp.concatenate([of_coupled, of_separate])[order]
