"""PyTorch's layout: nn.RNN, nn.GRU, nn.LSTM and their cells from a state dict.

    weight_ih_l0 [gates·units, inputs]   weight_hh_l0 [gates·units, units]   bias_ih_l0, bias_hh_l0 [gates·units]

The prefix names the module that holds the layer; a cell lacks ``_l0``; ``w`` and ``b`` are accepted for ``weight`` and
``bias``. Gates: GRU reset, update, candidate, with the reset gate after the recurrent product; LSTM input, forget,
candidate, output. A state dict does not record whether nn.RNN uses tanh, its default, or relu.
"""

import re
from collections.abc import Iterable
from typing import Final

import numpy as np

from dynatlas.cells.architectures import GRU, LSTM, Vanilla
from dynatlas.errors import NetworkError
from dynatlas.networks.layers import GATES, KINDS, Layer, Stack
from dynatlas.networks.layouts.ledger import Ledger
from dynatlas.networks.layouts.linear import floats, linear_readout
from dynatlas.networks.layouts.plain import plain_network
from dynatlas.networks.layouts.table import CELL
from dynatlas.networks.layouts.texts import activation_in
from dynatlas.networks.network import Network, network_of_layers
from dynatlas.networks.options import Options, choose, refuse_options

_PART = re.compile(
    r"(?P<prefix>.*?)(?P<kind>weight|bias|w|b)_(?P<of>ih|hh|hr)(?:_l(?P<layer>\d{1,9}))?(?P<reverse>_reverse)?"
)
MODULES: Final = {Vanilla: "RNN", GRU: "GRU", LSTM: "LSTM"}
Parts = dict[int, dict[str, str]]  # layer → "weight_ih" … → name in the file


def layers_in(names: Iterable[str]) -> dict[str, Parts]:
    """Find the recurrent layers among the names of a state dict: prefix → layer → part → name.

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


def torch_network(ledger: Ledger, options: Options, known: tuple[str, str] | None = None) -> Network:
    """Return the network in a state dict.

    A single layer without gates may be leaky, or have parts that PyTorch's own do not have, if the caller says so.

    Args:
        ledger: the arrays.
        options: the options of the caller.
        known: the activation of layers without gates, and what says it: a module.

    Raises:
        NetworkError: not exactly one stack of recurrent layers, one that is not a dynamical system, shapes that do not
            fit, or an array that is not used and could matter.
    """
    found = layers_in(ledger.arrays)
    prefix = choose("recurrent layer", list(found), options.layer, "layer=… (--layer)")
    parts = found[prefix]
    for other, others in found.items():
        if other != prefix:
            for name in (name for part in others.values() for name in part.values()):
                ledger.explain(name, f"of the layer {other}, which was not chosen")
    if sorted(parts) != list(range(len(parts))):
        raise NetworkError(f"the layers of {prefix!r} are numbered {sorted(parts)}; expected 0, 1, … without gaps")
    refuse_options(options, "reset", because="PyTorch's layers have only one form")
    if options.parts or options.alpha is not None or options.form or options.orientation:
        return _own_cell(ledger, prefix, parts, options)
    known = known or activation_in(ledger, options)
    layers = [_layer(ledger, parts[number], options, known) for number in range(len(parts))]
    try:
        stack = Stack(tuple(layers))
    except ValueError as error:
        raise NetworkError(f"the layers of {prefix!r} do not fit: {error}") from None
    readout, sentence = linear_readout(ledger, stack, options)
    described = _describe(prefix, stack, parts, options, ledger, known)
    sizes = {size for layer in layers for size in (layer.units, len(layer.recurrent_weights))}
    rest = ledger.close(sizes, stack.n_inputs, has_roles=len(layers) == 1 and layers[0].kind is Vanilla)
    return network_of_layers(stack, readout, (*described, *rest, sentence), tuple(ledger.assumed))


def _own_cell(ledger: Ledger, prefix: str, parts: Parts, options: Options) -> Network:
    """Return the network of a cell with PyTorch's names and parts that the caller names."""
    rows, units = ledger.arrays[parts[0]["weight_hh"]].shape[:1], ledger.arrays[parts[0]["weight_hh"]].shape[-1:]
    if len(parts) > 1 or rows != units:
        given = [*(f"the role {role}" for role in options.parts), *(["alpha"] if options.alpha is not None else [])]
        raise NetworkError(
            f"{' and '.join(given) or 'form and orientation'} cannot be chosen here: {prefix or 'the layer'} has "
            f"{'several layers' if len(parts) > 1 else 'gates'}, and PyTorch's have only one form. Write the step in "
            "JAX: Network(step=…)"
        )
    roles: dict[str, list[str]] = {}
    for part, name in parts[0].items():
        role = {"weight_ih": "input", "weight_hh": "recurrent", "bias_ih": "bias", "bias_hh": "bias"}.get(part)
        if role is None:
            raise NetworkError(f"{name!r} has no role in a layer without gates; leave it out with --ignore {name}")
        roles.setdefault(role, []).append(name)
    for role, name in options.parts.items():
        if name not in ledger.arrays:
            raise NetworkError(f"the file has no array {name!r}; it has: {', '.join(ledger.arrays)[:200]}")
        roles[role] = [*(roles.get(role, []) if role == "bias" else []), name]
    return plain_network(ledger, CELL, roles, options)


