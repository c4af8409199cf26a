"""Weights as Keras, Flax, Equinox and neuroscientists write them, against what these libraries answered themselves."""

import json
import shutil
import zipfile
from pathlib import Path

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import read_network
from dynatlas.cells.registry import CELLS
from dynatlas.errors import NetworkError
from dynatlas.networks.checking import check
from dynatlas.networks.layouts.keras_files import own_names, read_keras_archive

pytestmark = pytest.mark.usefixtures("quick_compilation")
DATA = Path(__file__).parents[1] / "data"


def keras_run(name):
    """What Keras made of its inputs, in float32."""
    with np.load(DATA / "keras_runs.npz") as runs:
        return {what: runs[f"{name}_{what}"] for what in ("hidden", "outputs")} | {"inputs": runs["inputs"]}


def assert_runs_as(network, run):
    for what in ("hidden", "outputs"):
        assert check(network, {"inputs": run["inputs"], what: run[what]}).error < 2e-6


class TestKeras:
    @pytest.mark.parametrize("reset", ["after", "before"])
    def test_both_forms_of_the_gru_run_as_keras_recorded(self, reset):
        network = read_network(DATA / f"keras_gru_{reset}.weights.h5")
        assert f"the reset gate acts {reset} the recurrent product" in network.source[0]
        assert "gates update, reset, candidate" in network.source[0]
        assert_runs_as(network, keras_run(f"gru_{reset}"))

    def test_a_whole_model_says_order_and_activations(self):
        network = read_network(DATA / "keras_stack.h5")
        assert "stacked as lstm, gru_2, simple_rnn, in the model's order" in network.source
        assert [sentence.rsplit("; ", 1)[1] for sentence in network.source[:3]] == [
            "activation tanh",
            "activation relu",
            "activation sigmoid",
        ]
        assert network.source[-1] == "readout dense_2 [3, 2], before its softmax"
        assert network.n_states == 2 * 5 + 4 + 3
        assert_runs_as(network, keras_run("stack"))

    def test_an_archive_is_the_same_model(self):
        """Its weights are filed as layers/gru, and the configuration calls that layer gru_2."""
        network = read_network(DATA / "keras_stack.keras")
        assert network.source == read_network(DATA / "keras_stack.h5").source
        assert_runs_as(network, keras_run("stack"))

    def test_weights_of_two_layers_of_one_name_are_refused(self, tmp_path):
        inner = [
            {
                "class_name": kind,
                "config": {"layers": [{"class_name": "GRU", "config": {"name": "same"}}], "name": kind},
            }
            for kind in ("First", "Second")
        ]
        with h5py.File(tmp_path / "weights.h5", "w") as file:
            for place in ("layers/first/layers/gru", "layers/second/layers/gru"):
                file[f"{place}/cell/vars/0"] = np.zeros((2, 3), np.float32)
        with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
            archive.writestr("config.json", json.dumps({"config": {"layers": inner}}))
            archive.write(tmp_path / "weights.h5", "model.weights.h5")
        with pytest.raises(NetworkError, match="two layers would both be 'layers/same/cell/vars/0'"):
            read_keras_archive(tmp_path / "model.keras")

    def test_layers_of_one_class_are_told_apart_by_their_order(self):
        inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": []}}
        layers = [{"class_name": kind, "config": {"name": name}} for kind, name in (("GRU", "b"), ("GRU", "a"))]
        inner["config"]["layers"] = [{"class_name": "SimpleRNN", "config": {"name": "c"}}]
        assert own_names({"config": {"layers": [*layers, inner]}}) == {
            "layers/gru": "b",
            "layers/gru_1": "a",
            "layers/sequential": "inner",
            "layers/sequential/layers/simple_rnn": "c",
        }

    def test_a_layer_of_several_can_be_chosen(self):
        network = read_network(DATA / "keras_stack.h5", layer="gru_2")
        assert (network.n_inputs, network.n_states) == (5, 4)

    def test_without_a_model_sizes_tell_the_order_or_a_choice_must_be_made(self, tmp_path):
        def write(name, **layers):
            with h5py.File(tmp_path / name, "w") as file:
                for layer, (n_inputs, units) in layers.items():
                    file[f"layers/{layer}/cell/vars/0"] = np.ones((n_inputs, units), np.float32)
                    file[f"layers/{layer}/cell/vars/1"] = np.ones((units, units), np.float32)
            return tmp_path / name

        # By their names a would come first, but a takes what b gives.
        network = read_network(write("sizes.weights.h5", a=(4, 5), b=(3, 4)))
        assert network.n_inputs == 3
        assert "stacked as b, a, assumed from their sizes: the file does not record it" in network.source
        with pytest.raises(NetworkError, match="does not record the order of the recurrent layers a, b; choose one"):
            read_network(write("any.weights.h5", a=(3, 3), b=(3, 3)))
        same = read_network(write("numbered.weights.h5", rnn=(3, 3), rnn_1=(3, 3), rnn_10=(3, 3), rnn_2=(3, 3)))
        assert (
            "stacked as rnn, rnn_1, rnn_2, rnn_10, assumed from their sizes: the file does not record it" in same.source
        )

    def test_a_layer_between_recurrent_ones_is_not_ignored(self, tmp_path):
        path = tmp_path / "between.h5"
        shutil.copy(DATA / "keras_stack.h5", path)
        with h5py.File(path, "r+") as file:
            changed = file.attrs["model_config"].replace(
                '"class_name": "Dropout"', '"class_name": "LayerNormalization"'
            )
            file.attrs["model_config"] = changed
        with pytest.raises(
            NetworkError, match="a LayerNormalization layer is between the layers gru_2, lstm, simple_rnn"
        ):
            read_network(path)

    def test_hard_gates_are_refused(self, tmp_path):
        path = tmp_path / "hard.h5"
        shutil.copy(DATA / "keras_stack.h5", path)
        with h5py.File(path, "r+") as file:
            config = file.attrs["model_config"]
            file.attrs["model_config"] = config.replace(
                '"recurrent_activation": "sigmoid"', '"recurrent_activation": "hard_sigmoid"'
            )
        with pytest.raises(NetworkError, match="lstm has the gates' activation 'hard_sigmoid'; expected sigmoid"):
            read_network(path)

    def test_a_gru_without_bias_must_be_told_where_its_reset_gate_acts(self, tmp_path):
        path = tmp_path / "bare.weights.h5"
        with h5py.File(path, "w") as file:
            file["layers/gru/cell/vars/0"] = np.ones((2, 9), np.float32)
            file["layers/gru/cell/vars/1"] = np.ones((3, 9), np.float32)
        with pytest.raises(
            NetworkError, match="gru has no bias, whose shape would show where its reset gate acts; set reset"
        ):
            read_network(path)
        assert "acts before the recurrent product" in read_network(path, reset="before").source[0]
        with pytest.raises(
            NetworkError, match=r"reset is 'before'; expected 'after': the bias of gru has shape \(2, 15\)"
        ):
            read_network(DATA / "keras_gru_after.weights.h5", reset="before")

    @pytest.mark.parametrize("gates", [3, 4])
    def test_cudnns_layout_is_that_of_keras_with_each_kernel_transposed(self, tmp_path, gates):
        """tf.keras converts between them: kernels by Kᵀ reshaped in Fortran's order, recurrent kernels by Kᵀ."""
        random, n_inputs, units = np.random.default_rng(0), 3, 5
        kernels, recurrents = random.normal(size=(gates, n_inputs, units)), random.normal(size=(gates, units, units))
        biases = random.normal(size=(2, gates * units))
        stored = {
            "kernel": np.hstack([kernel.T.reshape(kernel.shape, order="C") for kernel in kernels]),
            "recurrent_kernel": np.hstack([recurrent.T for recurrent in recurrents]),
            "bias": biases.ravel(),
        }
        with h5py.File(tmp_path / "cudnn.h5", "w") as file:
            for name, values in stored.items():
                file[f"layer/layer/{name}:0"] = values
        plain = {
            "kernel": np.hstack(list(kernels)),
            "recurrent_kernel": np.hstack(list(recurrents)),
            "bias": biases if gates == 3 else biases.sum(axis=0),
        }
        cudnn, keras = read_network(tmp_path / "cudnn.h5"), read_network(plain)
        inputs = random.normal(size=(2, 4, n_inputs))
        np.testing.assert_allclose(cudnn.run(inputs), keras.run(inputs), atol=1e-14)
        assert cudnn.assumed == ()

    def test_half_of_a_bidirectional_layer_must_be_chosen(self, tmp_path):
        path = tmp_path / "both.weights.h5"
        with h5py.File(path, "w") as file:
            for half in ("forward_layer", "backward_layer"):
                file[f"layers/bidirectional/{half}/cell/vars/0"] = np.ones((2, 3), np.float32)
                file[f"layers/bidirectional/{half}/cell/vars/1"] = np.ones((3, 3), np.float32)
        with pytest.raises(NetworkError, match="backward half of a bidirectional layer, which needs future inputs"):
            read_network(path)
        assert read_network(path, layer="bidirectional/forward_layer").n_states == 3


