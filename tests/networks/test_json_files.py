"""Weights in JSON: the same network as in .npz, and one sentence for what is none."""

import json

import numpy as np
import pytest

from dynatlas import read_network
from dynatlas.errors import NetworkError
from support.layout_files import I, N, O, assert_steps, normal, relu, written

pytestmark = pytest.mark.usefixtures("quick_compilation")

TRAINED = {  # as trainRNNbrain saves it: get_params(), with lists for arrays
    "activation_name": "relu",
    "activation_slope": 1.5,
    "W_out": normal(O, N).tolist(),
    "W_inp": normal(N, I).tolist(),
    "W_rec": normal(N, N).tolist(),
    "bias_rec": normal(N).tolist(),
    "y_init": [0.0] * N,
    "N": N,
    "dt": 1,
    "tau": 10,
}


def saved(tmp_path, content, **options):
    text = content if isinstance(content, str) else json.dumps(content, **options)
    (tmp_path / "net.json").write_text(text)
    return tmp_path / "net.json"


def step(bias):
    """One step of trainRNNbrain with dt/tau = 0.1 and slope 1.5."""
    w, u = np.array(TRAINED["W_rec"]), np.array(TRAINED["W_inp"])
    return lambda h, x: 0.9 * h + 0.1 * relu(1.5 * (h @ w.T + x @ u.T + bias))


@pytest.mark.parametrize("indent", [None, 4])
def test_the_parameters_of_train_rnn_brain(tmp_path, indent):
    network = read_network(saved(tmp_path, TRAINED, indent=indent))
    assert_steps(network, step(np.array(TRAINED["bias_rec"])), lambda h: h @ np.array(TRAINED["W_out"]).T)
    assert network.assumed == ()
    assert network.source == read_network(written(tmp_path, TRAINED)).source


def test_null_is_no_bias(tmp_path):
    network = read_network(saved(tmp_path, TRAINED | {"bias_rec": None}))
    assert_steps(network, step(0.0))
    assert "not used: bias_rec (None)" in network.source
    assert "leaky with alpha = dt/tau, 0.1" in network.source


def test_the_rules_for_unused_arrays_hold(tmp_path):
    with pytest.raises(NetworkError, match=r"'hidden' .* could be part of the dynamics by size"):
        read_network(saved(tmp_path, TRAINED | {"hidden": normal(N, N).tolist()}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1.0, 2.0], [3.0]], "no array of numbers: .*inhomogeneous"),
        ([1.0, None], "no array of numbers: it holds null"),
        (["1", "2"], "no array of numbers: it holds a text"),
        ({"slope": 1.0}, "no array of numbers: it holds an object"),
        ([{}], "no array of numbers: it holds an object"),
        (10**400, "no array of numbers: int too large"),
        ("x" * 1001, "no array of numbers: it holds a text"),
    ],
)
def test_a_value_that_is_no_array_can_be_ignored(tmp_path, value, message):
    path = saved(tmp_path, TRAINED | {"extra": value})
    with pytest.raises(NetworkError, match=f"'extra' is {message}.*--ignore extra"):
        read_network(path)
    assert_steps(read_network(path, ignore="extra"), step(np.array(TRAINED["bias_rec"])))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_weights_are_finite(tmp_path, value):
    text = json.dumps(TRAINED | {"bias_rec": ["?"] * N}).replace('"?"', value)
    with pytest.raises(NetworkError, match=r"bias has NaN or infinity"):
        read_network(saved(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"W_rec": [[1.0, 2', "is damaged or no JSON"),
        ('{"W_rec": ' + "9" * 5000 + "}", "is damaged or no JSON"),
        ('{"W_rec": ' + "[" * 100_000 + "]" * 100_000 + "}", "is damaged or no JSON"),
        ('{"W_rec": ' + "[" * 600 + "]" * 600 + "}", "no array of numbers"),
        ('{"W_rec": ' + "[" * 60 + "]" * 60 + "}", "no array can have"),
        ('{"W_rec": [[1]], "W_rec": [[2]]}', "two values have the same name"),
        ('{"layers": 3}', "no recurrent layer of a supported type"),
        ("{}", "no recurrent layer of a supported type"),
        ("[[1.0]]", "not a supported file of weights; .* of a network also .mat or .json"),
    ],
)
def test_what_is_no_network_is_one_clear_error(tmp_path, text, message):
    with pytest.raises(NetworkError, match=message):
        read_network(saved(tmp_path, text))


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path):
    path = saved(tmp_path, TRAINED)
    with pytest.raises(NetworkError, match=r"bytes to parse; .*--max-gb"):
        read_network(path, max_gb=1e-6)
    read_network(path, max_gb=1.0)
