"""Weights as packages for trained networks of neuroscience save them, against one step of their published formulas."""

import re
from typing import Final

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.io import savemat

from dynatlas import read_network
from dynatlas.errors import NetworkError
from support.layout_files import I, N, O, assert_steps, normal, relu, written
from support.matlab import savemat_73

pytestmark = pytest.mark.usefixtures("quick_compilation")
ALPHA = 0.2


class TestPsychRNN:
    @staticmethod
    def arrays(dale_ratio=None):
        signs = np.where(np.arange(N) < 4, 1.0, -1.0)
        return {
            "init_state": 0.1 * np.ones((1, N)),
            "W_in": normal(N, I),
            "W_rec": normal(N, N),
            "W_out": normal(O, N),
            "b_rec": normal(N),
            "b_out": normal(O),
            "Dale_rec": np.diag(signs),
            "Dale_out": np.diag((signs > 0).astype(float)),
            "input_connectivity": np.ones((N, I)),
            "rec_connectivity": (normal(N, N, seed=3) > -1).astype(float),
            "output_connectivity": np.ones((O, N)),
            "dale_ratio": dale_ratio,
        }

    def test_currents_with_relu_and_a_mask(self, tmp_path):
        p = self.arrays()
        path = written(tmp_path, p)
        with pytest.raises(NetworkError, match=r"PsychRNN is leaky, and dt/tau is not in the file; set alpha=… \(--al"):
            read_network(path)
        network = read_network(path, alpha=ALPHA)
        w = p["W_rec"] * p["rec_connectivity"]
        assert_steps(
            network,
            lambda h, x: (1 - ALPHA) * h + ALPHA * (relu(h) @ w.T + x @ p["W_in"].T + p["b_rec"]),
            lambda h: relu(h) @ p["W_out"].T + p["b_out"],
        )
        assert network.assumed == ("activation relu",)

    def test_dales_law(self, tmp_path):
        p = self.arrays(0.8)
        w = np.abs(p["W_rec"] * p["rec_connectivity"]) @ p["Dale_rec"]
        expected = lambda h, x: (1 - ALPHA) * h + ALPHA * (relu(h) @ w.T + x @ np.abs(p["W_in"]).T + p["b_rec"])  # noqa: E731
        shown = np.abs(p["W_out"]) @ p["Dale_out"]
        # Files have the effective matrices, or in older versions the raw ones: both make the same network.
        for raw in (p, p | {"W_rec": w, "W_in": np.abs(p["W_in"]), "W_out": shown}):
            network = read_network(written(tmp_path, raw), alpha=ALPHA)
            assert_steps(network, expected, lambda h: relu(h) @ shown.T + p["b_out"])


class TestTrainRNNbrain:
    @staticmethod
    def arrays(**more):
        return {
            "W_out": normal(O, N),
            "W_inp": normal(N, I),
            "W_rec": normal(N, N),
            "bias_rec": normal(N),
            "y_init": np.zeros(N),
            "N": N,
            "dt": 1,
            "tau": 10,
        } | more

    @staticmethod
    def step(p, phi, slope=1.0, bias=None):
        drive = lambda h, x: h @ p["W_rec"].T + x @ p["W_inp"].T + (p["bias_rec"] if bias is None else bias)  # noqa: E731
        return lambda h, x: 0.9 * h + 0.1 * phi(slope * drive(h, x))

    def test_rates_with_the_files_own_time_constant(self, tmp_path):
        p = self.arrays()
        network = read_network(written(tmp_path, p))
        assert_steps(network, self.step(p, relu), lambda h: h @ p["W_out"].T)
        assert network.assumed == ("activation relu",)
        without = read_network(written(tmp_path, p | {"bias_rec": None}), activation="tanh")
        assert_steps(without, self.step(p, np.tanh, bias=0.0))
        assert without.assumed == ()

    def test_the_newer_form_records_the_activation_and_its_slope(self, tmp_path):
        masks = {
            "recurrent_mask": normal(N, N),
            "dale_mask": np.ones(N),
            "input_mask": normal(N, I),
            "positions": normal(N, 3),
        }
        p = self.arrays(
            activation_name="tanh", activation_slope=1.5, gamma=0.0, d=0.0, output_mask=normal(O, N), **masks
        )
        network = read_network(written(tmp_path, p))
        assert_steps(network, self.step(p, np.tanh, 1.5))
        assert network.assumed == ()
        with pytest.raises(NetworkError, match=r"'gamma' is 0.1; of trainRNNbrain only 0 is supported"):
            read_network(written(tmp_path, p | {"gamma": 0.1}))


