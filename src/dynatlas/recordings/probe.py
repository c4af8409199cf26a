"""The probe to align a recording with: samples, trial by trial, and the condition of each."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dynatlas._io.targets import write_file
from dynatlas.errors import NetworkError
from dynatlas.tasks.task import Task


class Probe(NamedTuple):
    """The trials on which networks are compared.

    Attributes:
        kind: name of the task.
        inputs: inputs of the networks.
        targets: target outputs.
        condition: condition of each sample, from 0; samples of one condition may be averaged, as over repeated trials.
            0 everywhere if there is nothing to average over. Unlike ``Task.conditions``, the constant inputs at which
            networks are analysed: a flip-flop has one of those, and here as many as it has memories.
        condition_names: name of each condition.
    """

    kind: str
    inputs: Float[np.ndarray, "trials steps inputs"]
    targets: Float[np.ndarray, "trials steps outputs"]
    condition: Int[np.ndarray, "trials steps"]
    condition_names: tuple[str, ...]

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(self.inputs)

    @property
    def steps(self) -> int:
        """Steps of each trial."""
        return int(self.inputs.shape[1])

    @property
    def samples(self) -> int:
        """Number of samples: all steps of all trials."""
        return self.trials * self.steps


def probe_of(task: Task) -> Probe:
    """Return a task's probe, with conditions over which activity can be averaged.

    If the inputs of every trial are constant, such as the command of a sine wave or the evidence to integrate, each
    trial is a condition. Otherwise samples with the same target are one condition, such as those at which a flip-flop
    holds the same memory. If more than half of the samples have different targets, all are one condition.

    Example:
        >>> from dynatlas.tasks import FlipFlop, SineWave
        >>> probe_of(FlipFlop(channels=2, steps=10)).condition_names
        ('target −1, −1', 'target −1, 1', 'target 1, −1', 'target 1, 1')
        >>> len(probe_of(SineWave(steps=10)).condition_names)
        51
    """
    inputs, targets = (np.asarray(values, np.float64) for values in task.probe())
    trials, steps = inputs.shape[:2]
    if (inputs == inputs[:, :1]).all():
        condition = np.repeat(np.arange(trials)[:, None], steps, axis=1)
        names = [f"inputs {_numbers(given)}" for given in inputs[:, 0]]
    else:
        levels, codes = np.unique(targets.reshape(trials * steps, -1), axis=0, return_inverse=True)
        condition, names = codes.reshape(trials, steps), [f"target {_numbers(level)}" for level in levels]
        if 2 * len(levels) > trials * steps:
            condition, names = np.zeros((trials, steps), np.int64), ["the whole probe"]
    return Probe(task.kind, inputs, targets, condition.astype(np.int64), tuple(names))


def write_probe(task: Task, target: Path, *, force: bool = False) -> Probe:
    """Write the probe and the task's settings as ``.npz``, and return the probe.

    Raises:
        NetworkError: another file extension; the file exists and differs (``force`` replaces it), or cannot be
            written.
    """
    if target.suffix != ".npz":
        raise NetworkError(f"{target.name} ends in {target.suffix!r}; expected .npz")
    probe = probe_of(task)
    arrays = probe._asdict() | {"condition_names": np.array(probe.condition_names), "kind": np.array(probe.kind)}
    settings = json.dumps(task.model_dump(mode="json"))

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, settings=np.array(settings), **arrays)

    write_file(target, write, force=force, error=NetworkError)
    return probe


def _numbers(values: Float[np.ndarray, " numbers"]) -> str:
    return ", ".join(f"{value:.3g}".replace("-", "−") for value in values)
