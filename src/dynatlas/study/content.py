"""Content of each network of a study: the settings that determine its weights, and whose hash is its id."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dynatlas.study.members import Configuration, Member
from dynatlas.study.settings import Training
from dynatlas.tasks.registry import BUILT_IN
from dynatlas.tasks.task import Task, without_none

if TYPE_CHECKING:
    from dynatlas.study.study import Study

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def each_member(study: "Study") -> Iterator[Member]:
    """Yield every network, in the order of the study file."""
    of = study.population
    for task, architecture, activation, units, l2 in itertools.product(
        study.tasks, of.architectures, of.activations, of.units, of.l2
    ):
        configuration = Configuration(task.kind, architecture, activation, units, l2)
        training = _training(study, configuration._asdict())
        shared = _content(study, task, configuration, training)
        for seed in range(of.seeds):
            yield Member(content_hash(shared | {"seed": seed})[:16], *configuration, seed, training)


def content_hash(content: object) -> str:
    """Return the SHA-256 of settings, independent of the order of their keys."""
    return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()


def task_content(task: Task, exclude: set[str] | None = None) -> dict[str, Any]:
    """Return the settings of a task; those of a user-defined one as read from a TOML file, which has no null."""
    settings = task.model_dump(mode="json", exclude=exclude)
    return settings if task.kind in BUILT_IN else dict(without_none(settings))


def _content(study: "Study", task: Task, configuration: Configuration, training: Training) -> dict[str, Any]:
    """Return the content that the members of a configuration share: all but the seed."""
    content = configuration._asdict() | {
        "task": task_content(task, exclude=set(task.comparison_settings)),
        "training": training.content(),
    }
    if study.search:
        # The settings of the search determine the hyperparameters that it chooses.
        content["search"] = study.search.content()
    # The behaviour of a user-defined task or cell is determined by its code.
    versions = {named: plugin.identity for plugin in study.plugins for named in plugin.names}
    used = {"task": ("tasks", task.kind), "cell": ("cells", configuration.architecture)}
    if code := {what: versions[named] for what, named in used.items() if named in versions}:
        content["code"] = code
    return content


def _training(study: "Study", factors: Mapping[str, object]) -> Training:
    """Return the study's training settings with every matching override applied, later ones last."""
    settings = study.training.model_dump()
    for override in study.overrides:
        if override.matches(factors):
            settings |= override.training
    return Training.model_validate(settings)
