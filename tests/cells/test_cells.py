"""The cells' equations, gradients, initial weights and boxes.

The references are written from the equations with one matrix per gate and explicit loops over units, in plain
Python floats; nothing but the weights is taken from the code under test.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import stats

from dynatlas.cells.architectures import GRU, LSTM, Vanilla
from dynatlas.cells.cell import Cell
from dynatlas.cells.registry import CELLS

DATA = Path(__file__).parents[1] / "data"
N_INPUTS, UNITS, N_OUTPUTS, STEPS = 3, 5, 2, 20  # all different, so that no axis can stand in for another
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
pytestmark = pytest.mark.usefixtures("quick_compilation")
variants = pytest.mark.parametrize(("kind", "activation"), list(product(GATES, ("tanh", "relu"))))
kinds = pytest.mark.parametrize("kind", list(GATES))


@pytest.fixture
def x64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


# ---------------------------------------------------------------- the references, from the equations by hand


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
    """One network as the equations name its parts, and the same network as a cell (in float32)."""

    kind: str
    activation: str
    gates: Gates
    initial_state: np.ndarray
    R: np.ndarray
    d: np.ndarray

    def states(self, inputs: np.ndarray) -> np.ndarray:
        """The state after each step."""
        state, states = [float(value) for value in self.initial_state], []
        for x in inputs:
            state = REFERENCE_STEPS[self.kind](self.gates, PHI[self.activation], state, [float(v) for v in x])
            states.append(state)
        return np.array(states)

    def outputs(self, states: np.ndarray) -> np.ndarray:
        """The readout of each state: of its hidden part alone."""
        units = self.R.shape[1]
        return np.array([[self.d[o] + sum(self.R[o] * state[:units]) for o in range(len(self.d))] for state in states])

    def leaves(self) -> dict[str, np.ndarray]:
        """The weights as a cell holds them: stacked in the documented order of its gates."""
        ordered = [self.gates[name] for name in GATES[self.kind]]
        W, U, b = (np.concatenate(parts) for parts in zip(*ordered, strict=True))
        return dict(zip(LEAVES, (W, U, b, self.initial_state, self.R, self.d), strict=True))

    def cell(self) -> Cell:
        """The cell under test with these weights."""
        (n_outputs, units), n_inputs = self.R.shape, self.gates["candidate"].U.shape[1]
        return with_leaves(blank_cell(self.kind, n_inputs, units, n_outputs, self.activation), self.leaves())


@cache
def blank_cell(kind: str, n_inputs: int, units: int, n_outputs: int, activation: str = "tanh") -> Cell:
    """A cell whose weights do not matter, made once: a test replaces them."""
    with jax.enable_x64(False):
        return CELLS[kind](n_inputs, units, n_outputs, activation, key=jax.random.key(0))


def with_leaves(cell: Cell, leaves: dict[str, np.ndarray]) -> Cell:
    """The cell with some of its weights replaced, in float64 where that is enabled and float32 elsewhere."""
    dtype = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    for name, values in leaves.items():
        assert getattr(cell, name).shape == values.shape, name
    cell = cell.astype(dtype)
    new = [jnp.asarray(values, dtype) for values in leaves.values()]
    return eqx.tree_at(lambda c: [getattr(c, name) for name in leaves], cell, new)


def random_network(kind: str, activation: str, seed: int = 0) -> Network:
    """A network with every weight and every bias random, the initial state too, exact in float32."""
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


# Compiled once for all tests.
@jax.jit
def step(cell: Cell, state: jax.Array, inputs: jax.Array) -> jax.Array:
    return cell(state, inputs)


@jax.jit
def step_all(cell: Cell, states: jax.Array, inputs: jax.Array) -> jax.Array:
    return jax.vmap(cell, (0, None))(states, inputs)


@jax.jit
def respond(cell: Cell, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    return cell.respond(inputs)


@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def make(key: jax.Array, kind: str, n_inputs: int, units: int, n_outputs: int) -> Cell:
    return CELLS[kind](n_inputs, units, n_outputs, key=key)


# ---------------------------------------------------------------- the equations


def check_every_step(kind: str, activation: str, dtype: type, tolerance: float) -> None:
    network, inputs = random_network(kind, activation), random_inputs()
    expected, cell, inputs_ = network.states(inputs), network.cell(), jnp.asarray(inputs, dtype)
    assert np.abs(np.diff(expected, axis=0)).max(axis=1).min() > 1e-3, "the reference must keep moving"
    called = [cell.initial_state]
    for x in inputs_:
        called.append(step(cell, called[-1], x))
    states, outputs = respond(cell, inputs_)
    assert states.dtype == outputs.dtype == called[-1].dtype == dtype
    np.testing.assert_allclose(np.array(called[1:]), expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(states, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(outputs, network.outputs(expected), rtol=tolerance, atol=tolerance)


@variants
def test_every_step_follows_the_equations_in_float64(x64: None, kind: str, activation: str) -> None:
    check_every_step(kind, activation, np.float64, 1e-12)


@variants
def test_every_step_follows_the_equations_in_float32(kind: str, activation: str) -> None:
    check_every_step(kind, activation, np.float32, 1e-5)


@kinds
def test_gates_are_named_in_the_documented_order(kind: str) -> None:
    assert CELLS[kind].gates == GATES[kind]


def test_the_readout_of_an_lstm_sees_the_hidden_units_and_not_the_memory(x64: None) -> None:
    cell = random_network("lstm", "tanh").cell()
    state = jnp.arange(1.0, 2 * UNITS + 1)
    other_memory = state.at[UNITS:].set(-7.0)
    other_hidden = state.at[0].set(-7.0)
    np.testing.assert_array_equal(cell.readout(state), cell.readout(other_memory))
    assert not np.allclose(cell.readout(state), cell.readout(other_hidden))


@kinds
def test_a_run_starts_from_the_learned_initial_state(x64: None, kind: str) -> None:
    network, inputs = random_network(kind, "tanh"), random_inputs()
    moved = network._replace(initial_state=network.initial_state + 0.5)
    run, run_moved = (respond(each.cell(), jnp.asarray(inputs))[0] for each in (network, moved))
    np.testing.assert_allclose(run_moved, moved.states(inputs), rtol=1e-12, atol=1e-12)
    assert np.abs(run[0] - run_moved[0]).max() > 1e-2


@variants
def test_a_cell_under_a_static_input_is_the_same_map(x64: None, kind: str, activation: str) -> None:
    cell = random_network(kind, activation).cell()
    random = np.random.default_rng(4)
    state = jnp.asarray(random.normal(size=cell.initial_state.shape))
    inputs = jnp.asarray(random.normal(size=N_INPUTS))
    under = cell.under(inputs)
    np.testing.assert_allclose(step(under, state, jnp.zeros(0)), step(cell, state, inputs), rtol=1e-14, atol=1e-14)
    np.testing.assert_array_equal(under.initial_state, cell.initial_state)
    other = blank_cell(kind, 1, UNITS, 1, activation).astype(float).under(jnp.ones(1))
    assert jax.tree.map(jnp.shape, under) == jax.tree.map(jnp.shape, other)  # one compiled program serves both


@kinds
def test_astype_changes_the_type_of_every_weight_and_no_value(x64: None, kind: str) -> None:
    cell = blank_cell(kind, N_INPUTS, UNITS, N_OUTPUTS, "relu")
    wide = cell.astype(jnp.float64)
    assert {leaf.dtype for leaf in jax.tree.leaves(cell)} == {jnp.dtype("float32")}
    assert {leaf.dtype for leaf in jax.tree.leaves(wide)} == {jnp.dtype("float64")}
    assert wide.activation == "relu"
    for leaf, wide_leaf in zip(jax.tree.leaves(cell), jax.tree.leaves(wide), strict=True):
        np.testing.assert_array_equal(leaf, wide_leaf)


# ---------------------------------------------------------------- the GRU's reset gate


def test_the_grus_reset_gate_acts_before_the_recurrent_product_in_a_hand_worked_case(x64: None) -> None:
    """Unit 1 reads unit 0 alone. Unit 0's reset gate is shut, unit 1's is open, both update gates are shut.

    The candidate of unit 1 is tanh(r_0 h_0) = tanh(0) before the product (ours), tanh(r_1 h_0) after (torch).
    """
    shut, wide = -800.0, 800.0  # σ is 0 and 1 to the last digit
    zeros, no_input = np.zeros((2, 2)), np.zeros((2, 1))
    gates = {
        "reset": Gate(zeros, no_input, np.array([shut, wide])),
        "update": Gate(zeros, no_input, np.array([shut, shut])),
        "candidate": Gate(np.array([[0.0, 0.0], [1.0, 0.0]]), no_input, np.zeros(2)),
    }
    cell = Network("gru", "tanh", gates, np.zeros(2), np.ones((1, 2)), np.zeros(1)).cell()
    after = step(cell, jnp.array([1.0, 0.0]), jnp.zeros(1))
    np.testing.assert_array_equal(after, [0.0, 0.0])
    swapped = with_leaves(cell, {"bias": np.array([wide, shut, shut, shut, 0.0, 0.0])})
    np.testing.assert_allclose(swapped(jnp.array([1.0, 0.0]), jnp.zeros(1)), [0.0, math.tanh(1.0)], rtol=1e-15)


def torch_gru_step(gates: Gates, hidden_bias: np.ndarray, state: list[float], x: list[float]) -> list[float]:
    """The form with the reset gate after the product, where the candidate has a second bias behind it."""
    W, U, b = gates["candidate"]
    after = []
    for i, held in enumerate(state):
        r, u = (logistic(gates[name](state, x, i)) for name in ("reset", "update"))
        recurrent = sum(float(W[i, j]) * value for j, value in enumerate(state)) + float(hidden_bias[i])
        driven = sum(float(U[i, j]) * value for j, value in enumerate(x)) + float(b[i])
        after.append(u * held + (1.0 - u) * math.tanh(driven + r * recurrent))
    return after


def test_the_two_forms_of_the_gru_part_at_the_first_step(x64: None) -> None:
    network, inputs = random_network("gru", "tanh"), random_inputs(1)
    torch_form = torch_gru_step(network.gates, np.zeros(UNITS), list(network.initial_state), list(inputs[0]))
    ours = step(network.cell(), jnp.asarray(network.initial_state), jnp.asarray(inputs[0]))
    assert np.abs(np.asarray(ours) - np.array(torch_form)).max() > 1e-2


# ---------------------------------------------------------------- PyTorch, recorded by data/record_torch.py


def from_torch(
    name: str, cell_type: type[Cell], activation: str, order: tuple[str, ...]
) -> tuple[Cell, np.ndarray, np.ndarray]:
    """A recorded layer as a cell, with its inputs and the states it visited. ``order`` is torch's."""
    with np.load(DATA / f"torch_{name}.npz", allow_pickle=False) as recorded:
        data = dict(recorded)
    units, n_inputs = data["weight_hh"].shape[1], data["weight_ih"].shape[1]

    def restack(values: np.ndarray) -> np.ndarray:
        by_gate = dict(zip(order, np.split(values, len(order)), strict=True))
        return np.concatenate([by_gate[gate] for gate in cell_type.gates])

    kind = cell_type.__name__.lower()
    cell = blank_cell(kind, n_inputs, units, N_OUTPUTS, activation)
    parts = ("hidden", "memory") if cell_type is LSTM else ("hidden",)
    leaves = {
        "recurrent_weights": restack(data["weight_hh"]),
        "input_weights": restack(data["weight_ih"]),
        "bias": restack(data["bias_ih"] + data["bias_hh"]),
        "initial_state": np.concatenate([data[f"initial_{part}"] for part in parts]),
    }
    return with_leaves(cell, leaves), data["inputs"], np.concatenate([data[part] for part in parts], axis=1)


