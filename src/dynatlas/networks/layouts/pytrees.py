"""Recurrent modules in memory: cells of Equinox, cells of Flax by their parameters, cells of dynatlas and their arrays.

    Equinox   GRUCell (weight_ih, weight_hh, bias, bias_n), LSTMCell (weight_ih, weight_hh, bias): PyTorch's order of
              gates, a GRU with its reset gate after the recurrent product
    Flax      linen: one kernel for each gate, ir iz in hr hz hn (GRUCell), ii if ig io hi hf hg ho (LSTMCell), i h
              (SimpleCell); nnx: all gates in dense_i and dense_h (GRUCell, OptimizedLSTMCell, SimpleCell)
    dynatlas  ``dynatlas.cells``

Kernels of Flax multiply rows, h W. Flax stores an LSTM's state as (c, h); here it is (h, c).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, get_args

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dynatlas._io.untrusted import Arrays
from dynatlas.cells.activations import BUILT_IN_ACTIVATIONS
from dynatlas.cells.architectures import GRU, LSTM, Architecture, StagedCell, Vanilla
from dynatlas.cells.cell import Cell, state_labels
from dynatlas.cells.ctrnn import CTRNN
from dynatlas.cells.ctrnn import Form as CellForm
from dynatlas.cells.registry import BUILT_IN, CELLS
from dynatlas.errors import NetworkError
from dynatlas.networks.layers import GATES, KINDS, Layer, Matrix, Stack
from dynatlas.networks.layouts.ledger import Ledger
from dynatlas.networks.network import Network, network_of_layers
from dynatlas.networks.options import Options, choose, refuse_options

# Flax' letters of the gates, in the order of GATES.
LINEN: Final[dict[type[Architecture], tuple[str, ...]]] = {
    GRU: ("r", "z", "n"),
    LSTM: ("i", "f", "g", "o"),
    Vanilla: ("",),
}

# Names of the dense layers in a cell.
_GROUPS: Final = {f"{of}{gate}" for of in "ih" for gates in LINEN.values() for gate in gates} | {"dense_i", "dense_h"}

NAMES: Final = ("architecture", "activation")
_STORED: Final = {"leak": "alpha"}  # names of fields in files


def pytree_network(tree: object, options: Options) -> Network:
    """Return the network in a module or in a tree of parameters.

    Raises:
        NetworkError: not exactly one recurrent cell of a supported type.
    """
    because = "a module defines them"
    refuse_options(options, "reset", "alpha", "form", "readout", "orientation", "parts", because=because)
    if isinstance(tree, Mapping):
        return _flax_network(tree, options)
    refuse_options(options, "ignore", "activation", because=because)
    if isinstance(tree, StagedCell):
        return _dynatlas_network(tree)
    if hasattr(tree, "weight_ih") and hasattr(tree, "weight_hh"):
        return _single_layer(_equinox(tree), f"{type(tree).__module__.split('.')[0]}'s {type(tree).__name__}")
    if callable(getattr(tree, "save_weights", None)):
        raise NetworkError(f"a model of Keras, {type(tree).__name__}, is read from its file: model.save('NEW.keras')")
    raise NetworkError(
        f"{type(tree).__name__} is no network of a supported type; expected a file, a cell of Equinox or dynatlas, or "
        "Flax parameters as nested dictionaries. Wrap any other step function as Network(step=…)"
    )


def network_of_cell(cell: Cell, n_inputs: int) -> Network:
    """Return the network of a cell of an atlas, user-defined ones included, in float64.

    Args:
        cell: the cell.
        n_inputs: its input channels, which a user-defined cell does not record.

    Example:
        >>> network_of_cell(CELLS["gru"](2, 3, 1, key=jax.random.key(0)), 2).n_states
        3
    """
    if isinstance(cell, StagedCell):
        return _dynatlas_network(cell)
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), cell)
    return Network(
        step=exact,
        n_states=exact.initial_state.shape[0],
        n_inputs=n_inputs,
        readout=exact.readout,
        bounds=lambda inputs: exact.box(jnp.asarray(inputs)),
        state_labels=state_labels(exact.units, len(exact.initial_state)),
        source=(f"user-defined {type(cell).__name__}: {n_inputs} inputs, {exact.units} units",),
    )


def _dynatlas_network(cell: StagedCell) -> Network:
    """Return the network of a cell of dynatlas, in float64."""
    exact = exact_dense(cell)
    name = type(cell).__name__
    return Network(
        step=exact,
        n_states=exact.initial_state.shape[0],
        n_inputs=exact.input_weights.shape[1],
        readout=exact.readout,
        bounds=lambda inputs: exact.box(jnp.asarray(inputs)),
        state_labels=state_labels(exact.units, len(exact.initial_state)),
        source=(f"dynatlas {name} {cell.activation}: {exact.input_weights.shape[1]} inputs, {cell.units} units",),
    )


def _flax_network(tree: Mapping[str, object], options: Options) -> Network:
    """Return the network of the only cell in a tree, or of the chosen one."""
    cells = dict(_cells_in(tree, ""))
    name = choose("recurrent cell", list(cells), options.layer, "layer=…")
    ledger = Ledger(dict(_leaves(tree, "")), options)
    layer = _flax(cells[name], options)
    parts = ("kernel", "bias")
    gates = [group for group in cells[name] if group in _GROUPS]
    for path in [f"{name}/{gate}/{part}".lstrip("/") for gate in gates for part in parts]:
        if path in ledger.arrays:
            ledger.use(path)
    for other in (one for one in cells if one != name):
        for path in [path for path in ledger.rest if path.startswith(f"{other}/")]:
            ledger.explain(path, f"of the cell {other}, which was not chosen")
    if options.activation is None:
        ledger.assume("activation tanh")
    rest = ledger.close({layer.units, len(layer.recurrent_weights)}, layer.n_inputs, has_roles=False)
    network = _single_layer(layer, f"Flax cell {name or '(the whole tree)'}", is_assumed=options.activation is None)
    return replace(network, source=(*network.source, *rest), assumed=tuple(ledger.assumed))


def _leaves(tree: Mapping[str, object], path: str) -> list[tuple[str, NDArray[Any]]]:
    """Return the arrays in a nested dictionary with their paths."""
    found: list[tuple[str, NDArray[Any]]] = []
    for name, value in tree.items():
        place = f"{path}/{name}" if path else f"{name}"
        if isinstance(value, Mapping):
            found += _leaves(value, place)
        elif np.asarray(value).dtype.kind in "fiubU":
            found.append((place, np.asarray(value)))
    return found


def _single_layer(layer: Layer, description: str, *, is_assumed: bool = False) -> Network:
    facts = [f"{description}: {layer.kind.__name__}, {layer.n_inputs} inputs, {layer.units} units"]
    if layer.kind is GRU:
        facts.append("the reset gate acts after the recurrent product")
    facts.append(f"activation {layer.activation}{', assumed: parameters do not record it' if is_assumed else ''}")
    return network_of_layers(Stack((layer,)), None, tuple(facts))


def _equinox(module: object) -> Layer:
    given, recurrent = (np.asarray(getattr(module, name), np.float64) for name in ("weight_ih", "weight_hh"))
    kind = KINDS.get(recurrent.shape[0] // max(recurrent.shape[1], 1))
    if kind not in (GRU, LSTM):
        raise NetworkError(f"weight_hh has the shape {recurrent.shape}; expected a GRUCell or an LSTMCell of Equinox")
    bias, bias_n = (getattr(module, name, None) for name in ("bias", "bias_n"))
    given_bias = np.zeros(len(recurrent)) if bias is None else np.asarray(bias, np.float64)
    recurrent_bias = np.zeros(len(recurrent))
    if kind is GRU and bias_n is not None:
        recurrent_bias[2 * recurrent.shape[1] :] = np.asarray(bias_n, np.float64)
    return Layer(given, recurrent, given_bias, recurrent_bias, kind=kind).restacked(GATES[kind])


def _cells_in(tree: Mapping[str, object], path: str) -> list[tuple[str, Mapping[str, object]]]:
    """Return the cells in a nested dictionary with their paths."""
    names = set(tree)
    for gates in LINEN.values():
        if {f"{of}{gate}" for of in "ih" for gate in gates} <= names and all(_is_dense(tree[f"h{g}"]) for g in gates):
            return [(path, tree)]
    if {"dense_i", "dense_h"} <= names:
        return [(path, tree)]
    below = {name: value for name, value in tree.items() if isinstance(value, Mapping)}
    return [
        found for name, value in below.items() for found in _cells_in(value, f"{path}/{name}" if path else f"{name}")
    ]


def _is_dense(item: object) -> bool:
    return isinstance(item, Mapping) and "kernel" in item


def _flax(cell: Mapping[str, Any], options: Options) -> Layer:
    """Return the layer of a Flax cell; parameters do not record the activation."""
    activation = options.activation or "tanh"
    if "dense_i" in cell:
        given, given_bias = _dense(cell["dense_i"])
        recurrent, recurrent_bias = _dense(cell["dense_h"])
        kind = KINDS.get(recurrent.shape[0] // max(recurrent.shape[1], 1))
        if kind is None:
            raise NetworkError(f"dense_h has a kernel of the shape {recurrent.T.shape}; expected 1, 3 or 4 gates")
    else:
        kind = next(kind for kind, gates in LINEN.items() if {f"h{gate}" for gate in gates} <= set(cell))
        (given, given_bias), (recurrent, recurrent_bias) = (
            tuple(np.concatenate(parts) for parts in zip(*(_dense(cell[f"{of}{g}"]) for g in LINEN[kind]), strict=True))
            for of in "ih"
        )
    return Layer(given, recurrent, given_bias, recurrent_bias, activation, kind).restacked(GATES[kind])


def _dense(layer: Mapping[str, object]) -> tuple[Matrix, Matrix]:
    """Return a dense layer's weights [outputs, inputs] and bias [outputs]."""
    kernel = np.asarray(layer["kernel"], np.float64).T
    bias = layer.get("bias")
    return kernel, np.zeros(len(kernel)) if bias is None else np.asarray(bias, np.float64)


