"""Equations of every cell for one state in plain Python, and random networks to test them."""

import math
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.cell import Cell
from dynatlas.cells.registry import CELLS

N_INPUTS, UNITS, N_OUTPUTS, STEPS = 3, 5, 2, 20  # all different, so that swapped axes cannot go unnoticed

GATES = {
    "vanilla": ("candidate",),
    "ugrnn": ("candidate", "update"),
    "gru": ("reset", "update", "candidate"),
    "lstm": ("input", "forget", "output", "candidate"),
}

LEAVES = (
    "recurrent_weights",
    "input_weights",
    "bias",
    "initial_state",
    "readout_weights",
    "readout_bias",
)


variants = pytest.mark.parametrize(("kind", "activation"), list(product(GATES, ("tanh", "relu"))))

kinds = pytest.mark.parametrize("kind", list(GATES))


class Gate(NamedTuple):
    """The pre-activation W h + U x + b of one gate."""

    W: np.ndarray
    U: np.ndarray
    b: np.ndarray

    def __call__(self, hidden: list[float], inputs: list[float], unit: int) -> float:
        total = float(self.b[unit])
        for other, value in enumerate(hidden):
            total += float(self.W[unit, other]) * value
        for channel, value in enumerate(inputs):
            total += float(self.U[unit, channel]) * value
        return total


Gates = dict[str, Gate]

Phi = Callable[[float], float]

PHI: dict[str, Phi] = {"tanh": math.tanh, "relu": lambda value: max(value, 0.0)}


def logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))


def vanilla_step(gates: Gates, phi: Phi, state: list[float], x: list[float]) -> list[float]:
    return [phi(gates["candidate"](state, x, i)) for i in range(len(state))]


def ugrnn_step(gates: Gates, phi: Phi, state: list[float], x: list[float]) -> list[float]:
    after = []
    for i, held in enumerate(state):
        c = phi(gates["candidate"](state, x, i))
        g = logistic(gates["update"](state, x, i))
        after.append(g * held + (1.0 - g) * c)
    return after


def gru_step(gates: Gates, phi: Phi, state: list[float], x: list[float]) -> list[float]:
    kept = [logistic(gates["reset"](state, x, j)) * held for j, held in enumerate(state)]
    after = []
    for i, held in enumerate(state):
        u = logistic(gates["update"](state, x, i))
        c = phi(gates["candidate"](kept, x, i))
        after.append(u * held + (1.0 - u) * c)
    return after


def lstm_step(gates: Gates, phi: Phi, state: list[float], x: list[float]) -> list[float]:
    units = len(state) // 2
    h, c = state[:units], state[units:]
    new_h, new_c = [], []
    for k in range(units):
        i = logistic(gates["input"](h, x, k))
        f = logistic(gates["forget"](h, x, k))
        o = logistic(gates["output"](h, x, k))
        new_c.append(f * c[k] + i * phi(gates["candidate"](h, x, k)))
        new_h.append(o * phi(new_c[k]))
    return new_h + new_c


REFERENCE_STEPS = {"vanilla": vanilla_step, "ugrnn": ugrnn_step, "gru": gru_step, "lstm": lstm_step}


class Network(NamedTuple):
    """One network in the notation of the equations, and the same network as a cell (in float32)."""

    kind: str
    activation: str
    gates: Gates
    initial_state: np.ndarray
    R: np.ndarray
    d: np.ndarray

    def states(self, inputs: np.ndarray) -> np.ndarray:
        """Return the state after each step."""
        state, states = [float(value) for value in self.initial_state], []
        for x in inputs:
            state = REFERENCE_STEPS[self.kind](self.gates, PHI[self.activation], state, [float(v) for v in x])
            states.append(state)
        return np.array(states)

    def outputs(self, states: np.ndarray) -> np.ndarray:
        """Return the readout of each state, which uses its hidden part only."""
        units = self.R.shape[1]
        return np.array([[self.d[o] + sum(self.R[o] * state[:units]) for o in range(len(self.d))] for state in states])

    def leaves(self) -> dict[str, np.ndarray]:
        """Return the weights of the cell, stacked in the documented order of its gates."""
        ordered = [self.gates[name] for name in GATES[self.kind]]
        W, U, b = (np.concatenate(parts) for parts in zip(*ordered, strict=True))
        return dict(zip(LEAVES, (W, U, b, self.initial_state, self.R, self.d), strict=True))

    def cell(self) -> Cell:
        """Return the cell under test with these weights."""
        (n_outputs, units), n_inputs = self.R.shape, self.gates["candidate"].U.shape[1]
        return with_leaves(blank_cell(self.kind, n_inputs, units, n_outputs, self.activation), self.leaves())


@cache
def blank_cell(kind: str, n_inputs: int, units: int, n_outputs: int, activation: str = "tanh") -> Cell:
    """Return a cached cell whose weights a test replaces."""
    with jax.enable_x64(False):
        return CELLS[kind](n_inputs, units, n_outputs, activation, key=jax.random.key(0))


def with_leaves(cell: Cell, leaves: dict[str, np.ndarray]) -> Cell:
    """Return the cell with some of its weights replaced, in float64 if enabled, otherwise in float32."""
    dtype = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    for name, values in leaves.items():
        assert getattr(cell, name).shape == values.shape, name
    cell = cell.astype(dtype)
    new = [jnp.asarray(values, dtype) for values in leaves.values()]
    return eqx.tree_at(lambda c: [getattr(c, name) for name in leaves], cell, new)


def random_network(kind: str, activation: str, seed: int = 0) -> Network:
    """Return a network with random weights, biases and initial state, exact in float32."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.normal(size=shape)).astype(np.float32).astype(np.float64)

    gates = {
        name: Gate(draw(UNITS, UNITS, scale=UNITS**-0.5), draw(UNITS, N_INPUTS, scale=N_INPUTS**-0.5), draw(UNITS))
        for name in GATES[kind]
    }
    states = 2 * UNITS if kind == "lstm" else UNITS
    return Network(kind, activation, gates, draw(states), draw(N_OUTPUTS, UNITS), draw(N_OUTPUTS))


def random_inputs(steps: int = STEPS, seed: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(steps, N_INPUTS)).astype(np.float32).astype(np.float64)


@jax.jit
def respond(cell: Cell, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    return cell.respond(inputs)


def torch_gru_step(gates: Gates, hidden_bias: np.ndarray, state: list[float], x: list[float]) -> list[float]:
    """Take a GRU step with the reset gate after the recurrent product, which has its own bias."""
    W, U, b = gates["candidate"]
    after = []
    for i, held in enumerate(state):
        r, u = (logistic(gates[name](state, x, i)) for name in ("reset", "update"))
        recurrent = sum(float(W[i, j]) * value for j, value in enumerate(state)) + float(hidden_bias[i])
        driven = sum(float(U[i, j]) * value for j, value in enumerate(x)) + float(b[i])
        after.append(u * held + (1.0 - u) * math.tanh(driven + r * recurrent))
    return after
