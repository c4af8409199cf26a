"""Exact reductions of a map: equal units, and low rank.

Three structures are looked for at random states, each of them an identity that holds at all states if it holds there:

*Copies.* States in which the units of each group are equal are mapped to such states, and other states converge to
them, as where each unit of a network was replaced by equal copies. The map of one unit per group has the same roots.

*A subspace.* F(h) − λh lies in c + span(U) for one λ, as in h' = (1 − α)h + α(M Nᵀφ(h) + b). All roots then lie in
c/(1 − λ) + span(U).

*A factor.* F(h) − λh depends only on Vᵀh, as in h' = (1 − α)h + αφ(M Nᵀh + b). Then Vᵀ F(h) is a map of Vᵀh, and each
root κ of this map belongs to the one root h = (F(Vκ) − λVκ)/(1 − λ) of F.

All three reduced maps are y ↦ Bᵀ(F(c + B y) − c) with orthonormal columns B. In the last two cases the other
eigenvalues of the Jacobian are λ, so that stability and index are the same. For copies the convergence is tested on
samples; whatever the structure, roots are polished and characterised on the whole map, and a search on the whole map
from some of the starts must find no other.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas._util.arrays import in_chunks
from dynatlas.dynamics.root_search import flow_ends, jacobians
from dynatlas.dynamics.step import Box, Step, next_state

# Smaller networks are searched as they are.
FEWEST_FOR_COPIES = 48
FEWEST_FOR_LOW_RANK = 96
# A reduction keeps at most this share of the coordinates.
MOST_KEPT = 0.5
SAMPLES = 8
# Identities hold to this, relative to the size of the states: the rounding of weights that were stored in float32.
EXACT = 1e-6
# Copies: the distance from equality that is left after CONVERGED_AFTER steps, relative to that at the start.
CONVERGED = 0.1
CONVERGED_AFTER = 200
FAR = 4.0  # the size of further samples, relative to the first
POINTS = 32  # lifted per call


class Reduction(eqx.Module):
    """The map y ↦ Bᵀ(F(c + B y) − c), which has a root for each root of F.

    Attributes:
        whole: F.
        basis: B, with orthonormal columns [n, r].
        offset: c [n].
        rate: λ.
    """

    whole: Step
    basis: Float[Array, "n r"]
    offset: Float[Array, " n"]
    rate: Float[Array, ""]

    def __call__(self, reduced: Float[Array, " r"], inputs: Float[Array, " m"] | None) -> Float[Array, " r"]:
        """Return the next reduced state."""
        state = self.offset + self.basis @ reduced
        return self.basis.T @ (next_state(self.whole, state, inputs) - self.offset)

    def project(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the reduced states [p, r] of states [p, n]."""
        return np.asarray((states - np.asarray(self.offset)) @ np.asarray(self.basis))

    def lift(self, reduced: NDArray[np.float64], inputs: Float[Array, " m"] | None) -> NDArray[np.float64]:
        """Return the roots of F [p, n] that belong to roots of the reduced map [p, r]."""
        return in_chunks(lambda rows: (_lift(self, rows, inputs),), reduced, POINTS)[0]

    def box(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Box:
        """Return bounds of the reduced states of all states in a box."""
        basis, offset = np.asarray(self.basis), np.asarray(self.offset)
        ends = np.stack([basis * (low - offset)[:, None], basis * (high - offset)[:, None]])
        least, most = ends.min(axis=0).sum(axis=0), ends.max(axis=0).sum(axis=0)
        slack = 1e-6 * (most - least) + 1e-12
        return least - slack, most + slack


@eqx.filter_jit
def _lift(reduction: Reduction, reduced: Float[Array, "p r"], inputs: Float[Array, " m"] | None) -> Float[Array, "p n"]:
    def one(y: Float[Array, " r"]) -> Float[Array, " n"]:
        state = reduction.offset + reduction.basis @ y
        return (next_state(reduction.whole, state, inputs) - reduction.rate * state) / (1 - reduction.rate)

    return jax.vmap(one)(reduced)


def find_reduction(
    step: Step, starts: NDArray[np.float64], inputs: Float[Array, " m"] | None, box: Box | None
) -> Reduction | None:
    """Return the reduction of a map to the fewest coordinates, or None if there is none that saves much."""
    n = starts.shape[1]
    if n < FEWEST_FOR_COPIES:
        return None
    random = np.random.default_rng(0)
    scale = float(np.abs(starts).std()) or 1.0
    rows = starts[random.integers(len(starts), size=SAMPLES)] + 0.3 * scale * random.normal(size=(SAMPLES, n))
    rows = rows if box is None else np.clip(rows, *box)
    found = [_copies(step, rows, inputs, scale)]
    if n >= FEWEST_FOR_LOW_RANK:
        found.append(_low_rank(step, rows, inputs))
    fitting = [one for one in found if one is not None and one.basis.shape[1] <= MOST_KEPT * n]
    return min(fitting, key=lambda one: one.basis.shape[1], default=None)


def _copies(step: Step, rows: NDArray[np.float64], inputs: Float[Array, " m"] | None, scale: float) -> Reduction | None:
    """Refine a partition of the units until states that are equal in each group are mapped to such states."""
    n = rows.shape[1]
    random = np.random.default_rng(1)
    groups = np.zeros(n, int)
    while True:
        count = int(groups.max()) + 1
        if count > MOST_KEPT * n:
            return None
        equal = scale * random.normal(size=(SAMPLES, count))[:, groups]
        images = flow_ends(step, equal, inputs, 1)
        if not np.isfinite(images).all():
            return None
        digits = np.round(images / (EXACT * max(float(np.abs(images).max()), 1e-300)) / 4)
        finer = np.unique(np.concatenate([groups[None], digits]), axis=1, return_inverse=True)[1].ravel()
        if finer.max() + 1 == count:
            break
        groups = finer
    basis = np.zeros((n, count))
    basis[np.arange(n), groups] = 1
    basis /= np.sqrt(basis.sum(axis=0))
    apart = np.concatenate([rows, rows * 0.1, scale * random.normal(size=rows.shape)])
    ends = flow_ends(step, apart, inputs, CONVERGED_AFTER)

    def distance(states: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(states - states @ basis @ basis.T, axis=1))

    if not (distance(ends) <= CONVERGED * distance(apart)).all():
        return None
    return Reduction(step, jnp.asarray(basis), jnp.zeros(n), jnp.asarray(0.0))


def _low_rank(step: Step, rows: NDArray[np.float64], inputs: Float[Array, " m"] | None) -> Reduction | None:
    """Find λ, and the columns or rows that J − λI has at all samples."""
    n = rows.shape[1]
    matrices = in_chunks(lambda chunk: (jacobians(step, chunk, inputs),), rows, SAMPLES)[0]
    if not np.isfinite(matrices).all():
        return None
    rate = float(np.median(np.linalg.eigvals(matrices[0]).real))
    if not abs(rate) < 1:
        return None
    matrices = matrices - rate * np.eye(n)
    if np.linalg.matrix_rank(matrices[0], tol=EXACT * float(np.linalg.norm(matrices[0]))) > MOST_KEPT * n / 2:
        return None
    # Also far from the samples, since a few columns can approximate a smooth map near them.
    states = np.concatenate([rows, FAR * rows, FAR**2 * rows])
    driven = flow_ends(step, states, inputs, 1) - rate * states
    found = []
    for factor in (False, True):
        stacked = np.concatenate(matrices if factor else matrices.transpose(0, 2, 1))
        _, values, vectors = np.linalg.svd(stacked, full_matrices=False)
        rank = max(int((values > EXACT * values[0]).sum()), 1)
        basis = vectors[:rank].T
        if factor:
            inner = states @ basis @ basis.T
            error = driven - (flow_ends(step, inner, inputs, 1) - rate * inner)
            offset = np.zeros(n)
        else:
            constant = driven[0] - basis @ (basis.T @ driven[0])
            error = driven - constant - driven @ basis @ basis.T
            offset = constant / (1 - rate)
        if np.abs(error).max() <= EXACT * np.abs(driven).max():
            found.append(Reduction(step, jnp.asarray(basis), jnp.asarray(offset), jnp.asarray(rate)))
    return min(found, key=lambda one: one.basis.shape[1], default=None)