@pytest.mark.parametrize(
    ("name", "cell_type", "activation", "order"),
    [
        ("rnn_tanh", Vanilla, "tanh", ("candidate",)),
        ("rnn_relu", Vanilla, "relu", ("candidate",)),
        ("lstm", LSTM, "tanh", ("input", "forget", "candidate", "output")),
        ("gru_diagonal", GRU, "tanh", ("reset", "update", "candidate")),
    ],
)
def test_every_step_equals_pytorch(
    x64: None, name: str, cell_type: type[Cell], activation: str, order: tuple[str, ...]
) -> None:
    cell, inputs, expected = from_torch(name, cell_type, activation, order)
    states, _ = respond(cell, jnp.asarray(inputs))
    assert states.dtype == jnp.float64
    np.testing.assert_allclose(states, expected, rtol=1e-10, atol=1e-10)


def test_pytorchs_gru_is_the_other_form(x64: None) -> None:
    cell, inputs, expected = from_torch("gru", GRU, "tanh", ("reset", "update", "candidate"))
    assert np.abs(respond(cell, jnp.asarray(inputs))[0] - expected).max() > 1e-2
    with np.load(DATA / "torch_gru.npz", allow_pickle=False) as recorded:
        W, U, b, hidden_bias = (
            dict(zip(GATES["gru"], np.split(recorded[name], 3), strict=True))
            for name in ("weight_hh", "weight_ih", "bias_ih", "bias_hh")
        )
        state = list(recorded["initial_hidden"])
    gates = {name: Gate(W[name], U[name], b[name] + hidden_bias[name]) for name in ("reset", "update")}
    gates["candidate"] = Gate(W["candidate"], U["candidate"], b["candidate"])
    for x, after in zip(inputs, expected, strict=True):
        state = torch_gru_step(gates, hidden_bias["candidate"], state, list(x))
        np.testing.assert_allclose(state, after, rtol=1e-10, atol=1e-10)