class TestNN4N:
    def test_version_1(self, tmp_path):
        p = {
            "recurrent_layer.hidden_state": np.zeros(N),
            "recurrent_layer.input_layer.weight": normal(N, I),
            "recurrent_layer.input_layer.bias": normal(N),
            "recurrent_layer.hidden_layer.weight": normal(N, N),
            "recurrent_layer.hidden_layer.bias": normal(N, seed=2),
            "readout_layer.weight": normal(O, N),
            "readout_layer.bias": normal(O),
        }
        save_file(p, tmp_path / "ctrnn.safetensors")
        with pytest.raises(NetworkError, match=r"nn4n's defaults, dt 10 and tau 100, make 0.1"):
            read_network(tmp_path / "ctrnn.safetensors")
        w, u, b, _, *_ = (
            p[f"recurrent_layer.{name}"]
            for name in ("hidden_layer.weight", "input_layer.weight", "input_layer.bias", "hidden_layer.bias")
        )
        b = b + p["recurrent_layer.hidden_layer.bias"]
        assert_steps(
            read_network(tmp_path / "ctrnn.safetensors", alpha=ALPHA),
            lambda v, x: (1 - ALPHA) * v + ALPHA * (relu(v) @ w.T + x @ u.T + b),
            lambda v: relu(v) @ p["readout_layer.weight"].T + p["readout_layer.bias"],
        )

    def test_version_2_has_its_own_alpha_for_each_unit(self, tmp_path):
        at = "recurrent_layers.0."
        alpha = np.linspace(0.1, 0.6, N)
        p = {
            f"{at}leaky_layer.alpha": alpha,
            f"{at}leaky_layer.linear_layer.weight": normal(N, N),
            f"{at}leaky_layer.linear_layer.bias": normal(N),
            f"{at}projection_layer.weight": normal(N, I),
            f"{at}projection_layer.bias": np.zeros(N),
        }
        save_file(p, tmp_path / "rnn.safetensors")
        w, u, b = (
            p[at + name]
            for name in ("leaky_layer.linear_layer.weight", "projection_layer.weight", "leaky_layer.linear_layer.bias")
        )
        assert_steps(
            read_network(tmp_path / "rnn.safetensors", activation="tanh"),
            lambda v, x: (1 - alpha) * v + alpha * (np.tanh(v) @ w.T + x @ u.T + b),
        )


class TestLowRank:
    P: Final = {
        "wi": normal(I, N),
        "si": normal(I),
        "wo": normal(N, O),
        "so": normal(O),
        "b": normal(N),
        "h0": np.zeros(N),
    }

    def test_low_rank(self, tmp_path):
        p = self.P | {"m": normal(N, 2), "n": normal(N, 2, seed=5)}
        save_file(p, tmp_path / "lr.safetensors")
        network = read_network(tmp_path / "lr.safetensors", alpha=ALPHA)
        u = (p["wi"].T * p["si"]).T
        assert_steps(
            network,
            lambda h, x: h + ALPHA * (-h + np.tanh(h + p["b"]) @ p["n"] @ p["m"].T / N + x @ u),
            lambda h: np.tanh(h) @ (p["wo"] * p["so"]) / N,
        )
        assert network.assumed == ("activation tanh",)

    def test_full_rank(self, tmp_path):
        p = self.P | {"wrec": normal(N, N)}
        save_file(p, tmp_path / "fr.safetensors")
        u = (p["wi"].T * p["si"]).T
        assert_steps(
            read_network(tmp_path / "fr.safetensors", alpha=ALPHA),
            lambda h, x: h + ALPHA * (-h + np.tanh(h + p["b"]) @ p["wrec"].T + x @ u),
            lambda h: np.tanh(h) @ (p["wo"] * p["so"]),
        )


