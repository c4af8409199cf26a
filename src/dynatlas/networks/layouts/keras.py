"""Keras' layout: SimpleRNN, GRU and LSTM in ``.weights.h5``, or in a whole model's ``.keras`` or ``.h5``.

    kernel [inputs, gates·units]   recurrent_kernel [units, gates·units]   bias [gates·units]

A GRU whose reset gate acts after the recurrent product has two biases [2, 3·units]: input and recurrent. Gates: GRU
update, reset, candidate; LSTM input, forget, candidate, output. No layer is built: a whole model's configuration is
read as JSON for names, order and activations only. A model with a Lambda layer, which is code, is refused. A file of
weights records neither the order of its layers nor their activations.

CuDNNGRU and CuDNNLSTM have one bias of twice the size: that of the input, then that of the recurrent product. Each
gate's kernel is stored as the bytes of its transpose, and each recurrent kernel transposed.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.hdf5 import Hdf5
from dynatlas.cells.architectures import GRU, LSTM, Vanilla
from dynatlas.errors import NetworkError
from dynatlas.networks.layers import GATES, KINDS, Layer, Matrix, Reset, Stack
from dynatlas.networks.layouts.keras_files import TRANSPARENT, Configuration, read_configuration
from dynatlas.networks.layouts.ledger import Ledger
from dynatlas.networks.network import Network, network_of_layers
from dynatlas.networks.options import Options, choose, choose_readout, refuse_options

NAMES: Final = {Vanilla: "SimpleRNN", GRU: "GRU", LSTM: "LSTM"}
MOST_LAYERS: Final = 6  # of which all orders are tried


class Weights(NamedTuple):
    """One layer's arrays in Keras' order: kernel, recurrent kernel, bias; or kernel, bias."""

    name: str
    arrays: tuple[NDArray[np.generic], ...]
    paths: tuple[str, ...] = ()

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
    refuse_options(options, "alpha", "form", "parts", "orientation", because="Keras' layers have only one form")
    ledger = Ledger(file.arrays, options)
    configuration = read_configuration(file.texts.get("model_config"))
    found = weights_in(ledger, configuration)
    recurrent = [one for one in found if one.is_recurrent]
    if not recurrent:
        raise NetworkError(
            f"the file has no SimpleRNN, GRU or LSTM; it has: {', '.join(one.name for one in found) or 'nothing'}"
        )
    chosen, order_facts = _stacked(recurrent, configuration, options, ledger)
    settings = configuration.settings
    layers, facts = zip(
        *(_layer(one, settings.get(one.name, {}), bool(configuration.order), options, ledger) for one in chosen),
        strict=True,
    )
    try:
        stack = Stack(tuple(layers))
    except ValueError as error:
        raise NetworkError(f"the layers {', '.join(one.name for one in chosen)} do not fit: {error}") from None
    for one in recurrent:
        if one not in chosen:
            _explain(ledger, one, f"of the layer {one.name}, which was not chosen")
    others = [one for one in found if not one.is_recurrent]
    readout, readout_fact = _readout(others, stack, settings, options, ledger)
    _explain_by_place(ledger, others, configuration, chosen)
    sizes = {size for layer in layers for size in (layer.units, len(layer.recurrent_weights))}
    for one in others:
        rows, columns = one.arrays[0].shape if one.is_linear else (0, 0)
        if one.is_linear and columns not in sizes and one.paths[0] in ledger.rest:
            if rows == stack.layers[-1].units:
                _explain(ledger, one, "it reads the state and does not act back")
            elif rows not in sizes:
                _explain(ledger, one, "it does not touch the state")
    rest = ledger.close(sizes, stack.n_inputs, has_roles=False)
    sentences = (*facts, *order_facts, *rest, readout_fact)
    return network_of_layers(stack, readout, sentences, tuple(ledger.assumed))


def are_keras_names(names: Iterable[str]) -> bool:
    """Whether arrays have the names of a recurrent layer of Keras."""
    last = {re.split(r"[./]", name)[-1].removesuffix(":0") for name in names}
    return {"kernel", "recurrent_kernel"} <= last


def weights_in(ledger: Ledger, configuration: Configuration) -> list[Weights]:
    """Return the layers among the paths of a file, in natural order of their names."""
    parts: dict[str, dict[str, str]] = {}  # path of the layer → place or name of its array → path
    for path in ledger.rest:
        if path.startswith(("optimizer", "_optimizer")):
            ledger.explain(path, "state of the optimiser")
        elif match := re.fullmatch(r"(?P<layer>.+)/vars/(?P<part>\d{1,9})", path):
            parts.setdefault(match["layer"], {})[match["part"]] = path
        elif match := re.fullmatch(r"(?:(?P<layer>.+)[/.])?(?P<part>kernel|recurrent_kernel|bias)(?::0)?", path):
            parts.setdefault(match["layer"] or "rnn", {})[match["part"]] = path
    order = ("kernel", "recurrent_kernel", "bias")
    layers = []
    for layer, own in parts.items():
        keys = sorted(own, key=lambda key: order.index(key) if key in order else int(key))
        paths = tuple(own[key] for key in keys)
        name = _name_of(layer, configuration)
        layers.append(Weights(name, tuple(ledger.arrays[path] for path in paths), paths))
    return sorted(
        layers, key=lambda one: [int(part) if part.isdecimal() else part for part in re.split(r"(\d{1,18})", one.name)]
    )


def _name_of(path: str, configuration: Configuration) -> str:
    """Return a layer's name: the innermost one that the model's configuration has, or else from its path."""
    parts = path.split("/")
    for place in range(len(parts) - 1, -1, -1):
        if parts[place] in configuration.settings:
            inner = [f"{parts[place]}/{later}" for later in parts[place + 1 :]]
            return next((name for name in inner if name in configuration.settings), parts[place])
    return _plain_name(path)


def _explain(ledger: Ledger, weights: Weights, why: str) -> None:
    for path in weights.paths:
        ledger.explain(path, why)


def _explain_by_place(
    ledger: Ledger, others: Sequence[Weights], configuration: Configuration, chosen: Sequence[Weights]
) -> None:
    """Explain layers that the model has before or after its recurrent layers."""
    places = {name: place for place, (name, _) in enumerate(configuration.order)}
    if not all(one.name in places for one in chosen):
        return
    first, last = (end(places[one.name] for one in chosen) for end in (min, max))
    for path in ledger.rest:
        name = next((one.name for one in others if path in one.paths), None) or _name_of(path, configuration)
        if name in places and places[name] < first:
            ledger.explain(path, "before the recurrent layers, whose inputs it makes")
        elif name in places and places[name] > last:
            ledger.explain(path, "after the recurrent layers")


def _plain_name(path: str) -> str:
    """Return a layer's name from its path: layers/gru/cell → gru; model_weights/gru/sequential/gru/gru_cell → gru."""
    parts = path.split("/")
    if parts[0] == "model_weights":
        inner = [part for part in parts[2:] if part.startswith(("forward_", "backward_"))]
        return "/".join([parts[1], *inner])
    kept = [part for part in parts if part not in ("layers", "cell", "cells")]
    return "/".join(kept)