def flax_tree(name):
    """The parameters of one of Flax' cells, and its record of single steps."""
    with np.load(DATA / "flax.npz") as file:
        tree = {}
        for path in file.files:
            if path.startswith(f"{name}/parameters/"):
                *groups, last = path.split("/")[2:]
                inner = tree
                for group in groups:
                    inner = inner.setdefault(group, {})
                inner[last] = file[path]
        following = file[f"{name}/following"]
        return tree, {
            "inputs": file["inputs"],
            "states": file["states"][:, : following.shape[1]],
            "following": following,
        }


@pytest.mark.parametrize("name", ["linen_gru", "linen_lstm", "linen_simple", "nnx_gru", "nnx_lstm", "nnx_simple"])
def test_a_cell_of_flax_steps_as_flax_recorded(name):
    tree, record = flax_tree(name)
    assert check(read_network(tree), record).error < 1e-13


@pytest.mark.parametrize(
    ("kind", "use_bias"), [(eqx.nn.GRUCell, True), (eqx.nn.GRUCell, False), (eqx.nn.LSTMCell, True)]
)
def test_a_cell_of_equinox_steps_as_equinox_does(kind, use_bias):
    with jax.enable_x64(True):
        cell = kind(3, 4, use_bias=use_bias, dtype=jnp.float64, key=jax.random.key(0))
        states, inputs = jax.random.normal(jax.random.key(1), (9, 8)), jax.random.normal(jax.random.key(2), (9, 3))
        if kind is eqx.nn.LSTMCell:
            following = jnp.concatenate(jax.vmap(lambda s, x: cell(x, (s[:4], s[4:])))(states, inputs), axis=1)
        else:
            states = states[:, :4]
            following = jax.vmap(lambda s, x: cell(x, s))(states, inputs)
        record = {"states": np.asarray(states), "inputs": np.asarray(inputs), "following": np.asarray(following)}
    assert check(read_network(cell), record).error < 1e-14


