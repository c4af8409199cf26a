"""Weights as Keras stores them: SimpleRNN, GRU and LSTM, in ``.weights.h5``, and whole models in ``.keras`` or ``.h5``.

    kernel [inputs, gates·units]   recurrent_kernel [units, gates·units]   bias [gates·units]

A GRU whose reset gate acts after the product has two biases, bias [2, 3·units]: the input's and the recurrent one.
Gates: GRU update, reset, candidate; LSTM input, forget, candidate, output. No layer is built: a whole model's
configuration is read as JSON, for names, order and activations alone, and one with a Lambda layer, which is code, is
refused. A file of weights does not say how its layers follow each other, nor their activations.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from dynatlas.cells import GRU, LSTM, Vanilla
from dynatlas.errors import NetworkError
from dynatlas.networks.hdf5 import Hdf5
from dynatlas.networks.keras_configuration import TRANSPARENT, Configuration, read_configuration
from dynatlas.networks.layers import GATES, KINDS, Layer, Matrix, Reset, Stack
from dynatlas.networks.network import Network, network_of_layers
from dynatlas.networks.options import Options, choose, choose_readout, refuse_options

NAMES: Final = {Vanilla: "SimpleRNN", GRU: "GRU", LSTM: "LSTM"}
MOST_LAYERS: Final = 6  # whose order may be told from their sizes


class Weights(NamedTuple):
    """One layer's arrays, in Keras' order: kernel, recurrent kernel, bias; or kernel, bias."""

    name: str
    arrays: tuple[Any, ...]

    @property
    def is_recurrent(self) -> bool:
        """Whether the second array takes the units to the gates that the first takes the inputs to."""
        if len(self.arrays) not in (2, 3) or self.arrays[0].ndim != 2 or self.arrays[1].ndim != 2:
            return False
        (_, columns), (units, others) = self.arrays[0].shape, self.arrays[1].shape
        return bool(units and columns == others and columns % units == 0 and columns // units in KINDS)

    @property
    def is_linear(self) -> bool:
        """Whether it is a matrix with or without a bias."""
        kernel, *bias = self.arrays
        return kernel.ndim == 2 and len(bias) <= 1 and all(one.shape == kernel.shape[1:] for one in bias)


def keras_network(file: Hdf5, options: Options) -> Network:
    """The network in a file of Keras.

    Raises:
        NetworkError: no recurrent layer or several that do not follow each other, one that is not a dynamical system,
            a Lambda layer, or settings without a counterpart here.
    """
    refuse_options(options, "alpha", "form", because="Keras' layers are not leaky")
    found = weights_in(file.arrays)
    configuration = read_configuration(file.texts.get("model_config"))
    recurrent = [one for one in found if one.is_recurrent]
    if not recurrent:
        raise NetworkError(
            f"there is no SimpleRNN, GRU or LSTM among {', '.join(one.name for one in found) or 'nothing'}"
        )
    chosen, said = _chosen(recurrent, configuration, options)
    settings = configuration.settings
    layers, facts = zip(*(_layer(one, settings.get(one.name, {}), options) for one in chosen), strict=True)
    try:
        stack = Stack(tuple(layers))
    except ValueError as error:
        raise NetworkError(f"the layers {', '.join(one.name for one in chosen)} do not fit: {error}") from None
    readout, readout_said = _readout([one for one in found if not one.is_recurrent], stack, settings, options)
    return network_of_layers(stack, readout, (*facts, *said, readout_said))


def weights_in(arrays: Mapping[str, Any]) -> list[Weights]:
    """The layers among the paths of a file, in the natural order of their names."""
    numbered: dict[str, dict[int, Any]] = {}
    named: dict[str, dict[str, Any]] = {}
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
    """A layer's name out of its path: layers/gru/cell → gru; model_weights/gru/sequential/gru/gru_cell → gru."""
    parts = path.split("/")
    if parts[0] == "model_weights":
        inner = [part for part in parts[2:] if part.startswith(("forward_", "backward_"))]
        return "/".join([parts[1], *inner])
    kept = [part for part in parts if part not in ("layers", "cell", "cells")]
    return "/".join(kept)


