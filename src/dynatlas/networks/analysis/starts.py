"""Where the search for a network's fixed points starts: states that it visits, plus noise; and which those are."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynatlas._util.selection import even_selection
from dynatlas.networks.network import Network

# The random trials of a network of whose inputs nothing is known.
TRIALS = 64


STEPS = 100


HELD = 10  # steps that a random input stays, on average


NOISE = 0.5  # of the standard deviation of each state


# A network without bounds may run away; from there no search starts.
FARTHEST = 1e6


class Visited(NamedTuple):
    """States that a network visits.

    Attributes:
        states: [trials, steps, n], at least one; NaN where a trial ran away.
        said: which they are, in words.
    """

    states: NDArray[np.float64]
    said: str


def visited_states(network: Network, trials: Any | None, activity: Any | None, random: np.random.Generator) -> Visited:
    """The activity given; or what the network does on the trials given; or on random ones.

    Args:
        network: the network.
        trials: inputs [trials, steps, m], or None.
        activity: states [trials, steps, n] or [samples, n], or None.
        random: draws the random trials.

    Raises:
        ValueError: shapes that do not fit the network; both given; no state that is finite.
    """
    if activity is not None:
        if trials is not None:
            raise ValueError("both trials and activity are given; the search starts from one of them")
        states = np.asarray(activity, np.float64)
        if states.ndim not in (2, 3) or states.shape[-1] != network.n_states or 0 in states.shape:
            raise ValueError(
                f"activity has shape {states.shape}; expected [trials, steps, {network.n_states}] or [samples, "
                f"{network.n_states}]: whole states, {', '.join(network.state_labels[:3])}, …"
            )
        states = states[None] if states.ndim == 2 else states
        said = f"the activity given ({len(states)} trials of {states.shape[1]} steps)"
    elif trials is not None:
        inputs = np.asarray(trials, np.float64)
        states = network.run(inputs)
        said = f"what it visits on the {len(inputs)} trials given, from state 0"
    else:
        states = network.run(_random_trials(network.n_inputs, random))
        said = (
            f"what it visits on {TRIALS} random trials of {STEPS} steps, from state 0: inputs drawn from N(0, 1), 0 "
            f"three times in four, each held for {HELD} steps on average. Trials of its own task would be better: give "
            "them, or its activity"
        )
    states = np.where((np.abs(states) < FARTHEST).all(axis=-1, keepdims=True), states, np.nan)
    if not np.isfinite(states).any():
        raise ValueError(f"no state is finite and below {FARTHEST:g} on {said}")
    return Visited(states, said)


def starts_around(visited: Visited, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """States drawn from the visited ones, each moved by noise of half of the states' standard deviation [count, n]."""
    pool = pooled(visited)
    chosen = pool[random.integers(len(pool), size=count)]
    return np.asarray(chosen + NOISE * spread(visited) * random.normal(size=chosen.shape))


def spread(visited: Visited) -> NDArray[np.float64]:
    """The standard deviation of each state [n], but no less than a tenth of what is usual: a unit that never moved."""
    deviation = pooled(visited).std(axis=0)
    return np.asarray(np.maximum(deviation, 0.1 * (float(np.sqrt((deviation**2).mean())) or 1.0)))


def pooled(visited: Visited) -> NDArray[np.float64]:
    """All visited states that are finite [samples, n]."""
    rows = visited.states.reshape(-1, visited.states.shape[-1])
    return rows[np.isfinite(rows).all(axis=1)]


def last_states(visited: Visited, count: int) -> NDArray[np.float64]:
    """Where some trials end, spread evenly over them; of a lone long trial, states all along it [≤ count, n]."""
    ends = visited.states[:, -1] if len(visited.states) > 1 else visited.states[0]
    ends = ends[np.isfinite(ends).all(axis=1)]
    if not len(ends):
        ends = pooled(visited)
    return ends[even_selection(range(len(ends)), count)]


def _random_trials(n_inputs: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Piecewise constant inputs [trials, steps, m]."""
    values = random.normal(size=(TRIALS, STEPS, n_inputs)) * (random.random((TRIALS, STEPS, 1)) < 0.25)
    changes = random.random((TRIALS, STEPS)) < 1 / HELD
    changes[:, 0] = True
    since = np.maximum.accumulate(np.where(changes, np.arange(STEPS), 0), axis=1)
    return np.take_along_axis(values, since[..., None], axis=1)
