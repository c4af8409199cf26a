"""Weights by PyTorch's names: nn.RNN, nn.GRU, nn.LSTM and their single cells, from a state dict.

    weight_ih_l0 [gates·units, inputs]   weight_hh_l0 [gates·units, units]   bias_ih_l0, bias_hh_l0 [gates·units]

with a prefix for the module that holds the layer, without ``_l0`` for a cell, and ``w`` or ``b`` for short in files
that others wrote in this layout. Gates: GRU reset, update, candidate, with the reset gate after the recurrent product;
LSTM input, forget, candidate, output. A state dict does not say whether nn.RNN has tanh, its default, or relu.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from dynatlas.cells import GRU, LSTM, Vanilla
from dynatlas.errors import NetworkError
from dynatlas.networks.layers import GATES, KINDS, Layer, Matrix, Stack
from dynatlas.networks.network import Network, network_of_layers
from dynatlas.networks.options import Options, choose, choose_readout, refuse_options

_PART = re.compile(
    r"(?P<prefix>.*?)(?P<kind>weight|bias|w|b)_(?P<of>ih|hh|hr)(?:_l(?P<layer>\d+))?(?P<reverse>_reverse)?"
)
MODULES: Final = {Vanilla: "RNN", GRU: "GRU", LSTM: "LSTM"}

Parts = dict[int, dict[str, str]]  # layer → "weight_ih" … → name in the file


def layers_in(names: Any) -> dict[str, Parts]:
    """The recurrent layers among the names of a state dict: prefix → layers → parts.

    Example:
        >>> layers_in(["rnn.weight_ih_l0", "rnn.weight_hh_l0", "fc.weight"])
        {'rnn': {0: {'weight_ih': 'rnn.weight_ih_l0', 'weight_hh': 'rnn.weight_hh_l0'}}}
    """
    found: dict[str, Parts] = {}
    for name in names:
        if match := _PART.fullmatch(name):
            kind = {"w": "weight", "b": "bias"}.get(match["kind"], match["kind"])
            parts = found.setdefault(match["prefix"].rstrip("._"), {}).setdefault(int(match["layer"] or 0), {})
            parts[f"{kind}_{match['of']}{match['reverse'] or ''}"] = name
    return {prefix: parts for prefix, parts in found.items() if any("weight_hh" in part for part in parts.values())}


def torch_network(arrays: Mapping[str, Any], options: Options) -> Network:
    """The network in a state dict.

    Raises:
        NetworkError: no recurrent layer or several, one that is not a dynamical system, or shapes that do not fit.
    """
    found = layers_in(arrays)
    prefix = choose("recurrent layer", list(found), options.layer, "layer=… (--layer)")
    parts = found[prefix]
    if sorted(parts) != list(range(len(parts))):
        raise NetworkError(f"the layers of {prefix!r} are numbered {sorted(parts)}; expected 0, 1, … without gaps")
    refuse_options(options, "reset", "alpha", "form", because="PyTorch's layers have but one form")
    layers = [_layer(arrays, parts[number], options) for number in range(len(parts))]
    try:
        stack = Stack(tuple(layers))
    except ValueError as error:
        raise NetworkError(f"the layers of {prefix!r} do not fit: {error}") from None
    used = {name for part in parts.values() for name in part.values()}
    readout, said = linear_readout({name: arrays[name] for name in arrays if name not in used}, stack, options)
    return network_of_layers(stack, readout, (*_describe(prefix, stack, parts, options), said))


def _layer(arrays: Mapping[str, Any], parts: dict[str, str], options: Options) -> Layer:
    """One layer's weights."""
    backward = next((name for kind, name in parts.items() if kind.endswith("_reverse")), None)
    if backward is not None:
        raise NetworkError(
            f"{backward!r} belongs to a bidirectional layer, whose backward direction needs the future: there is no "
            "step from one state to the next. Keep the forward weights alone, if they were trained to stand alone"
        )
    if "weight_hr" in parts:
        raise NetworkError(f"{parts['weight_hr']!r} belongs to an LSTM with proj_size, which is not read here")
    for kind in ("weight_ih", "weight_hh"):
        if kind not in parts:
            raise NetworkError(f"there is no {kind} beside {', '.join(parts.values())}")
    recurrent, given = (_floats(arrays, parts[kind], 2) for kind in ("weight_hh", "weight_ih"))
    rows, units = recurrent.shape
    if not units or rows % units or rows // units not in KINDS:
        raise NetworkError(
            f"{parts['weight_hh']!r} has the shape {recurrent.shape}; expected [units, units] (RNN), [3·units, units] "
            "(GRU) or [4·units, units] (LSTM)"
        )
    cell = KINDS[rows // units]
    given_bias, recurrent_bias = (
        _floats(arrays, parts[of], 1) if of in parts else np.zeros(rows) for of in ("bias_ih", "bias_hh")
    )
    activation = options.activation or "tanh"
    if cell is not Vanilla and activation != "tanh":
        raise NetworkError(f"activation is {activation!r}; PyTorch's {MODULES[cell]} has tanh")
    try:
        return Layer(given, recurrent, given_bias, recurrent_bias, activation, cell).restacked(GATES[cell])
    except ValueError as error:
        raise NetworkError(f"{parts['weight_hh']!r} and what belongs to it do not fit: {error}") from None


def linear_readout(
    arrays: Mapping[str, Any], stack: Stack, options: Options
) -> tuple[tuple[Matrix, Matrix] | None, str]:
    """The one linear layer whose inputs are as many as the highest layer's units, and a sentence that says which.

    Raises:
        NetworkError: the one that was asked for is not there.
    """
    units = stack.layers[-1].units
    weights = {}
    for name, values in arrays.items():
        match = re.fullmatch(r"(?P<prefix>.*?)[._]?(?:weight|w)", name)
        if match and values.ndim == 2 and values.shape[1] == units:
            weights[match["prefix"]] = name
    prefix, why_none = choose_readout("linear layer", list(weights), options)
    if prefix is None:
        return None, why_none
    name = weights[prefix]
    bias_name = f"{name.removesuffix('weight')}bias" if name.endswith("weight") else f"{name[:-1]}b"
    matrix = _floats(arrays, name, 2)
    has_bias = bias_name in arrays and arrays[bias_name].shape == (len(matrix),)
    bias = _floats(arrays, bias_name, 1) if has_bias else np.zeros(len(matrix))
    return (matrix, bias), f"readout {name} {list(matrix.shape)}, {bias_name if has_bias else 'without bias'}"


def _floats(arrays: Mapping[str, Any], name: str, dimensions: int) -> Matrix:
    """An array in float64."""
    values = arrays[name]
    if values.ndim != dimensions or values.dtype.kind != "f":
        raise NetworkError(
            f"{name!r} is {values.dtype} with the shape {values.shape}; expected floats in {dimensions} dimensions"
        )
    return np.asarray(values, np.float64)


def _describe(prefix: str, stack: Stack, parts: Parts, options: Options) -> tuple[str, ...]:
    """What was found, in sentences."""
    sentences = []
    for number, layer in enumerate(stack.layers):
        shapes = f"{parts[number]['weight_hh']} {list(layer.recurrent_weights.shape)}"
        text = f"{MODULES[layer.kind]} in PyTorch's layout: {layer.n_inputs} inputs, {layer.units} units ({shapes})"
        sentences.append(f"layer {number}: {text}" if len(stack.layers) > 1 else text)
    kind = stack.layers[-1].kind
    if kind is not Vanilla:
        after = "; the reset gate acts after the recurrent product" if kind is GRU else ""
        sentences.append(f"gates {', '.join(GATES[kind])}{after}")
    elif options.activation is None:
        sentences.append("activation tanh, PyTorch's default: a state dict does not say")
    else:
        sentences.append(f"activation {options.activation}, as asked")
    if prefix:
        sentences.append(f"module {prefix}")
    return tuple(sentences)
