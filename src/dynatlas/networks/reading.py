"""Read a ``Network`` from a file of weights, or from a module of Equinox or Flax."""

from pathlib import Path

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
    source: object,
    *,
    layer: str | None = None,
    readout: str | None = None,
    activation: str | None = None,
    reset: Reset | None = None,
    alpha: float | None = None,
    form: Form | None = None,
) -> Network:
    """Read a recurrent network that was trained elsewhere. Nothing in the file is executed.

    Layers, gate order and the variant of a GRU are inferred from names and shapes; ``Network.source`` lists what was
    found and what was assumed. A file does not record everything: verify the network on recorded inputs and states
    with ``check``.

    Args:
        source: a file of weights: a PyTorch state dict as ``.safetensors`` or ``.npz``, Keras' ``.weights.h5`` or
            whole model as ``.keras`` or ``.h5``, plain matrices as ``.npz``, or the output of ``dynatlas export``. Or a
            module in memory: a cell of Equinox or dynatlas, or Flax parameters as nested dictionaries.
        layer: the recurrent layer, if there are several that are not stacked.
        readout: the linear layer used as readout, if several fit; "" for none.
        activation: the activation, if the file does not record it and it is not tanh.
        reset: "after" or "before": where a GRU's reset gate acts relative to the recurrent product, if the file does
            not record it.
        alpha: dt/τ of a leaky network, if the file does not record it.
        form: whether the state of a leaky network is a "rate" (the default) or a "current".

    Raises:
        NetworkError: the network is of no supported type or not a dynamical system, or the file is damaged or unsafe.
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
    raise NetworkError(f"{path} has no recurrent layer of a supported type; it holds: {', '.join(arrays) or 'nothing'}")