def one_of_ours(cell: Cell) -> StagedCell:
    """Return the cell if it is one of the built-in architectures.

    Raises:
        NetworkError: it is not; a file of its weights could not be used without its code.
    """
    if isinstance(cell, StagedCell) and any(type(cell) is CELLS[name] for name in BUILT_IN):
        if cell.activation not in BUILT_IN_ACTIVATIONS:
            raise NetworkError(
                f"the activation {cell.activation!r} is not built into dynatlas, and a file of weights could not be "
                "used without its code; atlas.network(…) returns the cell itself"
            )
        return cell
    raise NetworkError(
        f"a {type(cell).__name__} is not a built-in cell of dynatlas, and a file of its weights could not be used "
        "without its code; atlas.network(…) returns the cell itself"
    )


def exact_dense(cell: StagedCell) -> StagedCell:
    """Return a cell in NumPy's float64, with its recurrent weights multiplied out."""
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), cell)
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, exact.dense())


def cell_arrays(cell: StagedCell) -> Arrays:
    """Return the fields of a cell by name; of a CTRNN its recurrent matrix multiplied out, α, and its form.

    Example:
        >>> cell = CELLS["gru"](2, 3, 1, key=jax.random.key(0))
        >>> sorted(cell_arrays(cell))[:4]
        ['activation', 'architecture', 'bias', 'initial_state']
    """
    names = {"architecture": type(cell).__name__.lower(), "activation": cell.activation}
    if isinstance(cell, CTRNN):
        names["form"], cell = cell.form, exact_dense(cell)
    fields = {path[-1].name: np.asarray(leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(cell)[0]}
    stored = {_STORED.get(name, name): values for name, values in fields.items()}
    return stored | {name: np.array(value) for name, value in names.items()}


def cell_of(arrays: Arrays) -> Cell:
    """Return the cell with these fields; the inverse of ``cell_arrays``.

    Raises:
        NetworkError: unknown architecture or activation, or a field that is missing or has the wrong shape.
    """
    architecture, activation = (str(arrays.get(name, "")) for name in NAMES)
    for seen, known in ((architecture, list(BUILT_IN)), (activation, list(BUILT_IN_ACTIVATIONS))):
        if seen not in known:
            raise NetworkError(f"the file names {seen!r}; expected one of {', '.join(known)}")
    for name, dimensions in (("input_weights", 2), ("readout_weights", 2)):
        if name not in arrays or arrays[name].ndim != dimensions:
            raise NetworkError(f"the file has no {name} of {dimensions} axes; expected the fields of a {architecture}")
    (_, n_inputs), (n_outputs, units) = arrays["input_weights"].shape, arrays["readout_weights"].shape
    kind: Any = CELLS[architecture]
    form = {"form": str(arrays.get("form", ""))} if kind is CTRNN else {}
    if form and form["form"] not in get_args(CellForm):
        raise NetworkError(f"form is {form['form']!r}; expected {' or '.join(get_args(CellForm))}")
    try:
        skeleton = jax.eval_shape(lambda: kind(n_inputs, units, n_outputs, activation, **form, key=jax.random.key(0)))
    except ValueError as error:
        raise NetworkError(f"the fields of the {architecture} do not fit: {error}") from None

    def stored(path: tuple[jax.tree_util.GetAttrKey, ...], leaf: jax.ShapeDtypeStruct) -> NDArray[np.float64]:
        name = _STORED.get(path[-1].name, path[-1].name)
        seen = arrays[name].shape if name in arrays else None
        if seen != leaf.shape:
            raise NetworkError(f"{name!r} has the shape {seen}; expected {leaf.shape}")
        values = np.asarray(arrays[name], np.float64)
        if name == "alpha" and not ((values > 0) & (values <= 1)).all():
            raise NetworkError(f"alpha = dt/tau is {values[:4]}…; expected numbers in (0, 1]")
        return values

    return jax.tree_util.tree_map_with_path(stored, skeleton)
