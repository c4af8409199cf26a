"""Read a ``Network`` from a file of weights, or from a module of Equinox or Flax."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from dynatlas._io.hdf5 import Hdf5, read_hdf5
from dynatlas._io.matlab import is_matlab, read_matlab
from dynatlas._io.sizes import at_most
from dynatlas._io.untrusted import Arrays, Format, UnreadableArrayError, read_arrays
from dynatlas.errors import NetworkError
from dynatlas.networks.json_files import is_json, read_json
from dynatlas.networks.layers import Form, Reset
from dynatlas.networks.layouts.keras import are_keras_names, keras_network
from dynatlas.networks.layouts.keras_files import read_keras_archive
from dynatlas.networks.layouts.ledger import Ledger, shortened
from dynatlas.networks.layouts.names import plain_state_dict
from dynatlas.networks.layouts.plain import plain_network
from dynatlas.networks.layouts.pytorch import layers_in, torch_network
from dynatlas.networks.layouts.pytrees import cell_of, pytree_network
from dynatlas.networks.layouts.recognition import recognise
from dynatlas.networks.layouts.texts import activation_in
from dynatlas.networks.memory import module_activation, named_arrays
from dynatlas.networks.network import Network
from dynatlas.networks.options import Options, Orientation, check_options


def read_network(
    source: object,
    *,
    layer: str | None = None,
    readout: str | None = None,
    activation: str | None = None,
    reset: Reset | None = None,
    alpha: float | None = None,
    form: Form | None = None,
    orientation: Orientation | None = None,
    parts: Mapping[str, str] | None = None,
    ignore: Iterable[str] = (),
    max_gb: float | None = None,
) -> Network:
    """Read a recurrent network that was trained elsewhere. Nothing in the file is executed.

    Layers, gate order and the variant of a GRU are inferred from names and shapes; ``Network.source`` lists what was
    found, what was assumed and what was not used. An array that is not used and whose size fits the state or the input
    is an error: give its role in ``parts``, or its name in ``ignore``. A file does not record everything: verify the
    network on recorded inputs and states with ``check``.

    Args:
        source: a file of weights: a PyTorch state dict as ``.safetensors`` or ``.npz``, Keras' ``.weights.h5`` or
            whole model as ``.keras`` or ``.h5``, matrices as ``.npz``, ``.json`` or MATLAB's ``.mat``, or the output of
            ``dynatlas export``. Or in memory: a module or a state dict of PyTorch, a dictionary of arrays, a cell of
            Equinox or dynatlas, or Flax parameters as nested dictionaries.
        layer: the recurrent layer, if there are several that are not stacked.
        readout: the linear layer used as readout, if several fit; "" for none.
        activation: the activation, if the file does not record it and it is not the layout's default.
        reset: "after" or "before": where a GRU's reset gate acts relative to the recurrent product, if the file does
            not record it.
        alpha: dt/τ of a leaky network, if the file does not record it.
        form: whether the state of a leaky network is a "rate" or a "current"; by default as in the layout.
        orientation: whether square matrices multiply "columns", W h, or "rows", h W, if nothing in the file shows it.
        parts: names of arrays by role: recurrent, input, bias, inner_bias, recurrent_mask, sign, readout, readout_bias,
            alpha, tau, dt.
        ignore: names of arrays to leave out; ``*`` stands for any characters.
        max_gb: most memory that the numbers of a file may take, in units of 1e9 bytes; by default 0.5.

    Raises:
        NetworkError: the network is of no supported type or not a dynamical system, the file is damaged or unsafe, or
            it has an array without a role that could be part of the dynamics.

    Example:
        >>> import equinox as eqx, jax
        >>> network = read_network(eqx.nn.GRUCell(2, 3, key=jax.random.key(0)))
        >>> network.n_states, network.n_inputs
        (3, 2)
    """
    activation = "identity" if activation == "linear" else activation
    options = Options(layer, readout, activation, reset, alpha, form, orientation, dict(parts or {}), _names(ignore))
    check_options(options)
    with at_most(max_gb):
        return _read(source, options)


def _read(source: object, options: Options) -> Network:
    if not isinstance(source, str | Path):
        arrays = named_arrays(source)
        if arrays is None:
            return pytree_network(source, options)
        stated = module_activation(source)
        where = "the state dict" if hasattr(source, "state_dict") else "the dictionary"
        return _network(arrays, where, options, activation=None if stated is None else (stated, "the module"))
    path = Path(source)
    left_out: list[str] = []

    def leave_out(name: str) -> bool:
        if not any(fnmatchcase(name, one) for one in options.ignore):
            return False
        left_out.append(name)
        return True

    form_of_file: Format | None = None
    try:
        if is_matlab(path):
            arrays = read_matlab(path, leave_out)
        elif is_json(path):
            arrays = read_json(path, leave_out)
        else:
            form_of_file, arrays = read_arrays(path, leave_out)
    except UnreadableArrayError as error:
        way_out = f". To read the others, use --ignore {error.name} (ignore=[{error.name!r}])" if error.name else ""
        raise NetworkError(f"{error}{way_out}") from None
    if form_of_file == "keras":
        return keras_network(read_keras_archive(path), options)
    if form_of_file == "hdf5":
        return keras_network(read_hdf5(path), options)
    return _network(arrays, f"{path}", options, left_out)


def _names(ignore: Iterable[str]) -> tuple[str, ...]:
    return (ignore,) if isinstance(ignore, str) else tuple(ignore)


def _network(
    arrays: Arrays,
    where: str,
    options: Options,
    left_out: Sequence[str] = (),
    activation: tuple[str, str] | None = None,
) -> Network:
    """Return the network in arrays by name, whatever their layout.

    Args:
        arrays: the arrays.
        where: what messages call them.
        options: the options of the caller.
        left_out: names of ignored arrays that were not read.
        activation: the activation that a module states, and what states it.
    """
    if "architecture" in arrays:
        return pytree_network(cell_of(arrays), options)
    arrays, facts = plain_state_dict(arrays)
    ledger = Ledger(arrays, options, left_out)
    known = recognise(ledger.arrays, options)
    if layers_in(ledger.arrays) and (known is None or not known[0].needs):
        network = torch_network(ledger, options, activation)
    elif are_keras_names(ledger.arrays):
        found = activation_in(ledger, options)
        if found is not None and options.activation is None:
            options = options._replace(activation=found[0])
            facts = (*facts, f"activation {found[0]}, as {found[1]} says")
        network = keras_network(Hdf5(ledger.arrays, {}), options)
    elif known is not None:
        network = plain_network(ledger, *known, options)
    else:
        raise NetworkError(
            f"{where} has no recurrent layer of a supported type; it holds: "
            f"{shortened(f'{name} {list(values.shape)}' for name, values in arrays.items())}. Name the roles of "
            "arrays, such "
            "as --part recurrent=NAME --part input=NAME (parts={'recurrent': 'NAME'})"
        )
    return network if not facts else replace(network, source=(*network.source, *facts))
