"""Plain matrices in an ``.npz`` file: rate networks as neuroscientists write them, discrete or leaky.

    recurrent  W, J, W_rec, W_hh, recurrent_weights      [units, units]
    input      U, B, W_in, W_ih, input_weights           [units, inputs]
    bias       b, b_rec, bias                            [units]
    readout    W_out, R, C, readout_weights              [outputs, units]
    its bias   b_out, d, readout_bias                    [outputs]
    leak       alpha, or dt and tau; alpha and tau       number or [units]

Case and underscores do not matter. With a leak the network is τ dh/dt = −h + …, stepped by Euler with α = dt/τ.
Matrices multiply columns, W h; if the input matrix is [inputs, units], all matrices are assumed to multiply rows, h W.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from dynatlas._io.untrusted import Arrays
from dynatlas.errors import NetworkError
from dynatlas.networks.layers import Layer, Leaky, Matrix, Stack
from dynatlas.networks.network import Network, network_of_layers
from dynatlas.networks.options import Options, refuse_options

# Names in lower case without underscores, by role and number of axes.
NAMES: Final[dict[tuple[str, int], frozenset[str]]] = {
    ("recurrent", 2): frozenset(["w", "j", "wrec", "whh", "wr", "recurrent", "recurrentweights"]),
    ("input", 2): frozenset(["u", "b", "win", "wih", "wi", "input", "inputweights"]),
    ("bias", 1): frozenset(["b", "brec", "bh", "bias"]),
    ("readout", 2): frozenset(["wout", "r", "c", "wo", "readout", "readoutweights", "output", "outputweights"]),
    ("readout bias", 1): frozenset(["bout", "d", "bo", "readoutbias", "outputbias"]),
    ("alpha", 0): frozenset(["alpha"]),
    ("alpha", 1): frozenset(["alpha"]),
    ("dt", 0): frozenset(["dt", "deltat"]),
    ("tau", 0): frozenset(["tau"]),
    ("tau", 1): frozenset(["tau", "taus"]),
}


def are_matrices(arrays: Arrays) -> bool:
    """Whether one of the arrays has the name of a recurrent matrix."""
    return "recurrent" in _roles(arrays)


def matrix_network(arrays: Arrays, options: Options) -> Network:
    """Return the network of the matrices in a file.

    Raises:
        NetworkError: two arrays for one role, shapes that do not fit, a time constant without a time step.
    """
    refuse_options(options, "layer", "reset", because="plain matrices have one layer and no gates")
    roles = _roles(arrays)
    twice = next((names for names in roles.values() if len(names) > 1), None)
    if twice:
        raise NetworkError(f"{' and '.join(twice)} have the same role in the network; leave out all but one")
    parts = {role: np.asarray(arrays[names[0]], np.float64) for role, names in roles.items()}
    recurrent = parts["recurrent"]
    units = len(recurrent)
    if recurrent.shape != (units, units):
        raise NetworkError(f"{roles['recurrent'][0]!r} has the shape {recurrent.shape}; expected [units, units]")
    given = parts.get("input", np.zeros((units, 0)))
    rows = given.shape[0] != units and given.shape[1] == units
    if rows:
        recurrent, given = recurrent.T, given.T
    alpha, leak = _leak(parts, roles, options, units)
    if alpha is None and options.form is not None:
        raise NetworkError("form needs a leak; set alpha = dt/tau (--alpha), or store it in the file")
    activation = options.activation or "tanh"
    weights = (given, recurrent, np.zeros(units), parts.get("bias", np.zeros(units)), activation)
    try:
        layer = Layer(*weights) if alpha is None else Leaky(*weights, alpha=alpha, form=options.form or "rate")
    except ValueError as error:
        raise NetworkError(f"the matrices do not fit: {error}") from None
    stack = Stack((layer,))
    readout, readout_description = _readout(parts, roles, options, units, rows)
    used = {name for names in roles.values() for name in names}
    ignored = sorted(set(arrays) - used)
    source = (
        f"plain matrices: {layer.n_inputs} inputs, {units} units ({', '.join(sorted(used))})",
        "rows are multiplied, h W: the input matrix is [inputs, units]" if rows else "columns are multiplied, W h",
        leak,
        f"activation {activation}{'' if options.activation else ', assumed: matrices do not record it'}",
        *([] if alpha is None else [f"the state is {options.form or 'rate'}s{'' if options.form else ', assumed'}"]),
        readout_description,
        *([f"not used: {', '.join(ignored)}"] if ignored else []),
    )
    return network_of_layers(stack, readout, source)


def _roles(arrays: Arrays) -> dict[str, list[str]]:
    """Return the names of the arrays for each role."""
    roles: dict[str, list[str]] = {}
    for name, values in arrays.items():
        plain = name.lower().replace("_", "")
        for (role, dimensions), names in NAMES.items():
            if plain in names and values.ndim == dimensions and values.dtype.kind in "fiu":
                roles.setdefault(role, []).append(name)
    return roles


def _leak(
    parts: Mapping[str, Matrix], roles: Mapping[str, list[str]], options: Options, units: int
) -> tuple[Matrix | None, str]:
    """Return α of each unit, or None, and a sentence about its source."""
    if options.alpha is not None:
        return np.full(units, options.alpha), f"leaky with alpha {options.alpha:g}, as requested"
    if "alpha" in parts:
        return np.broadcast_to(parts["alpha"], (units,)), f"leaky with {roles['alpha'][0]}"
    if "tau" not in parts:
        return None, "discrete in time: neither alpha nor tau is in the file"
    if "dt" not in parts:
        raise NetworkError(f"{roles['tau'][0]!r} needs a time step: store dt in the file, or set alpha=… (--alpha)")
    alpha = np.broadcast_to(parts["dt"] / parts["tau"], (units,))
    return alpha, f"leaky with alpha = {roles['dt'][0]}/{roles['tau'][0]}, {alpha.min():g} to {alpha.max():g}"


def _readout(
    parts: Mapping[str, Matrix], roles: Mapping[str, list[str]], options: Options, units: int, rows: bool
) -> tuple[tuple[Matrix, Matrix] | None, str]:
    if options.readout is not None and options.readout not in ("", *roles.get("readout", ())):
        raise NetworkError(
            f"the file has no readout {options.readout!r}; it has: {', '.join(roles.get('readout', ['none']))}"
        )
    if "readout" not in parts or options.readout == "":
        return None, "no readout"
    weights = parts["readout"]
    flipped = rows or (weights.shape[1] != units and weights.shape[0] == units)
    weights = weights.T if flipped else weights
    bias = parts.get("readout bias", np.zeros(len(weights)))
    if weights.shape[1] != units or bias.shape != (len(weights),):
        raise NetworkError(
            f"{roles['readout'][0]!r} has the shape {parts['readout'].shape}; expected [outputs, {units}], and a bias "
            "of as many outputs"
        )
    return (weights, bias), f"readout {roles['readout'][0]}, {len(weights)} outputs"