# ---------------------------------------------------------------- gradients


def moved(network: Network, direction: Network, leaf: str, distance: float) -> Network:
    """``network`` with one of its leaves moved along that of ``direction``."""
    in_gates = {"recurrent_weights": "W", "input_weights": "U", "bias": "b"}
    if leaf in in_gates:
        part = in_gates[leaf]
        gates = {
            name: gate._replace(**{part: getattr(gate, part) + distance * getattr(direction.gates[name], part)})
            for name, gate in network.gates.items()
        }
        return network._replace(gates=gates)
    part = {"initial_state": "initial_state", "readout_weights": "R", "readout_bias": "d"}[leaf]
    return network._replace(**{part: getattr(network, part) + distance * getattr(direction, part)})


@variants
def test_gradients_are_the_finite_differences_of_the_equations(x64: None, kind: str, activation: str) -> None:
    """Against central differences of the reference, so that forward and backward pass are both judged by it.

    The step of 1e-5 crosses no kink of relu for these seeds; a crossing would err far above the bound.
    """
    network, inputs = random_network(kind, activation, seed=7), random_inputs(8)
    targets = np.random.default_rng(8).normal(size=(8, N_OUTPUTS))

    @jax.jit
    def gradient(cell: Cell) -> Cell:
        def loss(cell: Cell) -> jax.Array:
            return jnp.mean((jax.vmap(cell.readout)(cell.run(jnp.asarray(inputs))) - targets) ** 2)

        return jax.grad(loss)(cell)

    def reference_loss(network: Network) -> float:
        return float(np.mean((network.outputs(network.states(inputs)) - targets) ** 2))

    exact, step = gradient(network.cell()), 1e-5
    for leaf in LEAVES:
        for seed in (21, 22, 23):
            direction = random_network(kind, activation, seed=seed)
            along = float(np.sum(np.asarray(getattr(exact, leaf)) * direction.leaves()[leaf]))
            ahead, behind = (reference_loss(moved(network, direction, leaf, by)) for by in (step, -step))
            assert abs(along) > 1e-4, f"{leaf}: the derivative along this direction is too small to judge"
            assert along == pytest.approx((ahead - behind) / (2 * step), rel=1e-6), leaf


