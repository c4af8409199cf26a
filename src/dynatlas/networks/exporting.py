"""One of our cells as a file for elsewhere: PyTorch's layout where its form allows it, plain arrays always.

The written file is read back and compared with the cell, step by step, before it gets its name.
"""

from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dynatlas._io.targets import write_file
from dynatlas._io.tensors import save_tensors
from dynatlas._io.untrusted import format_of
from dynatlas.cells.architectures import LSTM, StagedCell, Vanilla
from dynatlas.cells.cell import Cell
from dynatlas.errors import NetworkError
from dynatlas.networks.checking import check
from dynatlas.networks.layers import GATES, restack
from dynatlas.networks.layouts.pytrees import cell_arrays, one_of_ours
from dynatlas.networks.reading import read_network

SAMPLES: Final = 100  # random states that one step is compared on
TOLERANCE: Final = 1e-6  # weights are float32


def export_network(cell: Cell, path: Path, *, force: bool = False) -> float:
    """Write a cell as ``.npz``, or as a state dict of PyTorch in ``.safetensors``; give the largest difference.

    The state dict fits nn.RNN (Vanilla, with ``nonlinearity`` tanh or relu) or nn.LSTM (tanh) as ``rnn`` and nn.Linear
    as ``readout``. Our GRU applies its reset gate before the recurrent product and torch's after; the UGRNN, the CTRNN
    and other activations have no counterpart there: these go to ``.npz``, which has the cell's own fields, its gates in
    the order of ``cells``, and the names of architecture and activation. A CTRNN's file has the recurrent matrix
    multiplied out, whatever its rank, signs and mask, ``alpha`` and ``form``. ``read_network`` reads both. An existing
    file that differs is replaced only with ``force``.

    Returns:
        The largest difference between one step of the cell and one of the file, over 100 random states.

    Raises:
        NetworkError: a user-defined cell, a form that the format has no place for, another ending, or a file that
            exists or cannot be written.
    """
    if path.suffix not in (".npz", ".safetensors"):
        raise NetworkError(f"{path.name} ends in {path.suffix!r}; expected .npz or .safetensors")
    ours = one_of_ours(cell)
    arrays = torch_state_dict(ours) if path.suffix == ".safetensors" else cell_arrays(ours)

    def write(temporary: Path) -> float:
        if path.suffix == ".safetensors":
            save_tensors(arrays, temporary)
        else:
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        return _difference(ours, temporary)

    return write_file(path, write, force=force, error=NetworkError)


def torch_state_dict(cell: StagedCell) -> dict[str, NDArray[Any]]:
    """A cell's weights by PyTorch's names and in PyTorch's order of gates; the bias stands in ``bias_ih_l0``.

    Raises:
        NetworkError: PyTorch has no layer of this form.

    Example:
        >>> cell = Vanilla(2, 3, 1, key=jax.random.key(0))
        >>> {name: values.shape for name, values in torch_state_dict(cell).items()}["rnn.weight_hh_l0"]
        (3, 3)
    """
    known: dict[type[StagedCell], tuple[str, ...]] = {Vanilla: ("tanh", "relu"), LSTM: ("tanh",)}
    if not isinstance(cell, Vanilla | LSTM) or cell.activation not in known[type(cell)]:
        why = {
            "GRU": "its reset gate acts before the recurrent product, that of nn.GRU after",
            "LSTM": f"nn.LSTM has tanh, and no {cell.activation}",
            "Vanilla": f"nn.RNN has tanh and relu, and no {cell.activation}",
        }.get(type(cell).__name__, "PyTorch has no such layer")
        raise NetworkError(f"a {type(cell).__name__} {cell.activation} has no state dict: {why}; export it as .npz")

    def theirs(values: Any) -> NDArray[Any]:
        return restack(np.asarray(values), cell.gates, GATES[type(cell)])

    return {
        "rnn.weight_ih_l0": theirs(cell.input_weights),
        "rnn.weight_hh_l0": theirs(cell.recurrent_weights),
        "rnn.bias_ih_l0": theirs(cell.bias),
        "rnn.bias_hh_l0": np.zeros_like(theirs(cell.bias)),
        "readout.weight": np.asarray(cell.readout_weights),
        "readout.bias": np.asarray(cell.readout_bias),
    }


def _difference(cell: StagedCell, path: Path) -> float:
    """How far one step of the file is from one of the cell, at most; NetworkError if that is more than rounding."""
    is_relu_state_dict = format_of(path) == "safetensors" and cell.activation == "relu"
    network = read_network(path, activation="relu" if is_relu_state_dict else None)
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), cell)
    random = np.random.default_rng(0)
    states = random.uniform(-1, 1, (SAMPLES, network.n_states))
    inputs = random.normal(size=(SAMPLES, network.n_inputs))
    with jax.enable_x64(True):
        following = jax.vmap(exact)(jnp.asarray(states), jnp.asarray(inputs))
        outputs = jax.vmap(exact.readout)(following)
    shown = np.abs(network.read_out(following) - np.asarray(outputs)).max()
    stepped = check(network, {"states": states, "inputs": inputs, "following": np.asarray(following)}, TOLERANCE)
    return max(stepped.error, float(shown))
