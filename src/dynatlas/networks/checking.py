"""Does a network that was read do what the original did? Held against recorded inputs and states, step by step."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from dynatlas.errors import NetworkError
from dynatlas.networks.network import Network

TOLERANCE: Final = 1e-5


EXPECTED: Final = (
    "expected `inputs` with `states` [trials, steps, n], or with `hidden` or `outputs` of runs from state 0, or single "
    "steps as `states` [samples, n], `inputs` [samples, m] and `following` [samples, n]"
)


class Check(NamedTuple):
    """How a network agrees with a record of the original.

    Attributes:
        compared: what was compared, in words.
        error: the largest difference of any number, in any step.
    """

    compared: str
    error: float

    def __str__(self) -> str:
        return f"verified: {self.compared}, largest difference {self.error:.1e}"


def check(network: Network, record: Mapping[str, Any], tolerance: float = TOLERANCE) -> Check:
    """Hold a network against a record of the original.

    Whole states are compared step by step: each recorded state is given one step, and must become the next one, so that
    no error adds up. Hidden units or outputs, from which an LSTM's state does not follow, are compared along whole runs
    from state 0.

    Args:
        network: the network that was read.
        record: arrays by name: ``states`` [trials, steps, n] with ``inputs`` [trials, steps, m], where the state at a
            step is that after its input, and, if runs do not begin at 0, ``initial`` [trials, n]; or instead of the
            states ``hidden`` [trials, steps, units] or ``outputs`` [trials, steps, o]; or single steps: ``states``
            [samples, n], ``inputs`` [samples, m], ``following`` [samples, n]. One trial may lack its axis.
        tolerance: the largest difference allowed.

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
        raise NetworkError(
            f"the network was not read rightly: over {result.compared} it differs from the record by "
            f"{result.error:.3g}; expected at most {tolerance:g}. Found and assumed: {'; '.join(network.source)}. "
            "Try another activation, reset or layer"
        )
    return result


def _compare(network: Network, arrays: dict[str, Any]) -> Check:
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
            raise ValueError(f"states has shape {states.shape}; expected {(*inputs.shape[:2], network.n_states)}")
        before = np.concatenate([initial[:, None], states[:, :-1]], axis=1)
        flat = (values.reshape(-1, values.shape[-1]) for values in (before, inputs, states))
        return _single_steps(network, *flat)
    for name in ("hidden", "outputs"):
        if name in arrays:
            states = network.run(inputs, initial)
            shown = network.read_out(states) if name == "outputs" else states[..., _hidden(network)]
            expected = arrays[name]
            expected = expected[None] if expected.ndim == 2 else expected
            if expected.shape != shown.shape:
                raise ValueError(f"{name} has shape {expected.shape}; the network gives {shown.shape}")
            what = f"the {name} of {len(inputs)} runs of {inputs.shape[1]} steps"
            return Check(what, _largest(shown, expected))
    raise ValueError(f"it has {', '.join(arrays)}; {EXPECTED}")


def _single_steps(network: Network, states: Any, inputs: Any, following: Any) -> Check:
    if states.shape != following.shape or len(inputs) != len(states):
        shapes = f"{states.shape}, {inputs.shape}, {following.shape}"
        raise ValueError(f"states, inputs and following have shapes {shapes}; expected as many rows in each")
    made = network.run(inputs[:, None], states)[:, 0]
    return Check(f"{len(states)} single steps of whole states", _largest(made, following))


def _hidden(network: Network) -> Any:
    """Which numbers of the state a layer on top would see."""
    names = [label.rsplit(".", 1) for label in network.state_labels]
    top = names[-1][0] if len(names[-1]) > 1 else None
    return [place for place, name in enumerate(names) if name[-1].startswith("h") and (top is None or name[0] == top)]


def _largest(made: Any, expected: Any) -> float:
    difference = np.abs(made - expected)
    return float(difference.max(initial=0)) if np.isfinite(difference).all() else float("inf")
