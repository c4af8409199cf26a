"""Recurrent modules that are already in memory: Equinox' cells, Flax' cells by their parameters, our own cells.

    Equinox  GRUCell (weight_ih, weight_hh, bias, bias_n), LSTMCell (weight_ih, weight_hh, bias): PyTorch's order of
             gates, a GRU with its reset gate after the product
    Flax     linen: one kernel for each gate, ir iz in hr hz hn (GRUCell), ii if ig io hi hf hg ho (LSTMCell), i h
             (SimpleCell); nnx: all gates in dense_i and dense_h (GRUCell, OptimizedLSTMCell, SimpleCell)
    ours     ``dynatlas.cells``

Kernels of Flax multiply rows, h W. Flax keeps an LSTM's state as (c, h); here it is (h, c).
"""

from collections.abc import Mapping
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from dynatlas.cells import GRU, LSTM, Architecture, StagedCell, Vanilla, state_labels
from dynatlas.errors import NetworkError
from dynatlas.networks.layers import GATES, KINDS, Layer, Matrix, Stack
from dynatlas.networks.network import Network, network_of_layers
from dynatlas.networks.options import Options, choose, refuse_options

# Flax' letters of the gates, in the order of GATES.
LINEN: Final[dict[type[Architecture], tuple[str, ...]]] = {
    GRU: ("r", "z", "n"),
    LSTM: ("i", "f", "g", "o"),
    Vanilla: ("",),
}


def pytree_network(tree: Any, options: Options) -> Network:
    """The network in a module or in a tree of parameters.

    Raises:
        NetworkError: nothing recurrent in it that is known here, or several.
    """
    refuse_options(options, "reset", "alpha", "form", "readout", because="a module says what it is")
    if isinstance(tree, StagedCell):
        return _own_cell(tree)
    if hasattr(tree, "weight_ih") and hasattr(tree, "weight_hh"):
        return _one(_equinox(tree), f"{type(tree).__module__.split('.')[0]}'s {type(tree).__name__}")
    if isinstance(tree, Mapping):
        found = dict(_cells_in(tree, ""))
        name = choose("recurrent cell", list(found), options.layer, "layer=…")
        return _one(_flax(found[name], options), f"Flax' cell {name or '(the whole tree)'}")
    raise NetworkError(
        f"{type(tree).__name__} is no network that is known here; expected a file, a cell of Equinox or of dynatlas, "
        "or Flax' parameters as nested dictionaries. Any other step function is a Network(step=…)"
    )


def _own_cell(cell: StagedCell) -> Network:
    """One of our cells, in float64."""
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), cell)
    name = type(cell).__name__
    return Network(
        step=exact,
        n_states=exact.initial_state.shape[0],
        n_inputs=exact.input_weights.shape[1],
        readout=exact.readout,
        bounds=lambda inputs: exact.box(jnp.asarray(inputs)),
        state_labels=state_labels(exact.units, len(exact.initial_state)),
        source=(f"dynatlas' {name} {cell.activation}: {exact.input_weights.shape[1]} inputs, {cell.units} units",),
    )


def _one(layer: Layer, what: str) -> Network:
    facts = [f"{what}: {layer.kind.__name__}, {layer.n_inputs} inputs, {layer.units} units"]
    if layer.kind is GRU:
        facts.append("the reset gate acts after the recurrent product")
    facts.append(f"activation {layer.activation}")
    return network_of_layers(Stack((layer,)), None, tuple(facts))


def _equinox(module: Any) -> Layer:
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


def _cells_in(tree: Mapping[str, Any], path: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The cells in a nested dictionary, by their paths."""
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


def _is_dense(item: Any) -> bool:
    return isinstance(item, Mapping) and "kernel" in item


def _flax(cell: Mapping[str, Any], options: Options) -> Layer:
    """One of Flax' cells; its activation is tanh unless something else is said."""
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


def _dense(layer: Mapping[str, Any]) -> tuple[Matrix, Matrix]:
    """A dense layer's weights as columns take them, and its bias."""
    kernel = np.asarray(layer["kernel"], np.float64).T
    bias = layer.get("bias")
    return kernel, np.zeros(len(kernel)) if bias is None else np.asarray(bias, np.float64)
