"""The one door for networks of others: a file of weights, or a module of Equinox or Flax, becomes a ``Network``."""

from pathlib import Path
from typing import Any

from dynatlas._io.hdf5 import read_hdf5
from dynatlas._io.untrusted import read_arrays
from dynatlas.errors import NetworkError
from dynatlas.networks.keras import keras_network
from dynatlas.networks.keras_files import read_keras_archive
from dynatlas.networks.layers import Form, Reset
from dynatlas.networks.matrices import are_matrices, matrix_network
from dynatlas.networks.network import Network
from dynatlas.networks.options import Options
from dynatlas.networks.pytorch import layers_in, torch_network
from dynatlas.networks.pytrees import cell_of, pytree_network


def read_network(
    source: Any,
    *,
    layer: str | None = None,
    readout: str | None = None,
    activation: str | None = None,
    reset: Reset | None = None,
    alpha: float | None = None,
    form: Form | None = None,
) -> Network:
    """Read a recurrent network that was trained elsewhere. Nothing in the file is executed.

    Layers, the order of gates and the variant of a GRU are told from names and shapes; ``Network.source`` says what was
    found and what had to be assumed. A file cannot say everything: hold the network against recorded inputs and states
    with ``check``.

    Args:
        source: a file with weights: a state dict of PyTorch as ``.safetensors`` or ``.npz``, Keras' ``.weights.h5`` or
            whole model as ``.keras`` or ``.h5``, plain matrices as ``.npz``, or what ``dynatlas export`` writes. Or a
            module in memory: a cell of Equinox or of dynatlas, or Flax' parameters as nested dictionaries.
        layer: the recurrent layer, where there are several that are not stacked.
        readout: the linear layer that reads out, where several would fit; "" for none.
        activation: the activation, where the file does not say and it is not tanh.
        reset: "after" or "before" the recurrent product, of a GRU whose file does not say.
        alpha: dt/τ of a leaky network, where it is not in the file.
        form: "rate" (the default) or "current": what the state of a leaky network is.

    Raises:
        NetworkError: no network that is known here, one that is not a dynamical system, or a file that is damaged or
            not to be trusted.

    Example:
        >>> import equinox as eqx, jax
        >>> network = read_network(eqx.nn.GRUCell(2, 3, key=jax.random.key(0)))
        >>> network.n_states, network.n_inputs
        (3, 2)
    """
    options = Options(layer, readout, activation, reset, alpha, form)
    if not isinstance(source, str | Path):
        return pytree_network(source, options)
    path = Path(source)
    form_of_file, arrays = read_arrays(path)
    if form_of_file == "keras":
        return keras_network(read_keras_archive(path), options)
    if form_of_file == "hdf5":
        return keras_network(read_hdf5(path), options)
    if "architecture" in arrays:
        return pytree_network(cell_of(arrays), options)
    if layers_in(arrays):
        return torch_network(arrays, options)
    if are_matrices(arrays):
        return matrix_network(arrays, options)
    raise NetworkError(f"{path} has no recurrent layer that is known here; it holds: {', '.join(arrays) or 'nothing'}")
