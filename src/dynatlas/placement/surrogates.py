"""What a recording is held against: itself out of time, and its own halves."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from dynatlas.recordings import Aligned


def shuffled(recording: Aligned, count: int, seed: int) -> Iterator[Float[np.ndarray, "rows units"]]:
    """Its rows in a random order: nothing is left but how the units go together."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield random.permutation(recording.activity)


def shifted(recording: Aligned, count: int, seed: int) -> Iterator[Float[np.ndarray, "rows units"]]:
    """Its trials in a random order, all turned in time by one random lag: smooth as before, and at the wrong samples.

    The stricter control: what changes slowly is like anything else that changes slowly, and shuffling hides that.
    """
    random = np.random.default_rng(seed)
    trials = recording.activity.reshape(recording.rows.trials, -1, recording.activity.shape[1])
    for _ in range(count):
        lag = int(random.integers(1, max(trials.shape[1], 2)))
        turned = np.roll(trials[random.permutation(len(trials))], lag, axis=1)
        yield turned.reshape(recording.activity.shape)


def unit_halves(
    recording: Aligned, count: int, seed: int
) -> Iterator[tuple[Float[np.ndarray, "rows some"], Float[np.ndarray, "rows others"]]]:
    """Random halves of its units: how far apart two samples of one population are."""
    random = np.random.default_rng(seed)
    units = recording.activity.shape[1]
    for _ in range(count):
        order = random.permutation(units)
        yield recording.activity[:, order[: units // 2]], recording.activity[:, order[units // 2 :]]
