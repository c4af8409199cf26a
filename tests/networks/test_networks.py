"""Networks of others: the layers' steps against what PyTorch recorded, their boxes, checks, and what is refused."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from dynatlas import Network, read_network
from dynatlas.cells import ACTIVATIONS, GRU, LSTM, UGRNN, Vanilla
from dynatlas.errors import NetworkError
from dynatlas.networks.checking import check
from dynatlas.networks.layers import Layer, Leaky, Stack

pytestmark = pytest.mark.usefixtures("quick_compilation")
DATA = Path(__file__).parents[1] / "data"
TORCH_FILES = {"rnn_tanh": None, "rnn_relu": "relu", "gru": None, "lstm": None}


def recorded(name):
    """What PyTorch recorded of one layer: its state dict, and a record as ``check`` takes it."""
    with np.load(DATA / f"torch_{name}.npz") as file:
        arrays = dict(file)
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = {f"rnn.{part}_l0": np.ascontiguousarray(arrays[part]) for part in parts}
    states = [arrays["hidden"], *([arrays["memory"]] if "memory" in arrays else [])]
    initial = [arrays["initial_hidden"], *([arrays["initial_memory"]] if "memory" in arrays else [])]
    record = {"inputs": arrays["inputs"], "states": np.concatenate(states, 1), "initial": np.concatenate(initial)}
    return weights, record


@pytest.mark.parametrize("name", TORCH_FILES)
def test_a_layer_of_pytorch_steps_as_pytorch_recorded(name, tmp_path):
    weights, record = recorded(name)
    save_file(weights, tmp_path / "net.safetensors")
    network = read_network(tmp_path / "net.safetensors", activation=TORCH_FILES[name])
    assert check(network, record).error < 1e-13
    assert network.n_states == record["states"].shape[1]


def test_a_whole_run_of_hidden_units_is_checked_too(tmp_path):
    weights, record = recorded("lstm")
    np.savez(tmp_path / "net.npz", **weights)
    hidden = {"inputs": record["inputs"], "hidden": record["states"][:, :5], "initial": record["initial"]}
    result = check(read_network(tmp_path / "net.npz"), hidden)
    assert result.error < 1e-13
    assert str(result).startswith("verified: the hidden of 1 runs of 25 steps, largest difference ")


def test_a_wrong_activation_is_found_by_the_check(tmp_path):
    weights, record = recorded("rnn_relu")
    save_file(weights, tmp_path / "net.safetensors")
    network = read_network(tmp_path / "net.safetensors")
    assert "activation tanh, assumed: PyTorch's default; a state dict does not record it" in network.source
    with pytest.raises(
        NetworkError, match=r"not reproduce the record: over 25 single steps .*, the largest .* is [0-9.]+; exp"
    ):
        check(network, record)


def stacked_weights(random, layers, prefix="rnn.", suffix=""):
    """A state dict of stacked GRUs: 2 inputs, then as many units in each layer as ``layers`` says."""
    weights = {}
    for number, (n_inputs, units) in enumerate(zip([2, *layers], layers, strict=False)):
        shapes = {"weight_ih": (n_inputs,), "weight_hh": (units,), "bias_ih": (), "bias_hh": ()}
        for part, shape in shapes.items():
            weights[f"{prefix}{part}_l{number}{suffix}"] = random.normal(size=(3 * units, *shape)).astype(np.float32)
    return weights


def test_stacked_layers_are_one_map_in_which_each_sees_the_new_state_below(tmp_path):
    weights = stacked_weights(np.random.default_rng(0), [3, 4])
    save_file(weights, tmp_path / "both.safetensors")
    both = read_network(tmp_path / "both.safetensors")
    assert both.state_labels[2:4] == ("0.h2", "1.h0")
    singles = []
    for number in (0, 1):
        alone = {name.replace(f"_l{number}", "_l0"): value for name, value in weights.items() if f"_l{number}" in name}
        save_file(alone, tmp_path / f"{number}.safetensors")
        singles.append(read_network(tmp_path / f"{number}.safetensors"))
    inputs = np.random.default_rng(1).normal(size=(2, 6, 2))
    lower = singles[0].run(inputs)
    expected = np.concatenate([lower, singles[1].run(lower)], axis=2)
    np.testing.assert_allclose(both.run(inputs), expected, atol=1e-14)


ALPHA = np.array([0.1, 0.4, 0.8, 1.0])
LAYERS = {
    "vanilla": (Layer, {"kind": Vanilla}),
    "ugrnn": (Layer, {"kind": UGRNN}),
    "gru after": (Layer, {"kind": GRU}),
    "gru before": (Layer, {"kind": GRU, "reset": "before"}),
    "lstm": (Layer, {"kind": LSTM}),
    "leaky rates": (Leaky, {"alpha": ALPHA}),
    "leaky currents": (Leaky, {"alpha": ALPHA, "form": "current"}),
}


class TestBoxes:
    """A box is invariant: no state in it is led out of it; sampled at corners, where the bounds are reached."""

    @staticmethod
    def layer(name, activation, scale, seed, units=4):
        """Random weights of this size, and biases of size 1."""
        random = np.random.default_rng(seed)
        kind, settings = LAYERS[name]
        rows = len(settings.get("kind", Vanilla).gates) * units
        weights = (scale * random.normal(size=(rows, columns)) for columns in (2, units))
        return kind(*weights, *random.normal(size=(2, rows)), activation, **settings)

    @staticmethod
    def is_bounded(name, layer):
        """Whether something bounds the states; of a relu layer: its excitation dies out."""
        if layer.activation in ("tanh", "sigmoid", "retanh"):
            return True
        candidate = layer.kind.gates.index("candidate") * layer.units
        excitation = np.maximum(layer.recurrent_weights[candidate : candidate + layer.units], 0)
        dies_out = np.abs(np.linalg.eigvals(excitation)).max() < 1
        return layer.activation == "relu" and name not in ("lstm", "leaky currents") and dies_out

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("name", LAYERS)
    def test_no_state_in_it_is_led_out_of_it_and_without_a_bound_there_is_none(self, name, activation):
        random, found = np.random.default_rng(4), set()
        step = jax.jit(jax.vmap(lambda stack, state, inputs: stack(state, inputs), (None, 0, 0)))
        for seed, scale in enumerate((0.15, 0.4, 1.5, 8.0)):
            layer, ends = self.layer(name, activation, scale, seed), np.sort(2 * random.normal(size=(2, 2)), axis=0)
            with jax.enable_x64(True):
                box = layer.box(*ends)
            found.add(box is None)
            assert (box is not None) == self.is_bounded(name, layer)
            if box is None:
                continue
            low, high = map(np.asarray, box)
            assert (low < high).all()
            states = np.where(random.random((600, len(low))) < 0.5, low, high)
            states[:200] = random.uniform(low, high, (200, len(low)))
            inputs = np.where(random.random((600, 2)) < 0.5, *ends)
            with jax.enable_x64(True):
                images = np.asarray(step(Stack((layer,)), states, inputs))
            slack = 1e-12 * (high - low)
            assert (images >= low - slack).all()
            assert (images <= high + slack).all()
        if activation == "relu" and name not in ("lstm", "leaky currents"):
            assert found == {True, False}

    @pytest.mark.parametrize("name", ["vanilla", "ugrnn", "gru after", "gru before", "leaky rates"])
    def test_relu_states_grow_beyond_any_bound_where_excitation_does_not_die_out(self, name):
        layer = self.layer(name, "relu", 0.0, 0)
        weights = np.array(layer.recurrent_weights)
        candidate = layer.kind.gates.index("candidate") * 4
        weights[candidate : candidate + 4] = 3.0 * np.eye(4)
        stack = Stack((eqx.tree_at(lambda layer: layer.recurrent_weights, layer, weights),))
        assert stack.box(np.zeros(2)) is None
        states = Network(stack, 4, 2).run(np.zeros((1, 400, 2)), np.full((1, 4), 10.0))[0, -1]
        assert states.max() > 1e9

    def test_a_bias_that_the_reset_gate_can_take_away_does_not_lower_the_box(self):
        # r = u ≈ 0, so that h' = relu(5 + r (0 h − 5)) ≈ 5, although the two biases add up to 0.
        biases = np.array([-30.0, -30, 5]), np.array([0.0, 0, -5])
        stack = Stack((Layer(np.zeros((3, 1)), np.zeros((3, 1)), *biases, "relu", GRU),))
        _, high = stack.box(np.zeros(1))
        assert 5 <= high[0] < 7
        assert Network(stack, 1, 1).run(np.zeros((1, 1, 1)))[0, 0, 0] == pytest.approx(5, abs=1e-9)

    def test_an_lstms_box_is_tight_in_the_memory(self):
        # One unit, forget and input gates constant at σ(2) and σ(30) ≈ 1, candidate ≈ 1: c rises to 1/(1 − σ(2)).
        assert LSTM.gates == ("input", "forget", "output", "candidate")
        layer = Layer(
            np.zeros((4, 1)), np.zeros((4, 1)), np.array([30.0, 2.0, 0.0, 30.0]), np.zeros(4), "tanh", kind=LSTM
        )
        _, high = Stack((layer,)).box(np.zeros(1))
        assert high[1] == pytest.approx(1 + np.e**2, rel=1e-12)
        state = np.zeros(2)
        with jax.enable_x64(True):
            for _ in range(300):
                state = np.asarray(layer(jnp.asarray(state), jnp.zeros(1)))
        assert state[1] == pytest.approx(high[1], rel=1e-9)

    def test_a_memory_beyond_the_largest_number_has_no_box(self):
        layer = Layer(np.zeros((4, 1)), np.zeros((4, 1)), np.array([0.0, 800, 0, 0]), np.zeros(4), kind=LSTM)
        assert Stack((layer,)).box(np.zeros(1)) is None

    def test_a_stack_takes_what_its_lowest_layer_shows(self):
        # The upper layer's h' = relu(¾ Σ tanh(h)) + 1, of currents that themselves reach further than 1.
        lower = self.layer("leaky currents", "tanh", 1.0, 0)
        upper = Layer(np.full((1, 4), 0.75), np.zeros((1, 1)), np.zeros(1), np.zeros(1), "relu")
        low, high = Stack((lower, upper)).box(np.zeros(2))
        assert (low[-1], high[-1]) == (-1, pytest.approx(1 + 0.75 * np.tanh(high[:-1]).sum(), rel=1e-12))
        assert high[:-1].max() > 1


class TestSteps:
    """One step of one unit, worked by hand."""

    W_IN = np.array([[0.5], [-1.0], [2.0]])
    W = np.array([[1.0], [0.5], [-1.5]])
    B_IN, B = np.array([0.1, 0.2, 0.3]), np.array([-0.2, 0.4, 0.7])

    @staticmethod
    def sigmoid(value):
        return 1 / (1 + np.exp(-value))

    def step(self, layer):
        with jax.enable_x64(True):
            return float(layer(jnp.array([0.4]), jnp.array([0.6]))[0])

    def test_the_reset_gate_after_the_product_multiplies_its_bias_too(self):
        r = self.sigmoid(0.5 * 0.6 + 0.1 + 0.4 - 0.2)
        u = self.sigmoid(-0.6 + 0.2 + 0.2 + 0.4)
        c = np.tanh(1.2 + 0.3 + r * (-1.5 * 0.4 + 0.7))
        assert self.step(Layer(self.W_IN, self.W, self.B_IN, self.B, kind=GRU)) == pytest.approx(
            u * 0.4 + (1 - u) * c, abs=1e-15
        )

    def test_the_reset_gate_before_the_product_multiplies_the_state_alone(self):
        r = self.sigmoid(0.5 * 0.6 + 0.1 + 0.4 - 0.2)
        u = self.sigmoid(-0.6 + 0.2 + 0.2 + 0.4)
        c = np.tanh(1.2 + 0.3 - 1.5 * (r * 0.4) + 0.7)
        seen = self.step(Layer(self.W_IN, self.W, self.B_IN, self.B, kind=GRU, reset="before"))
        assert seen == pytest.approx(u * 0.4 + (1 - u) * c, abs=1e-15)

    def test_leaky_rates_and_currents_put_the_activation_in_different_places(self):
        arrays = self.W_IN[:1], self.W[:1], self.B_IN[:1], self.B[:1]
        alpha = np.array([0.25])
        rates = self.step(Leaky(*arrays, alpha=alpha))
        currents = self.step(Leaky(*arrays, alpha=alpha, form="current"))
        assert rates == pytest.approx(0.75 * 0.4 + 0.25 * np.tanh(0.3 + 0.1 + 0.4 - 0.2), abs=1e-15)
        assert currents == pytest.approx(0.75 * 0.4 + 0.25 * (0.3 + 0.1 + np.tanh(0.4) - 0.2), abs=1e-15)


class TestRefusals:
    def read(self, tmp_path, weights, **options):
        save_file(weights, tmp_path / "net.safetensors")
        return read_network(tmp_path / "net.safetensors", **options)

    def test_a_bidirectional_layer_is_no_dynamical_system(self, tmp_path):
        random = np.random.default_rng(0)
        weights = stacked_weights(random, [3]) | stacked_weights(random, [3], suffix="_reverse")
        with pytest.raises(NetworkError, match="bidirectional layer, whose backward direction needs future inputs"):
            self.read(tmp_path, weights)

    def test_of_several_layers_one_must_be_chosen(self, tmp_path):
        random = np.random.default_rng(0)
        weights = stacked_weights(random, [3], "enc.") | stacked_weights(random, [4], "dec.")
        with pytest.raises(NetworkError, match="has 2 recurrent layers: dec, enc; choose one with layer=… "):
            self.read(tmp_path, weights)
        assert self.read(tmp_path, weights, layer="dec").n_states == 4
        with pytest.raises(NetworkError, match="no recurrent layer 'denc'; there are: dec, enc"):
            self.read(tmp_path, weights, layer="denc")

    def test_shapes_that_do_not_fit_are_told(self, tmp_path):
        weights = stacked_weights(np.random.default_rng(0), [3, 4])
        wrong = weights | {"rnn.weight_hh_l1": np.zeros((10, 4), np.float32)}
        with pytest.raises(NetworkError, match=r"_hh_l1' has the shape \(10, 4\); expected \[units, units\] \(RNN"):
            self.read(tmp_path, wrong)
        wrong = weights | {"rnn.bias_ih_l0": np.zeros(5, np.float32)}
        with pytest.raises(NetworkError, match=r"input_bias has shape \(5,\); expected \(9,\): 3 gates of 3 units"):
            self.read(tmp_path, wrong)
        wrong = weights | {"rnn.weight_ih_l1": np.zeros((12, 5), np.float32)}
        with pytest.raises(NetworkError, match="layer 1 takes 5 inputs, but the layer below has 3"):
            self.read(tmp_path, wrong)
        wrong = weights | {"rnn.weight_ih_l1": np.full((12, 3), np.nan, np.float32)}
        with pytest.raises(NetworkError, match="input_weights has NaN or infinity"):
            self.read(tmp_path, wrong)

    def test_options_without_effect_are_refused(self, tmp_path):
        weights = stacked_weights(np.random.default_rng(0), [3])
        with pytest.raises(NetworkError, match="reset cannot be chosen here: PyTorch's layers have only one form"):
            self.read(tmp_path, weights, reset="before")
        with pytest.raises(NetworkError, match="activation is 'relu'; PyTorch's GRU has tanh"):
            self.read(tmp_path, weights, activation="relu")

    def test_a_record_that_does_not_fit_is_told(self, tmp_path):
        network = self.read(tmp_path, stacked_weights(np.random.default_rng(0), [3]))
        with pytest.raises(NetworkError, match="the record has nothing; expected `inputs` with `states`"):
            check(network, {})
        record = {"inputs": np.zeros((4, 2)), "states": np.zeros((4, 2))}
        with pytest.raises(NetworkError, match=r"states has shape \(1, 4, 2\); expected \(1, 4, 3\)"):
            check(network, record)

    def test_a_leaky_layer_that_overshoots_is_refused(self):
        with pytest.raises(ValueError, match=r"alpha = dt/tau is \[1.5\]…; expected 1 numbers in \(0, 1\]"):
            Leaky(*[np.zeros((1, 1))] * 2, *[np.zeros(1)] * 2, alpha=np.array([1.5]))


def test_the_readout_is_the_linear_layer_that_fits(tmp_path):
    weights = stacked_weights(np.random.default_rng(0), [3])
    fits = {"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "fc.bias": np.array([1, 2], np.float32)}
    other = {"embedding.weight": np.ones((7, 2), np.float32)}
    save_file(weights | fits | other, tmp_path / "net.safetensors")
    network = read_network(tmp_path / "net.safetensors")
    assert network.source[-1] == "readout fc.weight [2, 3], fc.bias"
    np.testing.assert_array_equal(network.read_out(np.array([[1.0, 0, 1]])), [[2 + 1, 3 + 5 + 2]])
    save_file(weights | fits | {"value.weight": np.ones((1, 3), np.float32)}, tmp_path / "two.safetensors")
    assert read_network(tmp_path / "two.safetensors").source[-1] == "no readout: 2 linear layers fit: fc, value"
    chosen = read_network(tmp_path / "two.safetensors", readout="value")
    np.testing.assert_array_equal(chosen.read_out(np.array([1.0, 2, 3])), [6])


def test_a_network_of_ones_own_is_checked():
    with pytest.raises(ValueError, match="n_states is 0; expected at least 1"):
        Network(step=lambda h, x: h, n_states=0, n_inputs=1)
    with pytest.raises(ValueError, match="1 state_labels for 2 states; expected one each"):
        Network(step=lambda h, x: h, n_states=2, n_inputs=1, state_labels=("a",))
    network = Network(step=lambda h, x: h, n_states=2, n_inputs=1)
    with pytest.raises(ValueError, match=r"inputs has shape \(3, 1\); expected \[trials, steps, 1\]"):
        network.run(np.zeros((3, 1)))