def _chosen(
    recurrent: Sequence[Weights], configuration: Configuration, options: Options
) -> tuple[list[Weights], tuple[str, ...]]:
    """The recurrent layers to read, the lowest first, and what had to be assumed."""
    names = [one.name for one in recurrent]
    if options.layer is not None:
        name = choose("recurrent layer", names, options.layer, "layer=… (--layer)")
        return [recurrent[names.index(name)]], (f"layer {name}, of {', '.join(names)}",)
    backward = [name for name in names if re.search(r"(^|/)backward_", name)]
    if backward:
        raise NetworkError(
            f"{backward[0]!r} is the backward half of a bidirectional layer, which needs the future: there is no step "
            f"from one state to the next. Choose one of {', '.join(names)} with layer=… (--layer)"
        )
    if len(recurrent) == 1:
        return list(recurrent), ()
    places = {name: place for place, (name, _) in enumerate(configuration.order)}
    if not all(name in places for name in names):
        return _by_size(recurrent, names)
    ordered = sorted(recurrent, key=lambda one: places[one.name])
    between = configuration.order[places[ordered[0].name] : places[ordered[-1].name]]
    others = [kind for name, kind in between if name not in names and kind not in TRANSPARENT]
    if others:
        raise NetworkError(
            f"between the layers {', '.join(names)} stands {others[0]}; read one of them, with layer=… (--layer)"
        )
    return ordered, (f"stacked as {', '.join(one.name for one in ordered)}, as the model says",)


def _by_size(recurrent: Sequence[Weights], names: list[str]) -> tuple[list[Weights], tuple[str, ...]]:
    """The one order in which each layer takes what the one before it gives; the names' own order if that fits."""
    candidates = itertools.permutations(recurrent) if len(recurrent) <= MOST_LAYERS else [tuple(recurrent)]
    fitting = [
        chain
        for chain in candidates
        if all(above.arrays[0].shape[0] == below.arrays[1].shape[0] for below, above in itertools.pairwise(chain))
    ]
    same_base = len({re.sub(r"_?\d+$", "", name) for name in names}) == 1
    if len(fitting) == 1 or (same_base and tuple(recurrent) in [tuple(chain) for chain in fitting[:1]]):
        chain = list(fitting[0])
        return chain, (f"stacked as {', '.join(one.name for one in chain)}: their sizes fit; the file does not say",)
    raise NetworkError(
        f"the file has the recurrent layers {', '.join(names)} and does not say how they follow each other; choose one "
        "with layer=… (--layer), or save the whole model: model.save('NEW.keras')"
    )


def _layer(weights: Weights, config: Mapping[str, Any], options: Options) -> tuple[Layer, str]:
    """One layer, with its gates in our order, and a sentence about it."""
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
        raise NetworkError(f"{weights.name} has an activation of its own making; expected one that Keras names")
    reset: Reset = "after"
    facts = [f"{NAMES[kind]} in Keras' layout: {kernel.shape[0]} inputs, {units} units ({weights.name})"]
    bias = rest[0] if rest else np.zeros(recurrent.shape[1])
    if kind is GRU:
        reset = _reset(weights, bias if rest else None, config, options)
        facts.append(f"the reset gate acts {reset} the recurrent product")
    given_bias, recurrent_bias = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    gates = ("update", "reset", "candidate") if kind is GRU else GATES[kind]
    facts.append(f"gates {', '.join(gates)}" if len(gates) > 1 else "")
    facts.append(f"activation {activation}{'' if known or options.activation else ', assumed: the file does not say'}")
    try:
        layer = Layer(kernel.T, recurrent.T, given_bias, recurrent_bias, activation, kind, reset).restacked(gates)
    except ValueError as error:
        raise NetworkError(f"the arrays of {weights.name} do not fit: {error}") from None
    return layer, "; ".join(fact for fact in facts if fact)


def _reset(weights: Weights, bias: Matrix | None, config: Mapping[str, Any], options: Options) -> Reset:
    """Where a GRU's reset gate acts: after the product, if it has two biases."""
    if bias is not None:
        seen: Reset = "after" if bias.ndim == 2 else "before"
        if options.reset not in (None, seen):
            raise NetworkError(f"reset is {options.reset!r}; the bias of {weights.name}, {bias.shape}, says {seen!r}")
        return seen
    if "reset_after" in config:
        return "after" if config["reset_after"] else "before"
    if options.reset is None:
        raise NetworkError(
            f"{weights.name} has no bias, which would tell where its reset gate acts; say so: reset='after', Keras' "
            "default, or 'before' (--reset)"
        )
    return options.reset


def _readout(
    others: Sequence[Weights], stack: Stack, configured: Mapping[str, Any], options: Options
) -> tuple[tuple[Matrix, Matrix] | None, str]:
    """The one Dense layer that takes as many inputs as the highest layer has units."""
    units = stack.layers[-1].units
    fitting = {one.name: one for one in others if one.is_linear and one.arrays[0].shape[0] == units}
    name, why_none = choose_readout("Dense layer", list(fitting), options)
    if name is None:
        return None, why_none
    kernel, *bias = (np.asarray(values, np.float64) for values in fitting[name].arrays)
    activation = configured.get(name, {}).get("activation", "linear")
    before = (
        "" if activation == "linear" else f", before its {activation if isinstance(activation, str) else 'function'}"
    )
    return (kernel.T, bias[0] if bias else np.zeros(kernel.shape[1])), f"readout {name} {list(kernel.shape)}{before}"