def _layer(ledger: Ledger, parts: dict[str, str], options: Options, known: tuple[str, str] | None) -> Layer:
    """Return one layer from its arrays."""
    backward = next((name for kind, name in parts.items() if kind.endswith("_reverse")), None)
    if backward is not None:
        raise NetworkError(
            f"{backward!r} belongs to a bidirectional layer, whose backward direction needs future inputs: there is no "
            "step from one state to the next. Keep only the forward weights, if they were trained on their own"
        )
    if "weight_hr" in parts:
        raise NetworkError(f"{parts['weight_hr']!r} belongs to an LSTM with proj_size, which is not supported")
    for kind in ("weight_ih", "weight_hh"):
        if kind not in parts:
            raise NetworkError(f"{kind} is missing; the layer has {', '.join(parts.values())}")
    recurrent, given = (floats(ledger.use(parts[kind]), parts[kind], 2) for kind in ("weight_hh", "weight_ih"))
    rows, units = recurrent.shape
    if not units or rows % units or rows // units not in KINDS:
        raise NetworkError(
            f"{parts['weight_hh']!r} has the shape {recurrent.shape}; expected [units, units] (RNN), [3·units, units] "
            "(GRU) or [4·units, units] (LSTM)"
        )
    cell = KINDS[rows // units]
    given_bias, recurrent_bias = (
        floats(ledger.use(parts[of]), parts[of], 1) if of in parts else np.zeros(rows) for of in ("bias_ih", "bias_hh")
    )
    activation = options.activation or (known[0] if known else "tanh")
    if cell is not Vanilla and activation != "tanh":
        raise NetworkError(
            f"activation is {activation!r}; PyTorch's {MODULES[cell]} has tanh"
            + ("" if options.activation or known is None else f". If {known[1]} has no part in it: --ignore {known[1]}")
        )
    try:
        return Layer(given, recurrent, given_bias, recurrent_bias, activation, cell).restacked(GATES[cell])
    except ValueError as error:
        raise NetworkError(f"{parts['weight_hh']!r} and the layer's other arrays do not fit: {error}") from None


def _describe(
    prefix: str, stack: Stack, parts: Parts, options: Options, ledger: Ledger, known: tuple[str, str] | None
) -> tuple[str, ...]:
    """Describe the layers, one sentence each."""
    sentences = []
    for number, layer in enumerate(stack.layers):
        shapes = f"{parts[number]['weight_hh']} {list(layer.recurrent_weights.shape)}"
        text = f"{MODULES[layer.kind]} in PyTorch's layout: {layer.n_inputs} inputs, {layer.units} units ({shapes})"
        sentences.append(f"layer {number}: {text}" if len(stack.layers) > 1 else text)
    kind = stack.layers[-1].kind
    if kind is not Vanilla:
        after = "; the reset gate acts after the recurrent product" if kind is GRU else ""
        sentences.append(f"gates {', '.join(GATES[kind])}{after}")
    elif options.activation is None and known is not None:
        sentences.append(f"activation {known[0]}, as {known[1]} says")
    elif options.activation is None:
        sentences.append(ledger.assume("activation tanh", "PyTorch's default; a state dict does not record it"))
    else:
        sentences.append(f"activation {options.activation}, as requested")
    if prefix:
        sentences.append(f"module {prefix}")
    return tuple(sentences)
