"""The linear layer of a state dict that reads the state out."""

import re

import numpy as np

from dynatlas._io.untrusted import AnyArray
from dynatlas.errors import NetworkError
from dynatlas.networks.layers import Matrix, Stack
from dynatlas.networks.layouts.ledger import Ledger
from dynatlas.networks.options import Options, choose_readout


def linear_readout(ledger: Ledger, stack: Stack, options: Options) -> tuple[tuple[Matrix, Matrix] | None, str]:
    """Return the linear layer with as many inputs as the highest layer has units, and a sentence that names it.

    A layer whose outputs feed another linear layer is the first of a multilayer head; it is taken only on request.

    Raises:
        NetworkError: the requested layer does not exist or does not fit.
    """
    units, n_inputs = stack.layers[-1].units, stack.n_inputs
    layers: dict[str, str] = {}
    for name, values in ledger.rest.items():
        match = re.fullmatch(r"(?P<prefix>.*?)[._]?(?:weight|w)", name)
        if match and values.ndim == 2:
            layers[match["prefix"]] = name
    shapes = {prefix: ledger.arrays[name].shape for prefix, name in layers.items()}
    fitting = [prefix for prefix, shape in shapes.items() if shape[1] == units]
    heads = [(one, following) for one in fitting if (following := _next_layer(one, shapes, n_inputs)) is not None]
    if options.readout is None and heads:
        first, second = heads[0]
        return (
            None,
            f"no readout: {first} is the first layer of a head, before {second}; --readout {first} takes it alone",
        )
    prefix, why_none = choose_readout("linear layer", fitting, options)
    if prefix is None:
        return None, why_none
    name = layers[prefix]
    bias_name = f"{name.removesuffix('weight')}bias" if name.endswith("weight") else f"{name[:-1]}b"
    matrix = floats(ledger.use(name), name, 2)
    has_bias = bias_name in ledger.arrays and ledger.arrays[bias_name].shape == (len(matrix),)
    bias = floats(ledger.use(bias_name), bias_name, 1) if has_bias else np.zeros(len(matrix))
    alone = next((f"; {later} after it is left out" for one, later in heads if one == prefix), "")
    return (matrix, bias), f"readout {name} {list(matrix.shape)}, {bias_name if has_bias else 'without bias'}{alone}"


def _next_layer(prefix: str, shapes: dict[str, tuple[int, ...]], n_inputs: int) -> str | None:
    """Return the linear layer that takes what this one returns, if there is one."""
    parent = prefix.rpartition(".")[0]
    for other, shape in shapes.items():
        beside = other.rpartition(".")[0] == parent
        is_before = n_inputs in shape  # an encoder or an embedding makes the inputs
        if other != prefix and shape[1] == shapes[prefix][0] and ((parent and beside) or not is_before):
            return other
    return None


def floats(values: AnyArray, name: str, dimensions: int) -> Matrix:
    """Return an array of floats in float64.

    Raises:
        NetworkError: another type, or another number of axes.
    """
    if values.ndim != dimensions or values.dtype.kind != "f":
        raise NetworkError(
            f"{name!r} is {values.dtype} with the shape {values.shape}; expected floats in {dimensions} dimensions"
        )
    return np.asarray(values, np.float64)
