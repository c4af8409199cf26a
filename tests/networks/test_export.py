"""Networks, tables and arrays of an atlas for other programs: read back by what reads them there."""

import json

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from safetensors.numpy import load_file

from dynatlas import read_network
from dynatlas.cells.activations import ACTIVATIONS, register_activation
from dynatlas.cells.cell import map_fixed
from dynatlas.cells.ctrnn import CTRNN
from dynatlas.cells.registry import CELLS
from dynatlas.errors import NetworkError
from dynatlas.networks.exporting import export_network
from dynatlas.networks.layers import Stack
from support.command_line import call
from support.synthetic_atlas import synthetic_atlas

pytestmark = pytest.mark.usefixtures("quick_compilation")


def cell_of(architecture, activation="tanh"):
    """A cell whose biases and initial state are not 0."""
    cell = CELLS[architecture](2, 3, 2, activation, key=jax.random.key(1))
    leaves, structure = jax.tree.flatten(cell)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    drawn = [0.7 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return map_fixed(lambda _, before: before, jax.tree.unflatten(structure, drawn), cell)


@pytest.mark.parametrize(("architecture", "activation"), [("vanilla", "tanh"), ("vanilla", "relu"), ("lstm", "tanh")])
def test_a_state_dict_in_pytorchs_layout_steps_as_the_cell(architecture, activation, tmp_path):
    cell = cell_of(architecture, activation)
    assert export_network(cell, tmp_path / "net.safetensors") < 1e-14
    network = read_network(tmp_path / "net.safetensors", activation="relu" if activation == "relu" else None)
    inputs = np.random.default_rng(0).normal(size=(1, 6, 2))
    states = network.run(inputs, np.asarray(cell.initial_state)[None])[0]
    expected, outputs = cell.respond(jnp.asarray(inputs[0], jnp.float32))
    np.testing.assert_allclose(states, expected, atol=2e-6)
    np.testing.assert_allclose(network.read_out(states), outputs, atol=5e-6)


@pytest.mark.parametrize(("architecture", "activation"), [("vanilla", "tanh"), ("vanilla", "relu"), ("lstm", "tanh")])
def test_pytorch_itself_steps_so(architecture, activation, tmp_path):
    """Run where PyTorch is installed; it is no dependency."""
    torch = pytest.importorskip("torch")
    cell = cell_of(architecture, activation)
    export_network(cell, tmp_path / "net.safetensors")
    kind = torch.nn.LSTM if architecture == "lstm" else torch.nn.RNN
    options = {} if architecture == "lstm" else {"nonlinearity": activation}
    module = torch.nn.ModuleDict({"rnn": kind(2, 3, batch_first=True, **options), "readout": torch.nn.Linear(3, 2)})
    module.load_state_dict(
        {name: torch.tensor(values) for name, values in load_file(tmp_path / "net.safetensors").items()}
    )
    inputs = np.random.default_rng(0).normal(size=(1, 6, 2)).astype(np.float32)
    initial = torch.tensor(np.asarray(cell.initial_state))[None, None]
    begin = tuple(part.contiguous() for part in initial.chunk(2, 2)) if architecture == "lstm" else initial
    with torch.no_grad():
        outputs = module["readout"](module["rnn"](torch.tensor(inputs), begin)[0])[0].numpy()
    np.testing.assert_allclose(outputs, cell.respond(jnp.asarray(inputs[0]))[1], atol=2e-6)


@pytest.mark.parametrize(
    ("architecture", "activation", "why"),
    [
        ("gru", "tanh", "its reset gate acts before the recurrent product, that of nn.GRU after; export it as .npz"),
        ("ugrnn", "tanh", "PyTorch has no such layer; export it as .npz"),
        ("lstm", "relu", "nn.LSTM has tanh, and no relu; export it as .npz"),
    ],
)
def test_what_pytorch_has_no_layer_for_goes_to_npz_alone(architecture, activation, why, tmp_path):
    cell = cell_of(architecture, activation)
    with pytest.raises(NetworkError, match=why):
        export_network(cell, tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []
    assert export_network(cell, tmp_path / "net.npz") < 1e-14
    read = read_network(tmp_path / "net.npz").step
    assert (type(read), read.activation) == (type(cell), activation)
    for mine, theirs in zip(jax.tree.leaves(read), jax.tree.leaves(cell), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    "settings",
    [
        {"tau": [25.0, 400.0]},
        {"tau": [25.0, 400.0], "learn_tau": True},
        {"rank": 2},
        {"rank": 1, "full_rank_part": True},
        {"excitatory": 0.7, "density": 0.5, "areas": 2},
    ],
)
@pytest.mark.parametrize("form", ["rates", "currents"])
@pytest.mark.parametrize("activation", ["softplus", "gelu"])
def test_a_leaky_network_goes_elsewhere_with_its_weights_multiplied_out(form, activation, settings, tmp_path):
    cell = CTRNN(2, 8, 2, activation, form=form, key=jax.random.key(3), **settings)
    assert export_network(cell, tmp_path / "net.npz") < 1e-12
    with np.load(tmp_path / "net.npz") as file:
        stored = dict(file)
    assert (str(stored["architecture"]), str(stored["activation"]), str(stored["form"])) == ("ctrnn", activation, form)
    np.testing.assert_allclose(stored["recurrent_weights"], cell.connectivity(), atol=1e-6)
    np.testing.assert_allclose(stored["alpha"], cell.alpha, atol=1e-6)
    network = read_network(tmp_path / "net.npz")
    random = np.random.default_rng(0)
    states, inputs = random.normal(size=(50, 8)), random.normal(size=(50, 2))
    with jax.enable_x64(True):
        exact = cell.astype(jnp.float64)
        following = jax.vmap(exact)(states, inputs)
        seen = jax.vmap(network.step)(states, inputs)
        outputs = jax.vmap(exact.readout)(following)
    np.testing.assert_allclose(seen, following, atol=1e-12)
    np.testing.assert_allclose(network.read_out(following), outputs, atol=1e-12)
    # The same numbers under names that any layout has.
    names = {"W_rec": "recurrent_weights", "W_in": "input_weights", "b": "bias", "W_out": "readout_weights"}
    arrays = {theirs: stored[ours] for theirs, ours in names.items()} | {"b_out": stored["readout_bias"]}
    np.savez(tmp_path / "matrices.npz", **arrays, alpha=stored["alpha"], activation=activation)
    elsewhere = read_network(tmp_path / "matrices.npz", form=form.removesuffix("s"))
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.vmap(elsewhere.step)(states, inputs), following, atol=1e-12)
    with pytest.raises(NetworkError, match=r"a CTRNN .* has no state dict: PyTorch has no such layer"):
        export_network(cell, tmp_path / "net.safetensors")


def test_a_file_of_a_leaky_network_that_names_what_there_is_not_is_refused(tmp_path):
    export_network(CTRNN(2, 3, 2, key=jax.random.key(3)), tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as file:
        stored = dict(file)
    for changes, message in (
        ({"form": np.array("voltage")}, "form is 'voltage'; expected rates or currents"),
        ({"alpha": np.array([0.1, 0.2, 1.5])}, "alpha = dt/tau is .*; expected numbers in"),
        ({"activation": np.array("elu")}, "the file names 'elu'; expected one of tanh, relu, sigmoid"),
    ):
        np.savez(tmp_path / "other.npz", **stored | changes)
        with pytest.raises(NetworkError, match=message):
            read_network(tmp_path / "other.npz")


def test_activations_that_pytorch_or_others_do_not_have_are_named(tmp_path):
    with pytest.raises(NetworkError, match="and relu, and no sigmoid; export it"):
        export_network(cell_of("vanilla", "sigmoid"), tmp_path / "net.safetensors")
    register_activation("cubed")(lambda values: values**3)
    try:
        with pytest.raises(NetworkError, match="the activation 'cubed' is not built into dynatlas"):
            export_network(cell_of("vanilla", "cubed"), tmp_path / "net.npz")
    finally:
        del ACTIVATIONS["cubed"]


def keras_file(cell, path):
    """The cell as Keras writes it: kernels [inputs, gates·units], the gates in Keras' order, one bias."""
    order = {
        "Vanilla": ("candidate",),
        "GRU": ("update", "reset", "candidate"),
        "LSTM": ("input", "forget", "candidate", "output"),
    }[type(cell).__name__]
    with h5py.File(path, "w") as file:
        for number, values in enumerate((cell.input_weights, cell.recurrent_weights, cell.bias)):
            parts = dict(zip(cell.gates, np.split(np.asarray(values), len(cell.gates)), strict=True))
            file[f"layers/layer/cell/vars/{number}"] = np.concatenate([parts[gate] for gate in order]).T


def as_read_elsewhere(cell, folder):
    """The networks read from every file that a cell can be written to."""
    yield read_network(cell)
    export_network(cell, folder / "own.npz")
    yield read_network(folder / "own.npz")
    name = type(cell).__name__
    if name == "Vanilla" or (name == "LSTM" and cell.activation == "tanh"):
        export_network(cell, folder / "torch.safetensors")
        yield read_network(folder / "torch.safetensors", activation=None if name == "LSTM" else cell.activation)
    if name == "Vanilla":
        np.savez(folder / "matrices.npz", W=cell.recurrent_weights, U=cell.input_weights, bias=cell.bias)
        yield read_network(folder / "matrices.npz", activation=cell.activation)
    if name in ("Vanilla", "GRU", "LSTM"):
        keras_file(cell, folder / "keras.weights.h5")
        yield read_network(folder / "keras.weights.h5", activation=cell.activation)


@pytest.mark.parametrize("scale", [0.2, 4.0])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("architecture", list(CELLS))
def test_a_cell_that_was_written_and_read_has_the_same_step_box_and_names(architecture, activation, scale, tmp_path):
    drawn = cell_of(architecture, activation)
    cell = map_fixed(lambda _, before: before, jax.tree.map(lambda leaf: scale * leaf, drawn), drawn)
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), cell)
    random = np.random.default_rng(1)
    states, inputs = random.normal(size=(20, len(cell.initial_state))), random.normal(size=(20, 2))
    with jax.enable_x64(True):
        following, box = np.asarray(jax.vmap(exact)(states, inputs)), exact.box(jnp.asarray(inputs[0]))
    assert (box is None) == (activation == "relu" and (architecture == "lstm" or scale == 4))
    for network in as_read_elsewhere(cell, tmp_path):
        np.testing.assert_allclose(network.run(inputs[:, None], states)[:, 0], following, rtol=0, atol=1e-14)
        assert network.state_labels[:3] == ("h0", "h1", "h2")
        assert network.state_labels[3:] == (("c0", "c1", "c2") if architecture == "lstm" else ())
        seen = network.box(inputs[0])
        assert (seen is None) == (box is None)
        if box is not None:
            np.testing.assert_allclose(seen, box, rtol=1e-12)
        if isinstance(network.step, Stack):  # and back: the rows of its weights are again the cell's
            (layer,) = network.step.layers
            assert layer.kind is type(cell)
            for name in ("recurrent_weights", "input_weights"):
                np.testing.assert_array_equal(getattr(layer, name), getattr(cell, name))
            np.testing.assert_array_equal(layer.input_bias + layer.recurrent_bias, cell.bias)


