"""User-defined tasks without their code: recorded facts, with which an atlas can be opened and displayed."""

from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import BaseModel, ConfigDict, create_model

from dynatlas.errors import PluginError
from dynatlas.tasks.task import Task, Trial


class TaskFacts(BaseModel):
    """Facts of a task that are not settings, but needed without its code."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = ""  # of a task under another name
    title: str
    summary: str
    n_inputs: int
    n_outputs: int
    condition_names: tuple[str, ...]
    topology: tuple[str, ...]
    threshold: tuple[Literal["mse", "r2"], float]
    comparison_settings: tuple[str, ...]
    # Records of older versions lack the following fields.
    ideal_outputs: tuple[float, ...] = ()
    conditions: tuple[tuple[float, ...], ...] = ()  # with oscillation or integration: they colour the trials
    condition_frequencies: tuple[float, ...] = ()
    integrated_inputs: tuple[int, ...] = ()
    probe_evidence: float = 0.0
    probe_words: str = ""

    @classmethod
    def of(cls, task: Task) -> "TaskFacts":
        """Return the facts of a task whose code is available."""
        frequencies = tuple(map(float, task.condition_frequencies()))
        integrated = tuple(map(int, task.integrated_inputs()))
        return cls(
            kind="" if task.name == task.kind else task.kind,
            title=task.title,
            summary=task.summary,
            n_inputs=task.n_inputs,
            n_outputs=task.n_outputs,
            condition_names=task.condition_names(),
            topology=task.topology,
            threshold=task.threshold,
            comparison_settings=tuple(sorted(task.comparison_settings)),
            ideal_outputs=tuple(map(float, task.ideal_outputs)),
            conditions=tuple(map(tuple, np.asarray(task.conditions()).tolist())) if frequencies or integrated else (),
            condition_frequencies=frequencies,
            integrated_inputs=integrated,
            probe_evidence=task.probe_evidence,
            probe_words=task.probe_words,
        )


class _WithoutCode(Task):
    """A task with settings and facts, but without trials."""

    model_config = ConfigDict(frozen=True, extra="allow")

    facts: ClassVar[TaskFacts]

    @property
    def summary(self) -> str:
        return self.facts.summary

    @property
    def n_inputs(self) -> int:
        return self.facts.n_inputs

    @property
    def n_outputs(self) -> int:
        return self.facts.n_outputs

    @property
    def n_conditions(self) -> int:
        return len(self.facts.condition_names)

    @property
    def probe_evidence(self) -> float:
        return self.facts.probe_evidence

    def condition_names(self) -> tuple[str, ...]:
        return self.facts.condition_names

    def condition_frequencies(self) -> tuple[float, ...]:
        return self.facts.condition_frequencies

    def integrated_inputs(self) -> tuple[int, ...]:
        return self.facts.integrated_inputs

    def trial(self, key: PRNGKeyArray) -> Trial:
        raise code_is_missing("task", self.kind)

    def conditions(self) -> Float[Array, "conditions inputs"]:
        if not self.facts.conditions:
            raise code_is_missing("task", self.kind)
        return jnp.asarray(self.facts.conditions, jnp.float32)


def task_without_code(kind: str, facts: TaskFacts) -> type[Task]:
    """Create a class of tasks that accepts any settings, and has these facts."""
    made = create_model(kind, __base__=_WithoutCode, __module__=__name__)
    made.facts = facts
    made.title, made.topology, made.threshold = facts.title, facts.topology, facts.threshold
    made.comparison_settings = frozenset(facts.comparison_settings)
    made.ideal_outputs, made.probe_words = facts.ideal_outputs, facts.probe_words
    return made


def has_code(task: Task) -> bool:
    """Whether the code of a task is available."""
    return not isinstance(task, _WithoutCode)


def code_is_missing(what: str, name: str) -> PluginError:
    """Return the error for a user-defined task, cell or measure whose code has not been imported."""
    return PluginError(
        f"the {what} {name!r} is not one of dynatlas' own, and the code that the study was made with has not been "
        "imported: opening an atlas runs no code. If you trust it: dynatlas.load_plugin(ATLAS / 'plugins' / FILE), "
        "or --plugin FILE, or install the package that it comes from and load_package it; then open the atlas again"
    )
