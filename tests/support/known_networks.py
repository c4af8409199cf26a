"""Networks whose fixed points are known in closed form: k bistable units inside a larger network.

Every unit of a *chain* receives input only from earlier units and from itself. The first k units are bistable alone and
independent of each other; each later unit is driven by the earlier ones and contracts (its self-coupling has a slope
below 1), so that it has exactly one equilibrium for each state of the earlier ones. Hence the network has exactly
3^k fixed points. Its Jacobian is triangular, so that a fixed point has as many unstable directions as bistable units at
0. Finally the units are shuffled, which hides this structure.
"""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dynatlas.cells.architectures import GRU, LSTM, UGRNN, Vanilla
from dynatlas.cells.cell import Cell

SELF_COUPLING = 2.0


def bistable_network(kind: type[Cell], k: int, units: int, seed: int) -> Cell:
    """Return a network of this kind with exactly 3^k fixed points under zero input, in float64."""
    random = np.random.default_rng(seed)
    chain = np.tril(random.normal(size=(units, units)) * 0.4, -1)
    chain[:k, :k] = 0
    chain += np.diag(np.where(np.arange(units) < k, SELF_COUPLING, random.uniform(-0.8, 0.8, units)))
    shuffled = random.permutation(units)
    chain = chain[np.ix_(shuffled, shuffled)]
    cell = kind(1, units, 1, "tanh", key=jax.random.key(seed))
    gates = len(kind.gates)
    weights = np.zeros((gates * units, units))
    bias = np.zeros(gates * units)
    candidate = kind.gates.index("candidate") * units
    weights[candidate : candidate + units] = chain * _gain(kind)
    if kind is UGRNN:  # the update gate may depend on the state, since it does not move the fixed points
        weights[units:] = random.normal(size=(units, units)) * 0.3
    if kind is GRU:
        weights[units : 2 * units] = random.normal(size=(units, units)) * 0.3
    with jax.enable_x64(True):
        return eqx.tree_at(
            lambda cell: (cell.recurrent_weights, cell.bias),
            cell.astype(jnp.float64),
            (jnp.asarray(weights), jnp.asarray(bias)),
        )


def _gain(kind: type[Cell]) -> float:
    """Return the factor by which the gates, constant at σ(0) = ½, weaken the self-coupling of a unit at 0."""
    # Vanilla and UGRNN: none. GRU: r = ½. LSTM: c = c/2 + ½ φ(w φ(c)/2), so that the slope at 0 is w/2.
    return {Vanilla: 1.0, UGRNN: 1.0, GRU: 2.0, LSTM: 2.0}[kind]


def expected_unstable_counts(k: int) -> dict[int, int]:
    """Return the number of fixed points with u unstable directions: C(k, u)·2^(k−u)."""
    counts: dict[int, int] = {}
    for signs in itertools.product((-1, 0, 1), repeat=k):
        unstable = signs.count(0)
        counts[unstable] = counts.get(unstable, 0) + 1
    return counts


class LineAttractor(NamedTuple):
    """A linear integrator with known modes: h' = A h + B x with one slow mode, whose readout is the sum."""

    matrix: np.ndarray  # A [n, n]
    inputs: np.ndarray  # B [n, 2]; the slow mode integrates the first input with weight 1, and not the second
    readout: np.ndarray  # [n], 1 along the slow mode
    right: np.ndarray  # right eigenvector of the slow mode
    left: np.ndarray  # left eigenvector of the slow mode

    def step(self, state, inputs):
        """Take one step."""
        return self.matrix @ state + self.inputs @ inputs


def line_attractor(units: int, slow: float, seed: int) -> LineAttractor:
    """Return a non-normal integrator: one mode has the eigenvalue ``slow``, all others have |λ| < ½."""
    random = np.random.default_rng(seed)
    basis = np.eye(units) + 0.3 * random.normal(size=(units, units))
    eigenvalues = np.concatenate([[slow], random.uniform(-0.5, 0.5, units - 1)])
    inverse = np.linalg.inv(basis)
    right, left = basis[:, 0], inverse[0]
    taken_up = random.normal(size=units)
    ignored = random.normal(size=units)
    return LineAttractor(
        matrix=basis @ np.diag(eigenvalues) @ inverse,
        inputs=np.stack([taken_up / (left @ taken_up), ignored - right * (left @ ignored)], axis=1),
        readout=(readout := random.normal(size=units)) / (readout @ right),
        right=right,
        left=left,
    )