def test_a_file_that_would_step_otherwise_is_not_written(tmp_path, monkeypatch):
    cell = cell_of("lstm")
    from dynatlas.networks import exporting

    right = exporting.torch_state_dict

    def swapped(cell):
        """Input and forget gates exchanged."""
        return {
            name: np.concatenate([v[3:6], v[:3], v[6:]]) if "hh" in name and v.ndim == 2 else v
            for name, v in right(cell).items()
        }

    monkeypatch.setattr(exporting, "torch_state_dict", swapped)
    with pytest.raises(
        NetworkError, match="not reproduce the record: over 100 single steps of whole states, the largest"
    ):
        export_network(cell, tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_a_cell_that_is_spoilt_is_explained(tmp_path):
    export_network(cell_of("gru"), tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as file:
        arrays = dict(file)

    def spoil(**changed):
        np.savez(tmp_path / "spoilt.npz", **(arrays | changed))
        return read_network(tmp_path / "spoilt.npz")

    with pytest.raises(NetworkError, match="the file names 'gro'; expected one of vanilla, ugrnn, gru, lstm"):
        spoil(architecture=np.array("gro"))
    with pytest.raises(NetworkError, match=r"'bias' has the shape \(4,\); expected \(9,\)"):
        spoil(bias=np.zeros(4))
    with pytest.raises(NetworkError, match="the file has no input_weights of 2 axes; expected the fields of a gru"):
        spoil(input_weights=np.zeros(4))


class TestCommand:
    @pytest.fixture(scope="class")
    def atlas(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("export") / "atlas"
        synthetic_atlas(tasks=[{"kind": "flip_flop", "steps": 20}]).store(folder)
        return folder

    def test_a_table(self, atlas, tmp_path, capsys):
        assert call("export", atlas, "fixed_points", tmp_path / "points.csv") == 0
        assert call("export", atlas, "fixed_points", tmp_path / "points.parquet") == 0
        assert "rows of the table fixed_points" in capsys.readouterr().out
        text, exact = pd.read_csv(tmp_path / "points.csv"), pd.read_parquet(tmp_path / "points.parquet")
        assert len(text) == len(exact) > 0
        np.testing.assert_allclose(text.q, exact.q, rtol=1e-12)
        np.testing.assert_allclose(json.loads(text.readout[0]), exact.readout[0])

    def test_arrays(self, atlas, tmp_path):
        assert call("export", atlas, "distances/flip_flop/cka", tmp_path / "cka.nc") == 0
        from dynatlas import Atlas

        expected = Atlas.open(atlas).arrays("distances/flip_flop/cka")
        with xr.open_dataset(tmp_path / "cka.nc", engine="scipy") as seen:
            np.testing.assert_array_equal(seen["distance"].values, expected["distance"].values)
            assert [str(name) for name in seen["network"].values.astype(str)] == list(expected["network"].values)

    def test_what_is_not_there_and_other_endings(self, atlas, tmp_path, capsys):
        assert call("export", atlas, "fixed_points", tmp_path / "points.xlsx") == 8
        assert "points.xlsx ends in '.xlsx'; expected .npz or .safetensors for a network" in capsys.readouterr().err
        assert call("export", atlas, "no-such", tmp_path / "net.npz") == 4
        assert "no-such" in capsys.readouterr().err
