"""Names and parametrisations of PyTorch's modules: prefixes of wrappers, pruning, weight and spectral normalisation.

    X_orig, X_mask                            X = X_orig ∘ X_mask                       (torch.nn.utils.prune)
    X_g, X_v                                  X = g v / ‖v‖                             (weight_norm)
    parametrizations.X.original0, original1   the same                                  (parametrizations.weight_norm)
    X_orig, X_u, X_v                          X = X_orig / (u · X_orig v)               (spectral_norm)
    parametrizations.X.original, 0._u, 0._v   the same                                  (parametrizations.spectral_norm)

Norms are over all axes along which g has length 1. Other parametrisations are refused by name, since the file does not
record their equation.
"""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.untrusted import Arrays
from dynatlas.errors import NetworkError

WRAPPERS: Final = {"_orig_mod", "module"}  # torch.compile; DataParallel and DistributedDataParallel
_PARAMETRIZED = re.compile(r"(?P<module>(?:.*\.)?)parametrizations\.(?P<name>[^.]+)\.(?P<part>.+)")
_SUFFIX = re.compile(
    r"(?P<name>.*?weight(?:_(?:ih|hh|hr)(?:_l\d+)?(?:_reverse)?)?|.*?bias(?:_(?:ih|hh)(?:_l\d+)?(?:_reverse)?)?)_(?P<part>orig|mask|g|v|u)"
)


def plain_state_dict(arrays: Arrays) -> tuple[Arrays, tuple[str, ...]]:
    """Return the arrays without wrappers' prefixes and parametrisations, and sentences about these.

    Raises:
        NetworkError: a parametrisation that cannot be computed from the file.

    Example:
        >>> pruned = {"module.rnn.weight_hh_l0_orig": np.full((2, 2), 3.0), "module.rnn.weight_hh_l0_mask": np.eye(2)}
        >>> found, facts = plain_state_dict(pruned)
        >>> found["rnn.weight_hh_l0"].tolist(), facts
        ([[3.0, 0.0], [0.0, 3.0]], ('weight_hh_l0 is pruned: weight_hh_l0_orig times weight_hh_l0_mask',))
    """
    named = {_unwrapped(name): values for name, values in arrays.items()}
    if len(named) != len(arrays):
        named = dict(arrays)
    groups: dict[str, dict[str, str]] = {}
    for name in named:
        if match := _PARAMETRIZED.fullmatch(name):
            groups.setdefault(match["module"] + match["name"], {})[match["part"]] = name
        elif match := _SUFFIX.fullmatch(name):
            groups.setdefault(match["name"], {})[match["part"]] = name
    facts = []
    for target, parts in groups.items():
        if not any(".parametrizations." in f".{name}" for name in parts.values()) and not (
            "orig" in parts or set(parts) == {"g", "v"}
        ):
            continue  # names that only look like parts, such as that of a custom mask
        short = target.rsplit(".", 1)[-1]
        values, fact = _composed(target, short, {part: named[name] for part, name in parts.items()})
        for name in parts.values():
            del named[name]
        named[target] = values
        facts.append(fact)
    return named, tuple(facts)


def _unwrapped(name: str) -> str:
    parts = name.split(".")
    return ".".join([part for part in parts[:-1] if part not in WRAPPERS] + parts[-1:])


def _composed(target: str, short: str, parts: Mapping[str, NDArray[np.generic]]) -> tuple[NDArray[np.generic], str]:
    """Return the weights that the parts of a parametrisation make, and a sentence about it."""
    exact = {part: np.asarray(values, np.float64) for part, values in parts.items()}
    try:
        match sorted(exact):
            case ["mask", "orig"]:
                return exact["orig"] * exact["mask"], f"{short} is pruned: {short}_orig times {short}_mask"
            case ["g", "v"]:
                return _normed(exact["g"], exact["v"]), f"{short} has weight_norm, g v/|v|"
            case ["original0", "original1"]:
                return _normed(exact["original0"], exact["original1"]), f"{short} has weight_norm, g v/|v|"
            case ["orig", "u"] | ["orig", "u", "v"]:
                return _spectral(exact["orig"], exact["u"], exact.get("v")), f"{short} has spectral_norm"
            case ["0._u", "0._v", "original"]:
                return _spectral(exact["original"], exact["0._u"], exact["0._v"]), f"{short} has spectral_norm"
    except ValueError as error:
        raise NetworkError(f"the parts of {target!r} do not fit: {error}") from None
    raise NetworkError(
        f"{target!r} is parametrised "
        f"({', '.join(f'{part} {list(values.shape)}' for part, values in exact.items())}), and "
        "the file does not record how. In PyTorch, make it a plain weight before saving: "
        "torch.nn.utils.parametrize.remove_parametrizations(module, name), or torch.nn.utils.prune.remove(module, name)"
    )


def _normed(g: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    axes = tuple(axis for axis in range(v.ndim) if g.ndim != v.ndim or g.shape[axis] == 1)
    return g * v / np.sqrt((v**2).sum(axis=axes, keepdims=True))


def _spectral(
    weights: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    if v is None:
        v = weights.T @ u
        v = v / np.linalg.norm(v)
    return weights / (u @ weights @ v)
