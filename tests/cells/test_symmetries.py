"""Reordered networks compute the same, and their weights are what the declared symmetries make of them."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.activations import ACTIVATIONS
from dynatlas.cells.architectures import GRU, LSTM, UGRNN, Vanilla
from dynatlas.cells.cell import Cell, leaf_name
from dynatlas.cells.ctrnn import CTRNN
from dynatlas.cells.symmetries.unit_weights import unit_weights

pytestmark = pytest.mark.usefixtures("quick_compilation", "x64")
UNITS, N_INPUTS, N_OUTPUTS = 6, 3, 2
KINDS = {
    "vanilla": Vanilla,
    "ugrnn": UGRNN,
    "gru": GRU,
    "lstm": LSTM,
    "rates": partial(CTRNN, tau=[25.0, 200.0]),
    "currents": partial(CTRNN, form="currents", tau=[25.0, 200.0], learn_tau=True),
    "low rank": partial(CTRNN, rank=2),
    "rank and full rank": partial(CTRNN, rank=1, full_rank_part=True),
    "Dale's law": partial(CTRNN, excitatory=0.5),
    "masks": partial(CTRNN, density=0.6, areas=2),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def away_from_0(cell, seed=0, but=()):
    """The same cell with biases and initial state that are not 0, in float64."""
    random = np.random.default_rng(seed)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            leaf.astype(float)
            + (0 if leaf_name(path) in ("mask", "signs", "leak", *but) else 0.1 * random.normal(size=leaf.shape))
        ),
        cell,
    )


def network(kind, activation, seed=0):
    return away_from_0(KINDS[kind](N_INPUTS, UNITS, N_OUTPUTS, activation, key=jax.random.key(seed)), seed)


def reordered(cell, order, signs):
    """The network whose unit i is unit order[i] times signs[i], written out for the leaves of built-in cells."""
    rows = {gate: signs if gate == "candidate" else np.ones(UNITS) for gate in cell.gates}

    def by_gate(leaf):
        blocks = np.asarray(leaf).reshape(len(cell.gates), UNITS, *leaf.shape[1:])[:, order]
        factors = np.stack([rows[gate] for gate in cell.gates]).reshape(*blocks.shape[:2], *[1] * (blocks.ndim - 2))
        return (blocks * factors).reshape(leaf.shape)

    moves = {
        "recurrent_weights": lambda leaf: by_gate(leaf)[:, order] * signs,
        "input_weights": by_gate,
        "bias": by_gate,
        "initial_state": lambda leaf: (np.asarray(leaf).reshape(-1, UNITS)[:, order] * signs).ravel(),
        "readout_weights": lambda leaf: leaf[:, order] * signs,
        "readout_bias": lambda leaf: leaf,
        "left": lambda leaf: leaf[order] * signs[:, None],
        "right": lambda leaf: leaf[order] * signs[:, None],
        "signs": lambda leaf: leaf[order],
        "leak": lambda leaf: leaf[order],
        "mask": lambda leaf: leaf[order][:, order],
    }
    return jax.tree_util.tree_map_with_path(lambda path, leaf: jnp.asarray(moves[leaf_name(path)](leaf)), cell)


def error(cell, other, order, signs):
    """How far the reordered network is from commuting, over three steps."""
    inputs = jnp.asarray(np.random.default_rng(1).normal(size=(3, N_INPUTS)))
    states, outputs = cell.respond(inputs)
    moved, shown = other.respond(inputs)
    expected = (np.asarray(states).reshape(3, -1, UNITS)[..., order] * signs).reshape(3, -1)
    return max(np.abs(moved - expected).max(), np.abs(shown - outputs).max())


def moved_blocks(blocks, order, signs):
    """The blocks as the names and the entries of flips say that they move."""
    expected = {}
    for name, block in blocks.items():
        flips = blocks.get(f"flips {name}", np.zeros(2))
        expected[name] = block
        if name.startswith("between"):
            rows, columns = (np.where(flip, signs, 1) for flip in flips)
            expected[name] = block[np.ix_(order, order)] * rows[:, None] * columns
        elif name.startswith("units"):
            expected[name] = block[order] * np.where(flips[0], signs, 1)[:, None]
    return expected


def assert_same_blocks(seen, expected):
    assert seen.keys() == expected.keys()
    for name, block in expected.items():
        assert seen[name].dtype == np.float64
        np.testing.assert_allclose(seen[name], block, rtol=1e-12, atol=1e-12, err_msg=name)


@kinds
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_reordered_network_computes_the_same(kind, activation):
    cell = network(kind, activation)
    random = np.random.default_rng(2)
    order = random.permutation(UNITS)
    blocks = unit_weights(cell)
    can_flip = any(name.startswith("flips") for name in blocks)
    assert can_flip == (activation == "tanh" and kind != "Dale's law")
    signs = np.array([1.0, -1, -1, 1, 1, -1]) if can_flip else np.ones(UNITS)
    other = reordered(cell, order, signs)
    assert error(cell, other, order, signs) < 1e-12
    assert_same_blocks(unit_weights(other), moved_blocks(blocks, order, signs))


@kinds
def test_a_changed_sign_is_no_symmetry_of_a_rectifier(kind):
    cell, signs = network(kind, "relu"), np.array([1.0, -1, 1, 1, 1, 1])
    assert error(cell, reordered(cell, np.arange(UNITS), signs), np.arange(UNITS), signs) > 1e-3


def test_names_shapes_and_signs_of_blocks():
    blocks = unit_weights(network("gru", "tanh"))
    shapes = {name: block.shape for name, block in blocks.items() if not name.startswith("flips")}
    gates = ("reset", "update", "candidate")
    assert shapes == {
        **{f"between {gate}": (UNITS, UNITS) for gate in gates},
        **{f"units input {gate}": (UNITS, N_INPUTS) for gate in gates},
        **{f"units bias {gate}": (UNITS, 1) for gate in gates},
        "units initial_state": (UNITS, 1),
        "units readout": (UNITS, N_OUTPUTS),
        "others readout_bias": (N_OUTPUTS,),
    }
    assert {name: blocks[f"flips {name}"].tolist() for name in shapes if name[0] != "o"} == {
        **{f"between {gate}": [0, 1] for gate in ("reset", "update")},
        **{f"units {role} {gate}": [0] for gate in ("reset", "update") for role in ("input", "bias")},
        "between candidate": [1, 1],
        **{f"units {role}": [1] for role in ("input candidate", "bias candidate", "initial_state", "readout")},
    }
    assert {"units initial_state", "units initial_memory"} <= unit_weights(network("lstm", "relu")).keys()


def test_fixed_leaves_count_as_the_step_uses_them():
    cell = network("masks", "relu")
    np.testing.assert_allclose(unit_weights(cell)["between candidate"], cell.recurrent_weights * cell.mask, rtol=1e-12)
    cell = network("Dale's law", "tanh")
    blocks = unit_weights(cell)
    np.testing.assert_allclose(blocks["between candidate"], np.abs(cell.recurrent_weights) * cell.signs, rtol=1e-12)
    assert not blocks["units readout"][np.asarray(cell.signs) < 0].any()
    cell = network("currents", "tanh")
    np.testing.assert_allclose(unit_weights(cell)["units leak"][:, 0], cell.alpha, rtol=1e-12)
    assert unit_weights(cell)["flips units leak"].tolist() == [0]


def test_odd_activations():
    assert {name for name, one in ACTIVATIONS.items() if one.is_odd} == {"tanh", "identity"}


class Joined(Cell):
    """A leaky network with the weights of states and inputs in one matrix."""

    weights: jax.Array
    shown: jax.Array
    tau: jax.Array
    initial_state: jax.Array
    activation: str = eqx.field(static=True)
    fixed_leaves = ("tau",)

    def __init__(self, n_inputs, units, n_outputs, activation="tanh", *, key):
        self.weights = jax.random.normal(key, (units, n_inputs + units))
        self.shown = jax.random.normal(key, (n_outputs, units))
        self.tau = jnp.linspace(0.1, 0.9, units)
        self.initial_state = jnp.zeros(units)
        self.activation = activation

    @property
    def units(self):
        return self.shown.shape[-1]

    def __call__(self, state, inputs):
        driven = self.weights @ jnp.concatenate([inputs, state])
        return (1 - self.tau) * state + self.tau * ACTIVATIONS[self.activation].function(driven)

    def readout(self, state):
        return self.shown @ state


class Gated(Cell):
    """An update gate and a candidate, stacked, with states in rows: x W."""

    weights: jax.Array
    inwards: jax.Array
    shown: jax.Array
    initial_state: jax.Array
    activation: str = eqx.field(static=True)

    def __init__(self, n_inputs, units, n_outputs, activation="tanh", *, key):
        self.weights = jax.random.normal(key, (units, 2 * units))
        self.inwards = jax.random.normal(key, (n_inputs, 2 * units))
        self.shown = jax.random.normal(key, (units, n_outputs))
        self.initial_state = jnp.zeros(units)
        self.activation = activation

    @property
    def units(self):
        return self.shown.shape[0]

    def __call__(self, state, inputs):
        gate, candidate = jnp.split(state @ self.weights + inputs @ self.inwards, 2)
        gate = jax.nn.sigmoid(gate)
        return gate * state + (1 - gate) * ACTIVATIONS[self.activation].function(candidate)

    def readout(self, state):
        return state @ self.shown


# Sizes at which shapes alone do not tell units from channels, too.
@pytest.mark.parametrize(("n_inputs", "n_outputs"), [(N_INPUTS, N_OUTPUTS), (4, 2), (2, 8), (1, 1)])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_cells_of_users(n_inputs, n_outputs, activation):
    cell = Joined(n_inputs, 4, n_outputs, activation, key=jax.random.key(0))
    blocks = unit_weights(cell)
    np.testing.assert_allclose(blocks["between weights 1"], cell.weights[:, n_inputs:], rtol=1e-12)
    np.testing.assert_allclose(blocks["units weights 0"], cell.weights[:, :n_inputs], rtol=1e-12)
    np.testing.assert_allclose(blocks["units shown"], cell.shown.T, rtol=1e-12)
    assert not any("tau" in name for name in blocks)
    assert blocks.get("flips between weights 1", np.zeros(0)).tolist() == ([1, 1] if activation == "tanh" else [])

    cell = Gated(n_inputs, 4, n_outputs, activation, key=jax.random.key(0))
    blocks = unit_weights(cell)
    np.testing.assert_allclose(blocks["between weights 1"], cell.weights[:, 4:], rtol=1e-12)
    np.testing.assert_allclose(blocks["units inwards 0"], cell.inwards[:, :4].T, rtol=1e-12)
    flips = {name: blocks[name].tolist() for name in blocks if name.startswith("flips")}
    assert flips == (
        {
            "flips between weights 0": [1, 0],
            "flips between weights 1": [1, 1],
            "flips units inwards 0": [0],
            "flips units inwards 1": [1],
            "flips units shown": [1],
            "flips units initial_state": [1],
        }
        if activation == "tanh"
        else {}
    )


class Apart(Cell):
    """A gated recurrent unit with a leaf for each gate and role."""

    leaves: dict
    initial_state: jax.Array
    activation: str = eqx.field(static=True)

    def __init__(self, n_inputs, units, n_outputs, activation="tanh", *, key):
        shapes = {"R": (n_outputs, units)}
        for gate in "rzc":
            shapes |= {f"W{gate}": (units, units), f"U{gate}": (units, n_inputs), f"b{gate}": (units,)}
        self.leaves = {
            name: jax.random.normal(jax.random.fold_in(key, number), shape)
            for number, (name, shape) in enumerate(shapes.items())
        }
        self.initial_state = jnp.zeros(units)
        self.activation = activation

    @property
    def units(self):
        return self.leaves["R"].shape[-1]

    def __call__(self, state, inputs):
        w = self.leaves
        r, z = (jax.nn.sigmoid(w[f"W{g}"] @ state + w[f"U{g}"] @ inputs + w[f"b{g}"]) for g in "rz")
        driven = w["Wc"] @ (r * state) + w["Uc"] @ inputs + w["bc"]
        return z * state + (1 - z) * ACTIVATIONS[self.activation].function(driven)

    def readout(self, state):
        return self.leaves["R"] @ state


def test_signs_of_a_cell_with_many_leaves():
    blocks = unit_weights(Apart(3, 5, 2, key=jax.random.key(0)))
    assert {name.removeprefix("flips "): block.tolist() for name, block in blocks.items() if "flips" in name} == {
        **{f"between leaves.W{gate}": [float(gate == "c"), 1] for gate in "rzc"},
        **{f"units leaves.{role}{gate}": [float(gate == "c")] for role in "Ub" for gate in "rzc"},
        **{f"units {name}": [1] for name in ("leaves.R", "initial_state")},
    }
    assert not any("flips" in name for name in unit_weights(Apart(3, 5, 2, "relu", key=jax.random.key(0))))


def test_a_subclass_of_a_built_in_cell_has_named_gates():
    class Slow(GRU):
        def combine(self, state, sums):
            return 0.9 * state + 0.1 * super().combine(state, sums)

    for activation in ("tanh", "relu"):
        cell = Slow(N_INPUTS, UNITS, N_OUTPUTS, activation, key=jax.random.key(0))
        plain = GRU(N_INPUTS, UNITS, N_OUTPUTS, activation, key=jax.random.key(0))
        assert_same_blocks(unit_weights(cell), unit_weights(plain))

    class Shifted(Vanilla):  # the sign of a unit matters
        def combine(self, state, sums):
            return super().combine(state, sums) + 0.1

    assert not any("flips" in name for name in unit_weights(Shifted(3, 5, 2, "tanh", key=jax.random.key(0))))


def test_units_that_cannot_be_reordered():
    class Ring(Vanilla):
        def combine(self, state, sums):
            return super().combine(state, sums) + 0.5 * jnp.roll(state, 1)

    with pytest.raises(
        ValueError, match=r"the units of Ring cannot be reordered: no reading of its leaves \(recurrent"
    ):
        unit_weights(Ring(2, 4, 1, "tanh", key=jax.random.key(0)))

    class Odd(Joined):
        def __init__(self, *sizes, key):
            super().__init__(*sizes, key=key)
            self.initial_state = jnp.zeros(5)

    with pytest.raises(ValueError, match="it has 5 state variables; expected a multiple of its 4 units"):
        unit_weights(Odd(2, 4, 1, key=jax.random.key(0)))

    class Refusing(Joined):
        def __call__(self, state, inputs):
            raise RuntimeError("no")

    with pytest.raises(ValueError, match="a step of Refusing fails for every number of inputs"):
        unit_weights(Refusing(2, 4, 1, key=jax.random.key(0)))
