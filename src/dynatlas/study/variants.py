"""Tasks with other settings: at the levels of factors, and as variations that trained networks are tested on."""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import numpy as np

from dynatlas.study.factors import Reader, chosen_settings, read_settings
from dynatlas.study.members import Levels
from dynatlas.tasks.task import Task

UNCHANGED: Final = "as it is"  # the task itself among its variations
NOISES: Final = ("input_noise", "recurrent_noise")  # of a variation, beside the settings of its task


def changed(task: Task, changes: dict[str, Any]) -> Task:
    """Return a task with other settings; a ``ValidationError`` names one that it does not accept."""
    return type(task).model_validate(task.model_dump() | {"name": task.name} | changes)


def setting_names(task: Task) -> set[str]:
    """Return the settings of a task that a study file can set."""
    fields = type(task).model_fields.items()
    return {name for name, field in fields if name not in ("kind", "name") and not (name == "steps" and field.exclude)}


@lru_cache(maxsize=256)
def variant(task: Task, levels: Levels) -> Task:
    """Return a task with the levels of its factors."""
    changes = chosen_settings(levels, "tasks")
    return changed(task, changes) if changes else task


def refuse_other_comparison(task: Task, variant: Task, changes: Mapping[str, Any]) -> None:
    """Refuse levels with which networks cannot be compared on the probe of the task itself."""

    def compared(of: Task) -> dict[str, Any]:
        facts = {"inputs": of.n_inputs, "outputs": of.n_outputs, "conditions": np.asarray(of.conditions()).tolist()}
        return facts | {"frequencies": of.condition_frequencies(), "integrated inputs": of.integrated_inputs()}

    seen, wanted = compared(variant), compared(task)
    if different := [name for name in wanted if seen[name] != wanted[name]]:
        settings = ", ".join(f"{name} = {value!r}" for name, value in changes.items())
        raise ValueError(
            f"the task {task.name!r} has other {different[0]} with {settings}, so its networks cannot be compared with "
            'the others; list the task twice under [[tasks]], each with a name = "…" of its own'
        )


class Variation(NamedTuple):
    """A task with other settings, and noise while networks are tested on it.

    Attributes:
        task: with the settings of the variation.
        input_noise: standard deviation of Gaussian noise on every input at every step.
        recurrent_noise: the same on the sums that enter the activation function of hidden units, as in training.
    """

    task: Task
    input_noise: float = 0.0
    recurrent_noise: float = 0.0


def variations_of(task: Task, given: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Variation]:
    """Return the variations of a task by name, the task itself first.

    Args:
        task: the task.
        given: name → settings of the task and noise; None for those that the task proposes.

    Raises:
        ValueError: the name of the task itself, or the same settings as another variation; a noise that is no number of
            at least 0; a setting that the task does not accept, or one that changes its number of inputs or outputs.

    Example:
        >>> from dynatlas.tasks import FlipFlop
        >>> found = variations_of(FlipFlop(), {"longer": {"steps": 200}, "noisy": {"input_noise": 0.1}})
        >>> [(name, one.task.steps, one.input_noise) for name, one in found.items()]
        [('as it is', 100, 0.0), ('longer', 200, 0.0), ('noisy', 100, 0.1)]
    """
    found = {UNCHANGED: Variation(task)}
    proposed: Any = task.variations if given is None else given
    if not isinstance(proposed, Mapping):
        raise ValueError(
            f"the task {task.name!r} has variations of the type {type(proposed).__name__}; expected name → settings, "
            'such as {"longer": {"steps": 200}}'
        )
    for name, settings in proposed.items():
        what = f"the variation {name!r} of the task {task.name!r}"
        if not (isinstance(name, str) and name.strip() and name.isprintable()) or name == UNCHANGED:
            raise ValueError(f"{what} has a name that is empty, not printable, or that of the task without changes")
        if not isinstance(settings, Mapping):
            raise ValueError(f"{what} is {settings!r}; expected its settings, such as {{'steps': 200}}")
        noise = {each: _noise(what, each, settings[each]) for each in NOISES if each in settings}
        changes = {each: value for each, value in settings.items() if each not in NOISES}
        variation = Variation(_tested(what, task, changes), **noise)
        if same := [known for known, other in found.items() if other == variation]:
            raise ValueError(f"{what} is the same as {same[0]!r}; leave one of them out")
        found[name] = variation
    return found


def _noise(what: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e6:
        raise ValueError(f"{what} has {name} = {value!r}; expected a number from 0 to 1e6")
    return float(value)


def _tested(what: str, task: Task, changes: dict[str, Any]) -> Task:
    """Return the task with changes under which its networks can be tested."""
    if not changes:
        return task
    tested: Any = read_settings(what, Reader(partial(changed, task), setting_names(task)), changes)
    for channels in ("n_inputs", "n_outputs"):
        before, after = getattr(task, channels), getattr(tested, channels)
        if after != before:
            raise ValueError(f"{what} changes {channels} from {before} to {after}; trained networks have {before}")
    return tested
