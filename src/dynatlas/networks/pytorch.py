"""PyTorch's layout: nn.RNN, nn.GRU, nn.LSTM and their cells from a state dict, and conversion of checkpoints.

    weight_ih_l0 [gates·units, inputs]   weight_hh_l0 [gates·units, units]   bias_ih_l0, bias_hh_l0 [gates·units]

The prefix names the module that holds the layer; a cell lacks ``_l0``; ``w`` and ``b`` are accepted for ``weight`` and
``bias``. Gates: GRU reset, update, candidate, with the reset gate after the recurrent product; LSTM input, forget,
candidate, output. A state dict does not record whether nn.RNN uses tanh, its default, or relu.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from dynatlas._io.targets import refuse_odd_target, write_file
from dynatlas._io.untrusted import Arrays
from dynatlas.cells.architectures import GRU, LSTM, Vanilla
from dynatlas.errors import NetworkError
from dynatlas.networks.layers import GATES, KINDS, Layer, Matrix, Stack
from dynatlas.networks.network import Network, network_of_layers
from dynatlas.networks.options import Options, choose, choose_readout, refuse_options

_PART = re.compile(
    r"(?P<prefix>.*?)(?P<kind>weight|bias|w|b)_(?P<of>ih|hh|hr)(?:_l(?P<layer>\d+))?(?P<reverse>_reverse)?"
)
MODULES: Final = {Vanilla: "RNN", GRU: "GRU", LSTM: "LSTM"}
# Before 2.6 ``weights_only=True`` could be bypassed (CVE-2025-32434).
OLDEST = (2, 6)
Parts = dict[int, dict[str, str]]  # layer → "weight_ih" … → name in the file
Tensor = TypeVar("Tensor")


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


def torch_network(arrays: Arrays, options: Options) -> Network:
    """Return the network in a state dict.

    Raises:
        NetworkError: not exactly one stack of recurrent layers, one that is not a dynamical system, or shapes that do
            not fit.
    """
    found = layers_in(arrays)
    prefix = choose("recurrent layer", list(found), options.layer, "layer=… (--layer)")
    parts = found[prefix]
    if sorted(parts) != list(range(len(parts))):
        raise NetworkError(f"the layers of {prefix!r} are numbered {sorted(parts)}; expected 0, 1, … without gaps")
    refuse_options(options, "reset", "alpha", "form", because="PyTorch's layers have only one form")
    layers = [_layer(arrays, parts[number], options) for number in range(len(parts))]
    try:
        stack = Stack(tuple(layers))
    except ValueError as error:
        raise NetworkError(f"the layers of {prefix!r} do not fit: {error}") from None
    used = {name for part in parts.values() for name in part.values()}
    readout, sentence = linear_readout({name: arrays[name] for name in arrays if name not in used}, stack, options)
    return network_of_layers(stack, readout, (*_describe(prefix, stack, parts, options), sentence))


def _layer(arrays: Arrays, parts: dict[str, str], options: Options) -> Layer:
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
        raise NetworkError(f"{parts['weight_hh']!r} and the layer's other arrays do not fit: {error}") from None


def linear_readout(arrays: Arrays, stack: Stack, options: Options) -> tuple[tuple[Matrix, Matrix] | None, str]:
    """Return the linear layer with as many inputs as the highest layer has units, and a sentence that names it.

    Raises:
        NetworkError: the requested layer does not exist or does not fit.
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


def _floats(arrays: Arrays, name: str, dimensions: int) -> Matrix:
    """Return an array of floats in float64."""
    values = arrays[name]
    if values.ndim != dimensions or values.dtype.kind != "f":
        raise NetworkError(
            f"{name!r} is {values.dtype} with the shape {values.shape}; expected floats in {dimensions} dimensions"
        )
    return np.asarray(values, np.float64)


def _describe(prefix: str, stack: Stack, parts: Parts, options: Options) -> tuple[str, ...]:
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
    elif options.activation is None:
        sentences.append("activation tanh, PyTorch's default: a state dict does not record it")
    else:
        sentences.append(f"activation {options.activation}, as requested")
    if prefix:
        sentences.append(f"module {prefix}")
    return tuple(sentences)


def convert(source: Path, target: Path, *, force: bool = False) -> list[str]:
    """Write the tensors of a PyTorch checkpoint as a safetensors file and return their names.

    PyTorch opens it with ``weights_only=True``, which builds only tensors and containers and refuses all other objects.
    Keys of nested dictionaries, as in a checkpoint with an optimiser, are joined by dots.

    Raises:
        NetworkError: PyTorch is missing or too old, the file is no checkpoint of tensors, or the target exists and
            differs (``force`` replaces it).
    """
    refuse_odd_target(target, force=force, error=NetworkError)
    if target.exists() and source.exists() and target.samefile(source):
        raise NetworkError(f"{target} is the checkpoint itself; name another file to write, such as NEW.safetensors")
    try:
        import torch
        from safetensors.torch import save_file
    except ImportError:
        raise NetworkError(
            f"{source} is a pickle that only PyTorch can open, and PyTorch is not installed here. Where it is, run: "
            f"{_by_hand(source, target)}"
        ) from None
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < OLDEST:
        raise NetworkError(
            f"PyTorch {torch.__version__} is installed; expected 2.6 or newer: in older versions a checkpoint can run "
            "code in spite of weights_only=True"
        )
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise NetworkError(
            f"PyTorch cannot open {source} with weights_only=True: {str(error).splitlines()[0]}. Save "
            "model.state_dict() instead of a whole model"
        ) from None
    tensors = {name: value.detach().contiguous().clone() for name, value in _tensors(loaded, "", torch.Tensor)}
    if not tensors:
        raise NetworkError(f"{source} holds no tensors; expected a state dict")
    write_file(target, lambda path: save_file(tensors, path), force=force, error=NetworkError)
    return list(tensors)


def _tensors(value: object, name: str, kind: type[Tensor]) -> list[tuple[str, Tensor]]:
    """Return the tensors in nested dictionaries with their names."""
    if isinstance(value, kind):
        return [(name, value)]
    if not isinstance(value, dict):
        return []
    return [pair for key, item in value.items() for pair in _tensors(item, f"{name}.{key}" if name else f"{key}", kind)]


def _by_hand(source: Path, target: Path) -> str:
    """Return a shell command that converts the checkpoint."""
    return (
        'python -c "import torch, safetensors.torch as s; '
        f"s.save_file(torch.load('{source}', weights_only=True), '{target}')\""
    )