# ---------------------------------------------------------------- initial weights


@kinds
def test_initial_weights_are_independent_and_normal_with_variance_one_over_fan_in(kind: str) -> None:
    n_inputs, units, n_outputs = 40, 200, 100
    cell = make(jax.random.key(1), kind, n_inputs, units, n_outputs)
    blocks = {("readout", ""): (cell.readout_weights, units)}
    for name, weights, fan_in in (
        ("recurrent", cell.recurrent_weights, units),
        ("input", cell.input_weights, n_inputs),
    ):
        for gate, block in zip(GATES[kind], np.split(np.asarray(weights), len(GATES[kind])), strict=True):
            blocks[name, gate] = (block, fan_in)
    scaled = []
    for name, (block, fan_in) in blocks.items():
        values = np.asarray(block, np.float64).ravel() * math.sqrt(fan_in)
        # The variance of n normal numbers has a standard error of sqrt(2/n); five of them.
        assert values.var() == pytest.approx(1, abs=5 * math.sqrt(2 / values.size)), name
        assert stats.kstest(values, "norm").pvalue > 1e-3, name
        scaled.append(values[: units * n_inputs])
    correlations = np.corrcoef(scaled) - np.eye(len(scaled))
    assert np.abs(correlations).max() < 5 / math.sqrt(units * n_inputs)


