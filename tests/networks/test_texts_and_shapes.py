"""What texts, switches, records and transposed matrices in a file of weights say, whatever their names."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from dynatlas import read_network
from dynatlas.errors import NetworkError
from support.layout_files import I, N, O, assert_steps, normal, relu, written

pytestmark = pytest.mark.usefixtures("quick_compilation")

W, U, B, R = normal(N, N), normal(N, I), normal(N), normal(O, N)
PLAIN = {"W_rec": W, "W_in": U, "b": B}


def step(phi):
    return lambda h, x: phi(h @ W.T + x @ U.T + B)


class TestTexts:
    @pytest.mark.parametrize(
        ("texts", "phi"),
        [
            ({"nonlin": "ReLU"}, relu),
            ({"act_fn": "torch.relu"}, relu),
            ({"hiddenActivation": "softplus"}, lambda v: np.log1p(np.exp(v))),
            ({"f": "sigmoid"}, lambda v: 1 / (1 + np.exp(-v))),
            ({"transfer_function": "linear"}, lambda v: v),
            ({"task": "linear", "note": "trained on 3 bits"}, np.tanh),
            ({"output_activation": "sigmoid"}, np.tanh),
        ],
    )
    def test_an_activation_counts_whatever_its_name(self, texts, phi, tmp_path):
        assert_steps(read_network(written(tmp_path, PLAIN | texts)), step(phi))

    def test_beside_weights_of_pytorch_and_keras(self, tmp_path):
        torch = {"rnn.weight_ih_l0": U, "rnn.weight_hh_l0": W, "rnn.bias_ih_l0": B, "nonlinearity": "relu"}
        network = read_network(written(tmp_path, torch))
        assert_steps(network, step(relu))
        assert "activation relu, as nonlinearity says" in network.source
        keras = {"rnn/kernel:0": U.T, "rnn/recurrent_kernel:0": W.T, "rnn/bias:0": B, "activation": "relu"}
        assert_steps(read_network(written(tmp_path, keras)), step(relu))
        gated = {"weight_ih_l0": normal(3 * N, I), "weight_hh_l0": normal(3 * N, N), "nonlinearity": "relu"}
        with pytest.raises(NetworkError, match=r"GRU has tanh. If nonlinearity has no part in it: --ignore"):
            read_network(written(tmp_path, gated))

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"phi": "elu"}, "'phi' is 'elu'; expected one of tanh, relu"),
            ({"act": "relu", "cell_act": "tanh"}, "'act' is relu, 'cell_act' is tanh; expected one activation"),
            (
                {"config": '{"alpha": 0.2}'},
                "by what it says. .* choose what it says of the step by options",
            ),
            ({"cfg": "{'tau': 10}"}, "by what it says.*--ignore cfg"),
            ({"dale": np.array(True)}, "'dale' .* is not used, and could be part of the dynamics by what it says"),
            ({"hidden": normal(N, N, seed=3)}, "'hidden' .* could be part of the dynamics by size"),
            ({"ei": np.sign(B)}, "--part sign=ei"),
            ({"W_context": U}, "write the step in JAX"),
            ({"g": np.array(1.5)}, "'g' .* write the step in JAX"),
        ],
    )
    def test_what_may_matter_stops_the_reading(self, more, message, tmp_path):
        with pytest.raises(NetworkError, match=message):
            read_network(written(tmp_path, PLAIN | more))

    def test_a_matrix_of_the_inputs_under_the_name_of_a_record(self, tmp_path):
        path = written(tmp_path, {"recurrent": W, "inputs": U, "bias": B})
        with pytest.raises(NetworkError, match="--part input=inputs"):
            read_network(path)
        assert_steps(read_network(path, parts={"input": "inputs"}), step(np.tanh))

    def test_switches_that_are_off_or_of_training_are_harmless(self, tmp_path):
        more = {"dale": np.array(False), "train_bias": np.array(True), "states": np.zeros((3, 9, N))}
        assert_steps(read_network(written(tmp_path, PLAIN | more)), step(np.tanh))


class TestShapes:
    @pytest.mark.parametrize(
        ("label", "names", "options"),
        [
            ("Dive into Deep Learning", {"W_xh": U, "W_hh": W, "b_h": B, "W_hq": R}, {"orientation": "columns"}),
            ("min-char-rnn", {"Wxh": U.T, "Whh": W.T, "bh": B, "Why": R.T}, {"orientation": "rows"}),
        ],
    )
    def test_a_transposed_file_is_refused_until_the_orientation_is_chosen(self, label, names, options, tmp_path):
        path = written(tmp_path, names)
        with pytest.raises(NetworkError, match=rf"the transpose of {label}'s; .* set orientation"):
            read_network(path)
        assert_steps(read_network(path, **options), step(np.tanh), lambda h: h @ R.T)

    def test_matrices_that_contradict_each_other_make_an_assumption(self, tmp_path):
        network = read_network(written(tmp_path, PLAIN | {"W_out": R.T}))
        assert network.assumed[0] == "columns are multiplied, W h"
        assert "although the readout is [units, outputs]" in " ".join(network.source)

    def test_the_names_of_theano(self, tmp_path):
        path = written(tmp_path, {"W": U.T, "U": W.T, "b": B})
        with pytest.raises(NetworkError, match=r"'U' is square: .* --part recurrent=U --part input=W"):
            read_network(path)
        assert_steps(read_network(path, parts={"recurrent": "U", "input": "W"}), step(np.tanh))
        square = read_network(written(tmp_path, {"W": W, "U": normal(N, N, seed=1), "b": B}))
        assert square.assumed[0] == "W is recurrent, U of the input"

    def test_roles_choose_among_modules_and_biases_are_added(self, tmp_path):
        haiku = {"rnn/linear/w": U.T, "rnn/linear/b": B, "rnn/linear_1/w": W.T, "rnn/linear_1/b": normal(N, seed=1)}
        parts = {"recurrent": "rnn/linear_1/w", "input": "rnn/linear/w", "bias": "rnn/linear/b"}
        path = written(tmp_path, haiku)
        assert_steps(read_network(path, parts=parts, ignore=["rnn/linear_1/b"]), step(np.tanh))
        two = read_network(written(tmp_path, PLAIN | {"b_in": normal(N, seed=1)}), parts={"bias": "b_in"})
        assert_steps(two, lambda h, x: np.tanh(h @ W.T + x @ U.T + B + normal(N, seed=1)))


def test_metadata_of_safetensors_state_the_activation(tmp_path):
    arrays = {"weight_ih_l0": U, "weight_hh_l0": W, "bias_ih_l0": B}
    save_file(
        {name: np.ascontiguousarray(one) for name, one in arrays.items()}, tmp_path / "a", {"nonlinearity": "relu"}
    )
    assert_steps(read_network(tmp_path / "a"), step(relu))
