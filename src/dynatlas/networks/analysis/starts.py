"""Starts of the search for fixed points: states that the network visits, plus noise."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dynatlas._util.selection import even_selection
from dynatlas.dynamics.step import Box
from dynatlas.networks.network import Network

# Random trials, where neither trials nor activity are given.
TRIALS = 64
STEPS = 100
HELD = 10  # mean steps between changes of a random input
NOISE = 0.5  # of the standard deviation of each state
# Starts of a search, up to 128 state dimensions. The cost of a start grows with the cube of the dimension and that of a
# run of the flow with its square: in larger networks, more of the roots are found along the flow.
STARTS, STARTS_FOR = 1024, 128
# States beyond this, of a network that has diverged, are excluded.
FARTHEST = 1e6


class Visited(NamedTuple):
    """States that a network visits.

    Attributes:
        states: [trials, steps, n], at least one; NaN where a trial diverged.
        said: description of the states.
    """

    states: NDArray[np.float64]
    said: str


def visited_states(
    network: Network, trials: ArrayLike | None, activity: ArrayLike | None, random: np.random.Generator
) -> Visited:
    """Return the given activity, or the states that the network visits on the given trials or on random ones.

    Args:
        network: the network.
        trials: inputs [trials, steps, m], or None.
        activity: states [trials, steps, n] or [samples, n], or None.
        random: generator of the random trials.

    Raises:
        ValueError: shapes that do not fit the network, both trials and activity, or no finite state.
    """
    if activity is not None:
        if trials is not None:
            raise ValueError("both trials and activity are given; expected at most one of them")
        if np.ma.is_masked(activity):
            raise ValueError("activity has masked entries; fill them with NaN, which starts are not drawn from")
        states = np.asarray(activity, np.float64)
        if states.ndim not in (2, 3) or states.shape[-1] != network.n_states or 0 in states.shape:
            raise ValueError(
                f"activity has shape {states.shape}; expected [trials, steps, {network.n_states}] or [samples, "
                f"{network.n_states}]: whole states, {', '.join(network.state_labels[:3])}, …"
            )
        states = states[None] if states.ndim == 2 else states
        said = f"the given activity ({len(states)} trials of {states.shape[1]} steps)"
    elif trials is not None:
        inputs = np.asarray(trials, np.float64)
        states = network.run(inputs)
        said = f"states visited on the {len(inputs)} given trials, from state 0"
    else:
        states = network.run(random_trials(network.n_inputs, random))
        said = (
            f"states visited on {TRIALS} random trials of {STEPS} steps, from state 0: inputs drawn from N(0, 1), or 0 "
            f"with probability 3/4, each held for {HELD} steps on average. Trials of the network's task, or its "
            "activity, are better starts"
        )
    states = np.where((np.abs(states) < FARTHEST).all(axis=-1, keepdims=True), states, np.nan)
    if not np.isfinite(states).any():
        raise ValueError(f"no state is finite and below {FARTHEST:g}; searches cannot start from {said}")
    return Visited(states, said)


def starts_for(n_states: int) -> int:
    """Return the default number of given starts of a search.

    Example:
        >>> starts_for(64), starts_for(512)
        (1024, 256)
    """
    return int(STARTS * min(1.0, STARTS_FOR / n_states))


def starts_around(visited: Visited, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Draw visited states and add noise of half of each state's standard deviation [count, n]."""
    pool = pooled(visited)
    chosen = pool[random.integers(len(pool), size=count)]
    return np.asarray(chosen + NOISE * state_deviations(visited) * random.normal(size=chosen.shape))


def starts_in(box: Box | None, visited: Visited, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Draw ``count`` starts around visited states, and with a box a fifth of them evenly from the box instead.

    Visited states may lie in a part of the box that the flow never leaves, whose roots close a Morse graph of their
    own: units of which one is never switched are searched on one side only. The box is cut at the largest visited
    value, since that of an LSTM's memory may be far wider.
    """
    if box is None:
        return starts_around(visited, count, random)
    even = count // 5
    most = max(float(np.abs(pooled(visited)).max()), 1.0)
    low, high = (np.clip(bound, -most, most) for bound in box)
    return np.concatenate([starts_around(visited, count - even, random), random.uniform(low, high, (even, len(low)))])


def state_deviations(visited: Visited) -> NDArray[np.float64]:
    """Return the standard deviation of each state [n], at least a tenth of their root mean square.

    The floor gives noise also to a unit that never changed.
    """
    deviation = pooled(visited).std(axis=0)
    return np.asarray(np.maximum(deviation, 0.1 * (float(np.sqrt((deviation**2).mean())) or 1.0)))


def pooled(visited: Visited) -> NDArray[np.float64]:
    """Return all finite visited states [samples, n]."""
    rows = visited.states.reshape(-1, visited.states.shape[-1])
    return rows[np.isfinite(rows).all(axis=1)]


def last_states(visited: Visited, count: int) -> NDArray[np.float64]:
    """Return last states of evenly selected trials, or evenly selected states of a single trial [≤ count, n]."""
    ends = visited.states[:, -1] if len(visited.states) > 1 else visited.states[0]
    ends = ends[np.isfinite(ends).all(axis=1)]
    if not len(ends):
        ends = pooled(visited)
    return ends[even_selection(range(len(ends)), count)]


def random_trials(n_inputs: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Draw piecewise constant inputs [trials, steps, m]."""
    values = random.normal(size=(TRIALS, STEPS, n_inputs)) * (random.random((TRIALS, STEPS, 1)) < 0.25)
    changes = random.random((TRIALS, STEPS)) < 1 / HELD
    changes[:, 0] = True
    since = np.maximum.accumulate(np.where(changes, np.arange(STEPS), 0), axis=1)
    return np.take_along_axis(values, since[..., None], axis=1)