@variants
def test_initial_biases_and_states_are_zero_but_for_the_forget_gate(kind: str, activation: str) -> None:
    cell = blank_cell(kind, N_INPUTS, UNITS, N_OUTPUTS, activation)
    bias = dict(zip(cell.gates, np.split(np.asarray(cell.bias), len(cell.gates)), strict=True))
    for gate, values in bias.items():
        assert values.tolist() == [1.0 if gate == "forget" else 0.0] * UNITS, gate
    assert cell.initial_state.tolist() == [0.0] * (2 * UNITS if kind == "lstm" else UNITS)
    assert cell.readout_bias.tolist() == [0.0] * N_OUTPUTS


def test_the_initial_weights_follow_from_the_key_alone() -> None:
    """Not from the precision that is enabled, nor from how many networks are made at once.

    For one kind of cell, since all draw their weights in the same place and compiling that takes a second.
    """
    keys = jax.random.split(jax.random.key(9), 3)
    alone = [make(key, "lstm", N_INPUTS, UNITS, N_OUTPUTS) for key in keys]
    stack = jax.jit(jax.vmap(lambda key: make(key, "lstm", N_INPUTS, UNITS, N_OUTPUTS)))(keys)
    with jax.enable_x64(True):
        wide = make(keys[0], "lstm", N_INPUTS, UNITS, N_OUTPUTS)
    for leaf, wide_leaf in zip(jax.tree.leaves(alone[0]), jax.tree.leaves(wide), strict=True):
        assert leaf.dtype == wide_leaf.dtype == jnp.float32
        np.testing.assert_array_equal(leaf, wide_leaf)
    for member, cell in enumerate(alone):
        for leaf, stacked in zip(jax.tree.leaves(cell), jax.tree.leaves(stack), strict=True):
            np.testing.assert_array_equal(leaf, stacked[member])
    for name in ("recurrent_weights", "input_weights", "readout_weights"):
        assert not np.allclose(getattr(alone[0], name), getattr(alone[1], name)), name


# ---------------------------------------------------------------- the box


def scaled_cell(kind: str, scale: float, seed: int) -> tuple[Cell, jax.Array]:
    """A cell with random weights and biases of this size, and an input."""
    network = random_network(kind, "tanh", seed=seed)
    return jax.tree.map(lambda leaf: scale * leaf, network.cell()), jnp.asarray(random_inputs(1, seed)[0])


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0, 40.0])
@kinds
def test_a_tanh_cell_maps_its_box_into_itself(x64: None, kind: str, scale: float) -> None:
    rng = np.random.default_rng(11)
    for seed in range(5):
        cell, inputs = scaled_cell(kind, scale, seed)
        low, high = (np.asarray(side) for side in cell.box(inputs))
        assert np.isfinite(high).all()
        np.testing.assert_array_equal(low, -high)
        corners = rng.choice([-1.0, 1.0], size=(1000, len(high)))
        # Half of the memories on the faces, since a uniform draw in so many dimensions never comes near them.
        inside = np.where(rng.random(corners.shape) < 0.5, rng.uniform(-1, 1, corners.shape), corners)
        states = jnp.asarray(np.concatenate([corners, inside]) * high)
        after = np.asarray(step_all(cell, states, inputs))
        assert (np.abs(after) <= high * (1 + 1e-14)).all()


@pytest.mark.parametrize("kind", ["vanilla", "ugrnn", "gru"])
def test_the_box_of_a_cell_without_memory_is_the_unit_cube(kind: str) -> None:
    cell, inputs = scaled_cell(kind, 3.0, 0)
    low, high = cell.box(inputs)
    assert low.tolist() == [-1.0] * UNITS
    assert high.tolist() == [1.0] * UNITS


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_the_bound_of_an_lstms_memory_is_one_over_one_minus_the_widest_forget_gate(x64: None, scale: float) -> None:
    network, inputs = random_network("lstm", "tanh", seed=4), random_inputs(1)[0]
    W, U, b = (scale * part for part in network.gates["forget"])
    cell = jax.tree.map(lambda leaf: scale * leaf, network.cell())
    # The gate is monotone in each hidden unit, so its largest value over the cube is at a corner: try all.
    widest = [
        max(logistic(Gate(W, U, b)(list(corner), list(inputs), i)) for corner in product((-1.0, 1.0), repeat=UNITS))
        for i in range(UNITS)
    ]
    _, high = cell.box(jnp.asarray(inputs))
    np.testing.assert_array_equal(high[:UNITS], 1.0)
    np.testing.assert_allclose(high[UNITS:], [1 / (1 - f) for f in widest], rtol=1e-9)


