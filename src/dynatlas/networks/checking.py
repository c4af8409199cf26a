"""Verify a network on recorded inputs and states of the original, step by step."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynatlas.errors import NetworkError
from dynatlas.networks.network import Network

Floats = NDArray[np.float64]
TOLERANCE: Final = 1e-5

EXPECTED: Final = (
    "expected `inputs` with `states` [trials, steps, n], or with `hidden` or `outputs` of runs from state 0, or single "
    "steps as `states` [samples, n], `inputs` [samples, m] and `following` [samples, n]"
)


class Check(NamedTuple):
    """Agreement of a network with a record of the original.

    Attributes:
        compared: description of what was compared.
        error: the largest absolute difference over all numbers and steps.
    """

    compared: str
    error: float

    def __str__(self) -> str:
        return f"verified: {self.compared}, largest difference {self.error:.1e}"


def check(network: Network, record: Mapping[str, NDArray[np.generic]], tolerance: float = TOLERANCE) -> Check:
    """Check that a network reproduces a record of the original.

    Whole states are compared step by step, each from the recorded state before it, so that errors do not accumulate.
    Hidden units and outputs do not determine an LSTM's state; they are compared along whole runs from state 0.

    Args:
        network: the network to verify.
        record: arrays by name: ``states`` [trials, steps, n], each after the input of its step, with ``inputs``
            [trials, steps, m] and, if runs do not start from 0, ``initial`` [trials, n]; or instead of the states
            ``hidden`` [trials, steps, units] or ``outputs`` [trials, steps, o]; or single steps: ``states``
            [samples, n], ``inputs`` [samples, m], ``following`` [samples, n]. A single trial may omit its axis.
        tolerance: the largest absolute difference allowed.

    Raises:
        NetworkError: a difference above the tolerance, or arrays that do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> half = Network(step=lambda h, x: h / 2 + x, n_states=1, n_inputs=1)
        >>> str(check(half, {"inputs": np.ones((2, 1)), "states": np.array([[1.0], [1.5]])}))
        'verified: 2 single steps of whole states, largest difference 0.0e+00'
    """
    arrays = {name: np.asarray(values, np.float64) for name, values in record.items() if values.dtype.kind in "fiu"}
    if "inputs" not in arrays:
        raise NetworkError(f"the record has {', '.join(record) or 'nothing'}; {EXPECTED}")
    try:
        result = _compare(network, arrays)
    except ValueError as error:
        raise NetworkError(f"the record does not fit the network: {error}") from None
    if not result.error <= tolerance:
        found = "; ".join(network.assumed or network.source)[:200]
        otherwise = f"Found and assumed: {found}. Try another activation, reset or layer"
        raise NetworkError(
            f"the network does not reproduce the record: over {result.compared}, the largest difference is "
            f"{result.error:.3g}; expected at most {tolerance:g}. "
            f"{_explanation(network, arrays, tolerance) or otherwise}"
        )
    return result


def _explanation(network: Network, arrays: dict[str, Floats], tolerance: float) -> str:
    """Return what the record's axes would have to be for the network to reproduce it; "" if nothing fits."""
    inputs, states = arrays["inputs"], arrays.get("states")
    if states is None or inputs.ndim != 3 or states.ndim != 3 or "following" in arrays:
        return ""
    swapped = {name: arrays[name].swapaxes(0, 1) for name in ("inputs", "states")}
    first = {"initial": arrays["initial"]} if "initial" in arrays and len(arrays["initial"]) == inputs.shape[1] else {}
    late = {"inputs": inputs[:, :-1], "states": states[:, 1:], "initial": states[:, 0]}
    for record, what in (
        (swapped | first, "With the first two axes swapped it does: save the record as [trials, steps, …]"),
        (late, "With the states one step later it does: save the states after each step, and the first as `initial`"),
    ):
        try:
            if record["inputs"].shape[1] and _compare(network, record).error <= tolerance:
                return what
        except ValueError:
            continue
    return ""


def _compare(network: Network, arrays: dict[str, Floats]) -> Check:
    inputs = arrays["inputs"]
    if "following" in arrays and "states" in arrays:
        return _single_steps(network, arrays["states"], inputs, arrays["following"])
    inputs = inputs[None] if inputs.ndim == 2 else inputs
    initial = arrays.get("initial", np.zeros((len(inputs), network.n_states)))
    initial = initial[None] if initial.ndim == 1 else initial
    if "states" in arrays:
        states = arrays["states"]
        states = states[None] if states.ndim == 2 else states
        if states.shape != (*inputs.shape[:2], network.n_states):
            with_first = states.shape == (len(inputs), inputs.shape[1] + 1, network.n_states)
            hint = "; save the first state as `initial`, and the states after each step" if with_first else ""
            raise ValueError(f"states has shape {states.shape}; expected {(*inputs.shape[:2], network.n_states)}{hint}")
        before = np.concatenate([initial[:, None], states[:, :-1]], axis=1)
        flat = (values.reshape(-1, values.shape[-1]) for values in (before, inputs, states))
        return _single_steps(network, *flat)
    for name in ("hidden", "outputs"):
        if name in arrays:
            states = network.run(inputs, initial)
            computed = network.read_out(states) if name == "outputs" else states[..., _hidden(network)]
            expected = arrays[name]
            expected = expected[None] if expected.ndim == 2 else expected
            if expected.shape != computed.shape:
                raise ValueError(f"{name} has shape {expected.shape}; the network returns {computed.shape}")
            compared = f"the {name} of {len(inputs)} runs of {inputs.shape[1]} steps"
            return Check(compared, _largest_difference(computed, expected))
    raise ValueError(f"it has {', '.join(arrays)}; {EXPECTED}")


def _single_steps(network: Network, states: Floats, inputs: Floats, following: Floats) -> Check:
    if states.shape != following.shape or len(inputs) != len(states):
        shapes = f"{states.shape}, {inputs.shape}, {following.shape}"
        raise ValueError(f"states, inputs and following have shapes {shapes}; expected as many rows in each")
    computed = network.run(inputs[:, None], states)[:, 0]
    return Check(f"{len(states)} single steps of whole states", _largest_difference(computed, following))


def _hidden(network: Network) -> list[int]:
    """Return the places in the state of the highest layer's hidden units."""
    names = [label.rsplit(".", 1) for label in network.state_labels]
    top = names[-1][0] if len(names[-1]) > 1 else None
    return [place for place, name in enumerate(names) if name[-1].startswith("h") and (top is None or name[0] == top)]


def _largest_difference(computed: Floats, expected: Floats) -> float:
    difference = np.abs(computed - expected)
    return float(difference.max(initial=0)) if np.isfinite(difference).all() else float("inf")
