"""Keras' layout: SimpleRNN, GRU and LSTM in ``.weights.h5``, or in a whole model's ``.keras`` or ``.h5``.

    kernel [inputs, gates·units]   recurrent_kernel [units, gates·units]   bias [gates·units]

A GRU whose reset gate acts after the recurrent product has two biases [2, 3·units]: input and recurrent. Gates: GRU
update, reset, candidate; LSTM input, forget, candidate, output. No layer is built: a whole model's configuration is
read as JSON for names, order and activations only. A model with a Lambda layer, which is code, is refused. A file of
weights records neither the order of its layers nor their activations.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.hdf5 import Hdf5
from dynatlas._io.untrusted import Arrays
from dynatlas.cells.architectures import GRU, LSTM, Vanilla
from dynatlas.errors import NetworkError
from dynatlas.networks.keras_files import TRANSPARENT, Configuration, read_configuration
from dynatlas.networks.layers import GATES, KINDS, Layer, Matrix, Reset, Stack
from dynatlas.networks.network import Network, network_of_layers
from dynatlas.networks.options import Options, choose, choose_readout, refuse_options

NAMES: Final = {Vanilla: "SimpleRNN", GRU: "GRU", LSTM: "LSTM"}
MOST_LAYERS: Final = 6  # of which all orders are tried


class Weights(NamedTuple):
    """One layer's arrays in Keras' order: kernel, recurrent kernel, bias; or kernel, bias."""

    name: str
    arrays: tuple[NDArray[np.generic], ...]

    @property
    def is_recurrent(self) -> bool:
        """Whether the first two arrays have the shapes of a kernel and a recurrent kernel."""
        if len(self.arrays) not in (2, 3) or self.arrays[0].ndim != 2 or self.arrays[1].ndim != 2:
            return False
        (_, columns), (units, others) = self.arrays[0].shape, self.arrays[1].shape
        return bool(units and columns == others and columns % units == 0 and columns // units in KINDS)

    @property
    def is_linear(self) -> bool:
        """Whether the arrays are a kernel and at most one bias of its size."""
        kernel, *bias = self.arrays
        return kernel.ndim == 2 and len(bias) <= 1 and all(one.shape == kernel.shape[1:] for one in bias)


def keras_network(file: Hdf5, options: Options) -> Network:
    """Return the network in a Keras file.

    Raises:
        NetworkError: no recurrent layer, several that are not stacked, one that is not a dynamical system, a Lambda
            layer, or settings that are not supported.
    """
    refuse_options(options, "alpha", "form", because="Keras' layers are not leaky")
    found = weights_in(file.arrays)
    configuration = read_configuration(file.texts.get("model_config"))
    recurrent = [one for one in found if one.is_recurrent]
    if not recurrent:
        raise NetworkError(
            f"the file has no SimpleRNN, GRU or LSTM; it has: {', '.join(one.name for one in found) or 'nothing'}"
        )
    chosen, order_facts = _stacked(recurrent, configuration, options)
    settings = configuration.settings
    layers, facts = zip(*(_layer(one, settings.get(one.name, {}), options) for one in chosen), strict=True)
    try:
        stack = Stack(tuple(layers))
    except ValueError as error:
        raise NetworkError(f"the layers {', '.join(one.name for one in chosen)} do not fit: {error}") from None
    readout, readout_fact = _readout([one for one in found if not one.is_recurrent], stack, settings, options)
    return network_of_layers(stack, readout, (*facts, *order_facts, readout_fact))


def weights_in(arrays: Arrays) -> list[Weights]:
    """Return the layers among the paths of a file, in natural order of their names."""
    numbered: dict[str, dict[int, NDArray[np.generic]]] = {}
    named: dict[str, dict[str, NDArray[np.generic]]] = {}
    for path, values in arrays.items():
        if path.startswith(("optimizer", "_optimizer")):
            continue
        if match := re.fullmatch(r"(?P<layer>.+)/vars/(?P<number>\d+)", path):
            numbered.setdefault(match["layer"], {})[int(match["number"])] = values
        elif match := re.fullmatch(r"(?P<layer>.+)/(?P<part>kernel|recurrent_kernel|bias)(?::0)?", path):
            named.setdefault(match["layer"], {})[match["part"]] = values
    layers = [
        Weights(_plain_name(name), tuple(parts[number] for number in sorted(parts))) for name, parts in numbered.items()
    ]
    for name, parts in named.items():
        ordered = tuple(parts[part] for part in ("kernel", "recurrent_kernel", "bias") if part in parts)
        layers.append(Weights(_plain_name(name), ordered))
    return sorted(
        layers, key=lambda one: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", one.name)]
    )


def _plain_name(path: str) -> str:
    """Return a layer's name from its path: layers/gru/cell → gru; model_weights/gru/sequential/gru/gru_cell → gru."""
    parts = path.split("/")
    if parts[0] == "model_weights":
        inner = [part for part in parts[2:] if part.startswith(("forward_", "backward_"))]
        return "/".join([parts[1], *inner])
    kept = [part for part in parts if part not in ("layers", "cell", "cells")]
    return "/".join(kept)