def test_ctrnn_adds_both_biases(tmp_path):
    p = {
        f"rnn.{name}.{what}": normal(N, *([size] if what == "weight" else []), seed=size)
        for name, size in (("input2h", I), ("h2h", N))
        for what in ("weight", "bias")
    }
    p |= {"fc.weight": normal(O, N), "fc.bias": normal(O)}
    save_file(p, tmp_path / "ctrnn.safetensors")
    network = read_network(tmp_path / "ctrnn.safetensors", alpha=ALPHA)

    def drive(h, x):
        return x @ p["rnn.input2h.weight"].T + h @ p["rnn.h2h.weight"].T + p["rnn.input2h.bias"] + p["rnn.h2h.bias"]

    assert_steps(
        network, lambda h, x: (1 - ALPHA) * h + ALPHA * relu(drive(h, x)), lambda h: h @ p["fc.weight"].T + p["fc.bias"]
    )
    with pytest.raises(NetworkError, match="dt/tau is not in the file"):
        read_network(tmp_path / "ctrnn.safetensors")
    signs = np.sign(normal(N, N, seed=4))
    save_file(p | {"rnn.h2h.mask": signs}, tmp_path / "ei.safetensors")
    with pytest.raises(NetworkError, match=r"'rnn.h2h.mask' \[6, 6\] is not used, and could be part of the dynamics"):
        read_network(tmp_path / "ei.safetensors", alpha=ALPHA)
    p["rnn.h2h.weight"] = np.abs(p["rnn.h2h.weight"]) * signs
    dale = read_network(tmp_path / "ei.safetensors", alpha=ALPHA, parts={"sign": "rnn.h2h.mask"})
    assert_steps(dale, lambda h, x: (1 - ALPHA) * h + ALPHA * relu(drive(h, x)))


@pytest.mark.parametrize("inputs", [I, N])
def test_rows_or_columns_by_the_convention_of_the_names(tmp_path, inputs):
    """Dive into Deep Learning multiplies rows, min-char-rnn columns, also where all matrices are square."""
    w, u, r, b = normal(N, N), normal(inputs, N, seed=1), normal(N, N, seed=2), normal(N)
    step = lambda h, x: np.tanh(x @ u + h @ w + b)  # noqa: E731
    rows = {"W_xh": u, "W_hh": w, "b_h": b, "W_hq": r, "b_q": np.zeros(N)}
    columns = {"Wxh": u.T, "Whh": w.T, "bh": b[:, None], "Why": r.T, "by": np.zeros((N, 1))}
    for arrays in (rows, columns):
        assert_steps(read_network(written(tmp_path, arrays)), step, lambda h: h @ r)


class TestSquareMatrices:
    def test_what_no_shape_shows_is_assumed_and_can_be_chosen(self, tmp_path):
        w, u = normal(N, N), normal(N, N, seed=1)
        path = written(tmp_path, {"W_rec": w, "W_in": u})
        network = read_network(path)
        assert "columns are multiplied, W h" in network.assumed
        assert_steps(network, lambda h, x: np.tanh(h @ w.T + x @ u.T))
        rows = read_network(path, orientation="rows")
        assert_steps(rows, lambda h, x: np.tanh(h @ w + x @ u))
        assert not any("multiplied" in one for one in rows.assumed)

    def test_the_readout_shows_it_if_the_input_does_not(self, tmp_path):
        w, u = normal(N, N), normal(N, N, seed=1)
        network = read_network(written(tmp_path, {"W_rec": w, "W_in": u, "W_out": normal(N, O)}))
        assert_steps(network, lambda h, x: np.tanh(h @ w + x @ u), lambda h: h @ normal(N, O))