@pytest.mark.parametrize("architecture", list(CELLS))
def test_our_own_cells_are_networks_too(architecture):
    cell = CELLS[architecture](2, 3, 1, "tanh", key=jax.random.key(0))
    network = read_network(cell)
    inputs = np.random.default_rng(0).normal(size=(1, 5, 2))
    states = np.asarray(cell.run(jnp.asarray(inputs[0], jnp.float32)))
    np.testing.assert_allclose(network.run(inputs)[0], states, atol=1e-6)
    outputs = np.asarray(jax.vmap(cell.readout)(states))
    np.testing.assert_allclose(network.read_out(states), outputs, atol=1e-6)
    low, high = network.box(np.ones(2))
    assert low.dtype == np.float64
    np.testing.assert_allclose(high, np.asarray(cell.box(jnp.ones(2))[1]), rtol=1e-6)


def test_what_is_no_network_is_refused():
    with pytest.raises(NetworkError, match="int is no network of a supported type; expected a file, a cell of Equinox"):
        read_network(7)
    with pytest.raises(NetworkError, match="the file has 0 recurrent cells"):
        read_network({"dense": {"kernel": np.ones((2, 2))}})


class TestMatrices:
    """Rate networks from matrices, against the equations written out."""

    @staticmethod
    def matrices():
        random = np.random.default_rng(5)
        return {
            "W_rec": random.normal(size=(4, 4)),
            "W_in": random.normal(size=(4, 2)),
            "b_rec": random.normal(size=4),
            "W_out": random.normal(size=(1, 4)),
            "b_out": np.array([0.5]),
        }

    def read(self, tmp_path, matrices, **options):
        np.savez(tmp_path / "net.npz", **matrices)
        return read_network(tmp_path / "net.npz", **options)

    def assert_steps(self, network, expected):
        random = np.random.default_rng(6)
        states, inputs = random.normal(size=(7, 4)), random.normal(size=(7, 2))
        made = network.run(inputs[:, None], states)[:, 0]
        np.testing.assert_allclose(made, expected(states, inputs), atol=1e-14)

    def test_a_discrete_network(self, tmp_path):
        m = self.matrices()
        network = self.read(tmp_path, m)
        self.assert_steps(network, lambda h, x: np.tanh(h @ m["W_rec"].T + x @ m["W_in"].T + m["b_rec"]))
        assert network.read_out(np.ones(4)) == pytest.approx(m["W_out"].sum() + 0.5, abs=1e-14)

    def test_time_constants_give_the_leak_of_each_unit(self, tmp_path):
        m = self.matrices() | {"tau": np.array([20.0, 50, 100, 100]), "dt": 10.0}
        network = self.read(tmp_path, m, activation="relu")
        alpha = np.array([0.5, 0.2, 0.1, 0.1])
        drive = lambda h, x: np.maximum(h @ m["W_rec"].T + x @ m["W_in"].T + m["b_rec"], 0)  # noqa: E731
        self.assert_steps(network, lambda h, x: (1 - alpha) * h + alpha * drive(h, x))
        assert "leaky with alpha = dt/tau, 0.1 to 0.5" in network.source
        assert "the state is rates, assumed" in network.source

    def test_currents(self, tmp_path):
        m = self.matrices()
        network = self.read(tmp_path, m, alpha=0.3, form="current")
        flow = lambda h, x: np.tanh(h) @ m["W_rec"].T + x @ m["W_in"].T + m["b_rec"]  # noqa: E731
        self.assert_steps(network, lambda h, x: 0.7 * h + 0.3 * flow(h, x))
        # What is read out are the rates.
        expected = m["W_out"] @ np.tanh(np.full(4, 0.3)) + 0.5
        np.testing.assert_allclose(network.read_out(np.full(4, 0.3)), expected, atol=1e-14)

    def test_matrices_that_multiply_rows_are_told_by_the_input_matrix(self, tmp_path):
        m = self.matrices()
        rows = {name: values.T for name, values in m.items()}
        network = self.read(tmp_path, rows | {"notes": np.array("of May")})
        self.assert_steps(network, lambda h, x: np.tanh(h @ m["W_rec"].T + x @ m["W_in"].T + m["b_rec"]))
        assert "rows are multiplied, h W: the input matrix is [inputs, units]" in network.source
        assert "not used: notes (text)" in network.source

    def test_mistakes_are_explained(self, tmp_path):
        m = self.matrices()
        with pytest.raises(NetworkError, match="'tau' needs a time step: store dt in the file, or set alpha=…"):
            self.read(tmp_path, m | {"tau": 100.0})
        with pytest.raises(NetworkError, match="J and W_rec have the same role"):
            self.read(tmp_path, {"J": m["W_rec"]} | m)
        with pytest.raises(NetworkError, match=r"'W_rec' has the shape \(4, 3\); expected \[units, units\]"):
            self.read(tmp_path, m | {"W_rec": np.ones((4, 3))})
        with pytest.raises(NetworkError, match="form needs a leak; set alpha"):
            self.read(tmp_path, m, form="current")
        with pytest.raises(NetworkError, match=r"expected 4 numbers in \(0, 1\]: with a larger one the Euler step ov"):
            self.read(tmp_path, m, alpha=2.0)
        with pytest.raises(NetworkError, match=r"'W_out' has the shape \(1, 5\); expected \[outputs, 4\]"):
            self.read(tmp_path, m | {"W_out": np.ones((1, 5))})
        with pytest.raises(NetworkError, match="has no recurrent layer of a supported type; it holds: x"):
            self.read(tmp_path, {"x": np.ones(3)})
