"""What a lesion removes from a network: units, modes of its recurrent weights, or input channels.

    unit i      all its state variables are held at 0: h_i = 0 before and after every step
    mode k      W − σ_k u_k v_kᵀ, with the singular values σ₀ ≥ σ₁ ≥ … of the recurrent weights W = Σ σ_k u_k v_kᵀ
    channel k   its input weights are 0: x_k = 0

Since W v_k = σ_k u_k, a removed mode is W (I − v_k v_kᵀ): every lesion is a mask of states, a mask of inputs and some
directions v, so that one program computes all.
"""

import operator
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple, SupportsIndex

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dynatlas.networks.continuation.ways import recurrent_weights
from dynatlas.networks.network import Network

Kind = Literal["intact", "unit", "mode", "channel"]
# Modes with a smaller singular value, relative to the largest, are rounding: weights are often stored in float32.
RANK_TOLERANCE: Final = 1e-6


class Removal(NamedTuple):
    """One lesion.

    Attributes:
        kind: what is removed.
        members: numbers of the units, modes or channels that are removed together.
        name: "unit h3", "modes 0, 1", or "intact".
    """

    kind: Kind
    members: tuple[int, ...]
    name: str


class Masks(NamedTuple):
    """Lesions as arrays; all have a leading axis if there are several.

    Attributes:
        states: 1 for the state variables that are kept, 0 for the others [n].
        inputs: the same for the input channels [m].
        directions: right singular vectors v of the removed modes, zeros beyond them [units, r]; None if the network has
            no recurrent weights of one layer.
    """

    states: Any
    inputs: Any
    directions: Any


class Lesioned(eqx.Module):
    """The step of a network with a lesion."""

    step: Any
    kept_states: Any
    kept_inputs: Any

    def __call__(self, state: Any, inputs: Any) -> Any:
        """Compute one step."""
        return self.kept_states * jnp.asarray(self.step(self.kept_states * state, self.kept_inputs * inputs))


def lesioned(step: Any, masks: Masks) -> Lesioned:
    """Return the step with one lesion."""
    if masks.directions is not None:
        (weights,) = recurrent_weights(step)
        removed = (weights @ masks.directions) @ masks.directions.T
        step = eqx.tree_at(recurrent_weights, step, [weights - removed])
    return Lesioned(step, masks.states, masks.inputs)


def removals_of(
    network: Network,
    units: SupportsIndex | Iterable[object] | None,
    modes: SupportsIndex | Iterable[object] | None,
    channels: SupportsIndex | Iterable[object] | None,
) -> list[Removal]:
    """Return the intact network and the lesions: those that are named, or if none are, each unit, mode and channel.

    Raises:
        ValueError: a unit, mode or channel that the network does not have.

    Example:
        >>> network = Network(lambda h, x: jnp.tanh(2 * h), n_states=2, n_inputs=1)
        >>> [each.name for each in removals_of(network, None, None, None)]
        ['intact', 'unit h0', 'unit h1', 'channel 0']
        >>> [each.name for each in removals_of(network, 0, None, None)]
        ['intact', 'unit h0']
    """
    names = [name for name, _ in units_of(network)]
    n_modes = len(modes_of(network)[0])
    if units is None and modes is None and channels is None:
        units, modes, channels = range(len(names)), range(n_modes), range(network.n_inputs)
    found = [Removal("intact", (), "intact")]
    for kind, given, known in (
        ("unit", units, names),
        ("mode", modes, range(n_modes)),
        ("channel", channels, range(network.n_inputs)),
    ):
        for group in _groups(kind, given):
            members = _members(kind, group, len(known))
            listed = ", ".join(str(known[member]) for member in members)
            found.append(Removal(kind, members, f"{kind}{'s' * (len(members) > 1)} {listed}"))  # type: ignore[arg-type]
    return found


def units_of(network: Network) -> list[tuple[str, list[int]]]:
    """Return the name of each unit and the places of its state variables: h3, and c3 of an LSTM."""
    places: dict[str, list[int]] = {}
    for place, label in enumerate(network.state_labels):
        hidden = re.sub(r"c(\d+)$", r"h\1", label)
        places.setdefault(hidden if hidden in network.state_labels else label, []).append(place)
    return list(places.items())


def modes_of(network: Network) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the singular values of the recurrent weights above rounding [modes], and the vectors v [modes, units].

    There are none if the network has no recurrent weights of one layer.
    """
    found = recurrent_weights(network.step)
    if len(found) != 1:
        return np.zeros(0), np.zeros((0, 0))
    _, values, vectors = np.linalg.svd(np.asarray(found[0], np.float64), full_matrices=False)
    kept = values > RANK_TOLERANCE * max(float(values[0]), 1e-300)
    return values[kept], vectors[kept]


def masks_of(network: Network, removals: Sequence[Removal]) -> Masks:
    """Return all lesions as arrays."""
    states, inputs = np.ones((len(removals), network.n_states)), np.ones((len(removals), network.n_inputs))
    units, (_, vectors) = units_of(network), modes_of(network)
    rank = max([len(each.members) for each in removals if each.kind == "mode"], default=0)
    directions = np.zeros((len(removals), vectors.shape[1], rank)) if rank else None
    for row, (kind, members, _) in enumerate(removals):
        if kind == "unit":
            states[row, [place for member in members for place in units[member][1]]] = 0
        if kind == "channel":
            inputs[row, list(members)] = 0
        if kind == "mode" and directions is not None:
            directions[row, :, : len(members)] = vectors[list(members)].T
    return Masks(states, inputs, directions)


def network_with(network: Network, masks: Masks) -> Network:
    """Return the network with one lesion.

    A box of the network is one of the lesioned network if it contains the value 0 of each silenced variable.
    """
    step = lesioned(network.step, masks)
    whole = network if masks.directions is None else network.with_step(step.step)

    def bounds(inputs: NDArray[np.float64]) -> tuple[Any, Any] | None:
        box = whole.box(masks.inputs * inputs)
        if box is None or ((masks.states == 0) & ((box[0] > 0) | (box[1] < 0))).any():
            return None
        return box

    return replace(network, step=step, bounds=bounds)


def _groups(kind: str, given: object) -> tuple[object, ...]:
    """Return the lesions of one kind; a number alone is one lesion."""
    if isinstance(given, str | bytes):
        raise ValueError(f"{kind}s is {given!r}; expected a number, or numbers and groups, such as [0, (1, 2)]")
    return () if given is None else _several(given)


def _several(given: object) -> tuple[object, ...]:
    """Return the entries, or a number as the only one; arrays without axes are iterable by type, and numbers."""
    is_several = isinstance(given, Iterable) and not isinstance(given, str) and getattr(given, "ndim", 1) > 0
    return tuple(given) if is_several else (given,)  # type: ignore[arg-type]


def _members(kind: str, group: object, count: int) -> tuple[int, ...]:
    """Return the numbers of a group, or of a single member."""
    members = _several(group)
    try:
        # Not int(): it would make the unit 1 of 1.9, of "1" and of True.
        numbers = () if any(isinstance(each, bool) for each in members) else tuple(map(operator.index, members))  # type: ignore[arg-type]
    except TypeError:
        numbers = ()
    if not numbers or len(set(numbers)) < len(numbers) or not all(0 <= number < count for number in numbers):
        has = f"{kind}s 0 to {count - 1}" if count else f"no {kind} that can be removed"
        raise ValueError(f"{kind}s has {group!r}; expected a number or different numbers: the network has {has}")
    return numbers