def test_the_bound_of_an_lstms_memory_keeps_its_digits_when_the_forget_gate_saturates(x64: None) -> None:
    """At a pre-activation of 50, σ rounds to 1 and 1/(1 − σ) to infinity; the bound is 1 + e⁵⁰."""
    cell = blank_cell("lstm", 1, 1, 1)
    cell = with_leaves(cell, {"recurrent_weights": np.array([[0.0], [-48.0], [0.0], [0.0]])})
    cell = with_leaves(cell, {"input_weights": np.array([[0.0], [0.5], [0.0], [0.0]])})
    _, high = cell.box(jnp.array([2.0]))  # 48 from |h| = 1, 1 from the input, 1 from the forget bias
    assert float(high[1]) == pytest.approx(1 + math.exp(50), rel=1e-12)


@pytest.mark.parametrize("kind", ["vanilla", "ugrnn", "gru"])
def test_a_relu_cell_has_a_box_where_excitation_dies_out_and_maps_it_into_itself(x64: None, kind: str) -> None:
    rng = np.random.default_rng(12)
    for seed in range(5):
        network, inputs = random_network(kind, "relu", seed=seed).cell(), jnp.asarray(random_inputs(1, seed)[0])
        rows = slice(network.gates.index("candidate") * UNITS, (network.gates.index("candidate") + 1) * UNITS)
        excitation = np.maximum(np.asarray(network.recurrent_weights[rows]), 0)
        radius = np.abs(np.linalg.eigvals(excitation)).max()
        for share in (0.5, 0.95, 1.05):
            cell = with_leaves(network, {"recurrent_weights": np.asarray(network.recurrent_weights) * share / radius})
            box = cell.box(inputs)
            assert (box is None) == (share > 1)
            if box is None:
                continue
            low, high = (np.asarray(side) for side in box)
            assert (low < high).all()
            states = low + (high - low) * rng.choice([0.0, 0.3, 1.0], size=(1000, UNITS))
            after = np.asarray(step_all(cell, jnp.asarray(states), inputs))
            assert ((low <= after) & (after <= high * (1 + 1e-12))).all()


def test_a_relu_lstm_has_no_box() -> None:
    assert blank_cell("lstm", N_INPUTS, UNITS, N_OUTPUTS, "relu").box(jnp.zeros(N_INPUTS)) is None


# ---------------------------------------------------------------- many networks, and errors


@variants
def test_a_stack_of_networks_under_vmap_equals_one_at_a_time(x64: None, kind: str, activation: str) -> None:
    networks = [random_network(kind, activation, seed) for seed in range(4)]
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[network.cell() for network in networks])
    assert stack.units == UNITS
    inputs = jnp.asarray(random_inputs())
    states, outputs = jax.jit(jax.vmap(respond, (0, None)))(stack, inputs)
    for member, network in enumerate(networks):
        expected_states, expected_outputs = respond(network.cell(), inputs)
        np.testing.assert_allclose(states[member], expected_states, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(outputs[member], expected_outputs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", ["n_inputs", "units", "n_outputs"])
@pytest.mark.parametrize("value", [0, -3])
@kinds
def test_a_cell_needs_at_least_one_of_everything(kind: str, size: str, value: int) -> None:
    sizes = {"n_inputs": N_INPUTS, "units": UNITS, "n_outputs": N_OUTPUTS, size: value}
    with pytest.raises(ValueError, match=f"^{size} is {value}; a cell needs at least 1$"):
        CELLS[kind](**sizes, key=jax.random.key(0))


@pytest.fixture
def without_type_checks() -> Iterator[None]:
    """As a user runs the library: the test run's own checks would refuse the name before the library does."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@kinds
def test_an_unknown_activation_is_named_with_the_ones_that_exist(without_type_checks: None, kind: str) -> None:
    with pytest.raises(ValueError, match=r"^activation is 'sigmoid'; expected one of tanh, relu$"):
        CELLS[kind](N_INPUTS, UNITS, N_OUTPUTS, "sigmoid", key=jax.random.key(0))