def _stacked(
    recurrent: Sequence[Weights], configuration: Configuration, options: Options
) -> tuple[list[Weights], tuple[str, ...]]:
    """Return the recurrent layers to read, the lowest first, and sentences about their order."""
    names = [one.name for one in recurrent]
    if options.layer is not None:
        name = choose("recurrent layer", names, options.layer, "layer=… (--layer)")
        return [recurrent[names.index(name)]], (f"layer {name}, of {', '.join(names)}",)
    backward = [name for name in names if re.search(r"(^|/)backward_", name)]
    if backward:
        raise NetworkError(
            f"{backward[0]!r} is the backward half of a bidirectional layer, which needs future inputs: there is no "
            f"step from one state to the next. Choose one of {', '.join(names)} with layer=… (--layer)"
        )
    if len(recurrent) == 1:
        return list(recurrent), ()
    places = {name: place for place, (name, _) in enumerate(configuration.order)}
    if not all(name in places for name in names):
        return _stacked_by_size(recurrent, names)
    ordered = sorted(recurrent, key=lambda one: places[one.name])
    between = configuration.order[places[ordered[0].name] : places[ordered[-1].name]]
    others = [kind for name, kind in between if name not in names and kind not in TRANSPARENT]
    if others:
        raise NetworkError(
            f"a {others[0]} layer is between the layers {', '.join(names)}; choose one of them with layer=… (--layer)"
        )
    return ordered, (f"stacked as {', '.join(one.name for one in ordered)}, in the model's order",)


def _stacked_by_size(recurrent: Sequence[Weights], names: list[str]) -> tuple[list[Weights], tuple[str, ...]]:
    """Return the only order in which each layer has as many inputs as the one below has units.

    If the names differ only in their number, their own order is returned if it fits.
    """
    candidates = itertools.permutations(recurrent) if len(recurrent) <= MOST_LAYERS else [tuple(recurrent)]
    fitting = [
        chain
        for chain in candidates
        if all(above.arrays[0].shape[0] == below.arrays[1].shape[0] for below, above in itertools.pairwise(chain))
    ]
    same_base = len({re.sub(r"_?\d+$", "", name) for name in names}) == 1
    if len(fitting) == 1 or (same_base and tuple(recurrent) in [tuple(chain) for chain in fitting[:1]]):
        chain = list(fitting[0])
        ordered = ", ".join(one.name for one in chain)
        return chain, (f"stacked as {ordered}, assumed from their sizes: the file does not record it",)
    raise NetworkError(
        f"the file does not record the order of the recurrent layers {', '.join(names)}; choose one with layer=… "
        "(--layer), or save the whole model: model.save('NEW.keras')"
    )


def _layer(weights: Weights, config: Mapping[str, object], options: Options) -> tuple[Layer, str]:
    """Return one layer with its gates in the order of ``layers``, and a sentence about it."""
    kernel, recurrent, *rest = (np.asarray(values, np.float64) for values in weights.arrays)
    units = recurrent.shape[0]
    kind = KINDS[recurrent.shape[1] // units]
    if config.get("recurrent_activation", "sigmoid") != "sigmoid":
        raise NetworkError(
            f"{weights.name} has the gates' activation {config['recurrent_activation']!r}; expected sigmoid"
        )
    activation, known = config.get("activation"), "activation" in config
    activation = activation if known else options.activation or "tanh"
    if not isinstance(activation, str):
        raise NetworkError(f"{weights.name} has a custom activation; expected one that Keras names")
    reset: Reset = "after"
    facts = [f"{NAMES[kind]} in Keras' layout: {kernel.shape[0]} inputs, {units} units ({weights.name})"]
    bias = rest[0] if rest else np.zeros(recurrent.shape[1])
    if kind is GRU:
        reset = _reset(weights, bias if rest else None, config, options)
        facts.append(f"the reset gate acts {reset} the recurrent product")
    given_bias, recurrent_bias = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    gates = ("update", "reset", "candidate") if kind is GRU else GATES[kind]
    facts.append(f"gates {', '.join(gates)}" if len(gates) > 1 else "")
    is_assumed = not known and not options.activation
    facts.append(f"activation {activation}{', assumed: the file does not record it' if is_assumed else ''}")
    try:
        layer = Layer(kernel.T, recurrent.T, given_bias, recurrent_bias, activation, kind, reset).restacked(gates)
    except ValueError as error:
        raise NetworkError(f"the arrays of {weights.name} do not fit: {error}") from None
    return layer, "; ".join(fact for fact in facts if fact)


def _reset(weights: Weights, bias: Matrix | None, config: Mapping[str, object], options: Options) -> Reset:
    """Return where a GRU's reset gate acts: after the recurrent product if there are two biases."""
    if bias is not None:
        seen: Reset = "after" if bias.ndim == 2 else "before"
        if options.reset not in (None, seen):
            raise NetworkError(
                f"reset is {options.reset!r}; expected {seen!r}: the bias of {weights.name} has shape {bias.shape}"
            )
        return seen
    if "reset_after" in config:
        return "after" if config["reset_after"] else "before"
    if options.reset is None:
        raise NetworkError(
            f"{weights.name} has no bias, whose shape would show where its reset gate acts; set reset='after', Keras' "
            "default, or reset='before' (--reset)"
        )
    return options.reset


def _readout(
    others: Sequence[Weights], stack: Stack, settings: Mapping[str, Mapping[str, object]], options: Options
) -> tuple[tuple[Matrix, Matrix] | None, str]:
    """Return the Dense layer with as many inputs as the highest layer has units, and a sentence that names it."""
    units = stack.layers[-1].units
    fitting = {one.name: one for one in others if one.is_linear and one.arrays[0].shape[0] == units}
    name, why_none = choose_readout("Dense layer", list(fitting), options)
    if name is None:
        return None, why_none
    kernel, *bias = (np.asarray(values, np.float64) for values in fitting[name].arrays)
    activation = settings.get(name, {}).get("activation", "linear")
    before = (
        "" if activation == "linear" else f", before its {activation if isinstance(activation, str) else 'function'}"
    )
    return (kernel.T, bias[0] if bias else np.zeros(kernel.shape[1])), f"readout {name} {list(kernel.shape)}{before}"
