"""Networks of others: the layers' steps against what PyTorch recorded, their boxes, checks, and what is refused."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from dynatlas import Network, read_network
from dynatlas.errors import NetworkError
from dynatlas.networks.checking import check
from dynatlas.networks.layers import GRU, LSTM, Leaky, Plain, Stack

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
    assert "activation tanh, PyTorch's default: a state dict does not record it" in network.source
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


class TestBoxes:
    """A box is invariant: no state in it is led out of it; sampled at corners, where the bounds are reached."""

    @staticmethod
    def layers():
        random = np.random.default_rng(3)

        def of(kind, units=4, scale=1.5, **settings):
            rows = len(kind.gates) * units
            return kind(
                scale * random.normal(size=(rows, 2)),
                scale * random.normal(size=(rows, units)),
                *random.normal(size=(2, rows)),
                **settings,
            )

        alpha = random.uniform(0.1, 1, 4)
        return {
            "tanh": of(Plain),
            "sigmoid": of(Plain, activation="sigmoid"),
            "relu, dying out": of(Plain, scale=0.2, activation="relu"),
            "gru after": of(GRU),
            "gru before": of(GRU, reset="before"),
            "lstm": of(LSTM),
            "leaky rates": of(Leaky, alpha=alpha),
            "leaky relu rates": of(Leaky, scale=0.2, alpha=alpha, activation="relu"),
            "leaky currents": of(Leaky, alpha=alpha, form="current"),
        }

    @pytest.mark.parametrize("name", list(layers()))
    def test_no_state_in_it_is_led_out_of_it(self, name):
        stack = Stack((self.layers()[name],))
        random = np.random.default_rng(4)
        for _ in range(3):
            inputs = 2 * random.normal(size=2)
            low, high = stack.box(inputs)
            assert (low < high).all()
            corners = np.where(random.random((400, len(low))) < 0.5, low, high)
            inside = random.uniform(low, high, (400, len(low)))
            with jax.enable_x64(True):
                images = np.asarray(jax.vmap(stack, (0, None))(np.concatenate([corners, inside]), jnp.asarray(inputs)))
            slack = 1e-12 * (high - low)
            assert (images >= low - slack).all()
            assert (images <= high + slack).all()

    def test_an_lstms_box_is_tight_in_the_memory(self):
        # One unit, forget and input gates constant at σ(2) and σ(30) ≈ 1, candidate ≈ 1: c rises to 1/(1 − σ(2)).
        layer = LSTM(np.zeros((4, 1)), np.zeros((4, 1)), np.array([30.0, 2.0, 30.0, 0.0]), np.zeros(4))
        _, high = Stack((layer,)).box(np.zeros(1))
        assert high[1] == pytest.approx(1 + np.e**2, rel=1e-12)
        state = np.zeros(2)
        with jax.enable_x64(True):
            for _ in range(300):
                state = np.asarray(layer(jnp.asarray(state), jnp.zeros(1)))
        assert state[1] == pytest.approx(high[1], rel=1e-9)

    def test_where_nothing_bounds_the_states_there_is_none(self):
        strong = Plain(np.zeros((1, 1)), np.full((1, 1), 1.5), np.zeros(1), np.zeros(1), "relu")
        assert Stack((strong,)).box(np.zeros(1)) is None
        gru = GRU(np.zeros((3, 1)), np.zeros((3, 1)), np.zeros(3), np.zeros(3), "relu")
        assert Stack((gru,)).box(np.zeros(1)) is None


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
        assert self.step(GRU(self.W_IN, self.W, self.B_IN, self.B)) == pytest.approx(u * 0.4 + (1 - u) * c, abs=1e-15)

    def test_the_reset_gate_before_the_product_multiplies_the_state_alone(self):
        r = self.sigmoid(0.5 * 0.6 + 0.1 + 0.4 - 0.2)
        u = self.sigmoid(-0.6 + 0.2 + 0.2 + 0.4)
        c = np.tanh(1.2 + 0.3 - 1.5 * (r * 0.4) + 0.7)
        seen = self.step(GRU(self.W_IN, self.W, self.B_IN, self.B, reset="before"))
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