def _stacked(
    recurrent: Sequence[Weights], configuration: Configuration, options: Options, ledger: Ledger
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
        return _stacked_by_size(recurrent, names, ledger)
    ordered = sorted(recurrent, key=lambda one: places[one.name])
    between = configuration.order[places[ordered[0].name] : places[ordered[-1].name]]
    others = [kind for name, kind in between if name not in names and kind not in TRANSPARENT]
    if others:
        raise NetworkError(
            f"a {others[0]} layer is between the layers {', '.join(names)}; choose one of them with layer=… (--layer)"
        )
    return ordered, (f"stacked as {', '.join(one.name for one in ordered)}, in the model's order",)


def _stacked_by_size(
    recurrent: Sequence[Weights], names: list[str], ledger: Ledger
) -> tuple[list[Weights], tuple[str, ...]]:
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
        ledger.assumed.append(f"stacked as {ordered}")
        return chain, (f"stacked as {ordered}, assumed from their sizes: the file does not record it",)
    raise NetworkError(
        f"the file does not record the order of the recurrent layers {', '.join(names)}; choose one with layer=… "
        "(--layer), or save the whole model: model.save('NEW.keras')"
    )


def _layer(
    weights: Weights, config: Mapping[str, object], is_model: bool, options: Options, ledger: Ledger
) -> tuple[Layer, str]:
    """Return one layer with its gates in the order of ``layers``, and a sentence about it."""
    kernel, recurrent, *rest = (np.asarray(ledger.use(path), np.float64) for path in weights.paths)
    units = recurrent.shape[0]
    kind = KINDS[recurrent.shape[1] // units]
    is_cudnn = bool(rest) and rest[0].shape == (2 * recurrent.shape[1],)
    if is_cudnn:
        kernel, recurrent, rest = _from_cudnn(kernel, recurrent, rest[0])
    if is_model and not config:
        raise NetworkError(
            f"the model's configuration has no settings of {weights.name!r}, so its activation is not known; save the "
            "weights alone, model.save_weights('NEW.weights.h5'), and choose the activation (--activation)"
        )
    if config.get("recurrent_activation", "sigmoid") != "sigmoid":
        raise NetworkError(
            f"{weights.name} has the gates' activation {config['recurrent_activation']!r}; expected sigmoid"
        )
    activation, known = config.get("activation"), "activation" in config
    if is_cudnn and not known:
        activation, known = "tanh", True  # CuDNN's layers have no other
    activation = activation if known else options.activation or "tanh"
    if not isinstance(activation, str):
        raise NetworkError(f"{weights.name} has a custom activation; expected one that Keras names")
    reset: Reset = "after"
    layout = "CuDNN's layout" if is_cudnn else "Keras' layout"
    facts = [f"{NAMES[kind]} in {layout}: {kernel.shape[0]} inputs, {units} units ({weights.name})"]
    bias = rest[0] if rest else np.zeros(recurrent.shape[1])
    if kind is GRU:
        reset = _reset(weights, bias if rest else None, config, options)
        facts.append(f"the reset gate acts {reset} the recurrent product")
    given_bias, recurrent_bias = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    gates = ("update", "reset", "candidate") if kind is GRU else GATES[kind]
    facts.append(f"gates {', '.join(gates)}" if len(gates) > 1 else "")
    if not known and not options.activation:
        facts.append(ledger.assume(f"activation {activation}", "the file does not record it"))
        if f"activation {activation}" not in ledger.assumed:
            ledger.assumed.append(f"activation {activation}")
    else:
        facts.append(f"activation {activation}")
    if config.get("go_backwards"):
        facts.append("it runs over each trial backwards: reverse the inputs")
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


def _from_cudnn(kernel: Matrix, recurrent: Matrix, bias: Matrix) -> tuple[Matrix, Matrix, list[Matrix]]:
    """Return kernel, recurrent kernel and biases in Keras' layout: one of both for an LSTM, two for a GRU."""
    units = len(recurrent)
    gates = recurrent.shape[1] // units
    kernels = [part.ravel().reshape(part.shape[::-1]).T for part in np.hsplit(kernel, gates)]
    recurrents = [part.T for part in np.hsplit(recurrent, gates)]
    biases = bias.reshape(2, -1)
    return np.hstack(kernels), np.hstack(recurrents), [biases if gates == len(GRU.gates) else biases.sum(axis=0)]


def _readout(
    others: Sequence[Weights],
    stack: Stack,
    settings: Mapping[str, Mapping[str, object]],
    options: Options,
    ledger: Ledger,
) -> tuple[tuple[Matrix, Matrix] | None, str]:
    """Return the Dense layer with as many inputs as the highest layer has units, and a sentence that names it.

    A Dense layer before another one is the first of a multilayer head; it is taken only on request.
    """
    units = stack.layers[-1].units
    dense = {one.name: one for one in others if one.is_linear}
    fitting = {name: one for name, one in dense.items() if one.arrays[0].shape[0] == units}
    for name, one in fitting.items() if options.readout is None else ():
        columns = one.arrays[0].shape[1]
        later = [
            other
            for other, it in dense.items()
            if other != name and it.arrays[0].shape[0] == columns and it.arrays[0].shape[1] != stack.n_inputs
        ]
        if later:
            return (
                None,
                f"no readout: {name} is the first layer of a head, before {later[0]}; --readout {name} takes it alone",
            )
    chosen, why_none = choose_readout("Dense layer", list(fitting), options)
    if chosen is None:
        return None, why_none
    kernel, *bias = (np.asarray(ledger.use(path), np.float64) for path in fitting[chosen].paths)
    activation = settings.get(chosen, {}).get("activation", "linear")
    before = (
        "" if activation == "linear" else f", before its {activation if isinstance(activation, str) else 'function'}"
    )
    return (kernel.T, bias[0] if bias else np.zeros(kernel.shape[1])), f"readout {chosen} {list(kernel.shape)}{before}"