@pytest.mark.usefixtures("processes")
class TestMatlab:
    P: Final = {
        "J": normal(N, N),
        "B": normal(N, I),
        "b": normal(N, 1),
        "W_out": normal(O, N),
        "tau": 100.0,
        "dt": 20.0,
    }

    @staticmethod
    def step(p):
        return lambda h, x: 0.8 * h + 0.2 * np.tanh(h @ p["J"].T + x @ p["B"].T + p["b"].ravel())

    def test_version_5(self, tmp_path):
        savemat(tmp_path / "net.mat", self.P | {"activation": "tanh"}, do_compression=True)
        network = read_network(tmp_path / "net.mat")
        assert_steps(network, self.step(self.P), lambda h: h @ self.P["W_out"].T)
        assert "activation tanh, as activation says" in network.source

    @pytest.mark.parametrize(
        ("trial", "why"),
        [("import os; os.abort()", "reading it crashed"), ("raise ValueError('odd tag')", "ValueError: odd tag")],
    )
    def test_damage_that_crashes_the_reader_is_found_in_another_process(self, trial, why, tmp_path, monkeypatch):
        savemat(tmp_path / "net.mat", self.P)
        monkeypatch.setattr("dynatlas._io.matlab.TRIAL", trial)
        with pytest.raises(NetworkError, match=f"is damaged or truncated: {why}"):
            read_network(tmp_path / "net.mat")

    def test_fields_of_a_structure(self, tmp_path):
        savemat(tmp_path / "net.mat", {"net": self.P})
        assert_steps(read_network(tmp_path / "net.mat"), self.step(self.P))

    def test_version_7_3(self, tmp_path):
        savemat_73(tmp_path / "net.mat", self.P | {"activation": "tanh"})
        assert_steps(read_network(tmp_path / "net.mat"), self.step(self.P))
        with pytest.raises(NetworkError, match=r"bytes.* max_gb"):
            read_network(tmp_path / "net.mat", max_gb=1e-7)

    def test_one_input_and_one_output_as_vectors(self, tmp_path):
        p = self.P | {"B": normal(N, 1)}
        vectors = {"W_rec": p["J"], "W_in": p["B"][:, 0], "b": p["b"], "W_out": normal(N), "alpha": np.array([[0.2]])}
        network = read_network(written(tmp_path, vectors))
        assert_steps(network, self.step(p), lambda h: h @ normal(N)[:, None])
        with_matrix = read_network(written(tmp_path, {"J": p["J"], "B": p["B"], "b": p["b"], "dt": 20, "tau": 100}))
        assert_steps(with_matrix, self.step(p))

    @pytest.mark.parametrize("cell", [np.array([1, "a"], object), np.array([1 + 2j])])
    def test_cells_and_complex_numbers_are_named(self, tmp_path, cell):
        savemat(tmp_path / "net.mat", self.P | {"extra": cell})
        with pytest.raises(NetworkError, match=r"'extra' is .*; expected real numbers.*--ignore extra"):
            read_network(tmp_path / "net.mat")
        network = read_network(tmp_path / "net.mat", ignore=["extra"])
        assert_steps(network, self.step(self.P))
        assert network.assumed == ("extra without effect", "the state is rates", "activation tanh")


def test_texts_name_the_activation_whatever_the_spelling(tmp_path):
    arrays = {"W_rec": normal(N, N), "W_in": normal(N, I)}
    for text, phi in (
        ("ReLU", relu),
        ("torch.nn.Tanh()", np.tanh),
        ("threshold-linear", relu),
        ("identity", lambda v: v),
    ):
        network = read_network(written(tmp_path, arrays | {"nonlinearity": text, "units": np.array(["a"] * N)}))
        assert_steps(network, lambda h, x, phi=phi: phi(h @ arrays["W_rec"].T + x @ arrays["W_in"].T))
    with pytest.raises(NetworkError, match=re.escape("'nonlinearity' is 'elu'; expected one of tanh, relu")):
        read_network(written(tmp_path, arrays | {"nonlinearity": "elu"}))
