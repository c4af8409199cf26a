"""Content of each network of a study: the settings that determine its weights, and whose hash is its id."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dynatlas.study.factors import chosen_settings, crossed
from dynatlas.study.members import FACTORS, Configuration, Member
from dynatlas.study.settings import Training
from dynatlas.tasks.registry import BUILT_IN
from dynatlas.tasks.task import Task, without_none

if TYPE_CHECKING:
    from dynatlas.study.study import Study

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def each_member(study: "Study") -> Iterator[Member]:
    """Yield every network, in the order of the study file."""
    of = study.population
    combinations = tuple(crossed(study.further_factors))
    for task, architecture, activation, units, l2, levels in itertools.product(
        study.tasks, of.architectures, of.activations, of.units, of.l2, combinations
    ):
        configuration = Configuration(task.name, architecture, activation, units, l2, levels)
        training, seeds = _training(study, configuration)
        shared = _content(study, configuration, training)
        for seed in range(seeds):
            yield Member(content_hash(shared | {"seed": seed})[:16], *configuration, seed, training)


def content_hash(content: object) -> str:
    """Return the SHA-256 of settings, independent of the order of their keys."""
    return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()


def task_table(task: Task) -> dict[str, Any]:
    """Return a task as its table in a study file: its settings, and its name if it is not the kind."""
    named = {} if task.name == task.kind else {"name": task.name}
    return {"kind": task.kind} | named | task.model_dump(mode="json")


def task_content(task: Task, exclude: set[str] | None = None) -> dict[str, Any]:
    """Return the settings of a task; those of a user-defined one as read from a TOML file, which has no null."""
    settings = task.model_dump(mode="json", exclude=exclude)
    return settings if task.kind in BUILT_IN else dict(without_none(settings))


def _content(study: "Study", configuration: Configuration, training: Training) -> dict[str, Any]:
    """Return the content that the members of a configuration share: all but the seed."""
    task = study.trained_task(configuration)
    content: dict[str, Any] = {name: getattr(configuration, name) for name in FACTORS}
    content |= {
        "task": task_content(task, exclude=set(task.comparison_settings)),
        "training": training.content(),
    }
    if cell := study.cell_content(configuration):
        content["cell"] = cell
    if study.search:
        # The settings of the search determine the hyperparameters that it chooses.
        content["search"] = study.search.content()
    # The behaviour of a user-defined task, cell or activation is determined by its code.
    versions = {named: plugin.identity for plugin in study.plugins for named in plugin.names}
    used = {
        "task": ("tasks", task.kind),
        "cell": ("cells", configuration.architecture),
        "activation": ("activations", configuration.activation),
    }
    if code := {what: versions[named] for what, named in used.items() if named in versions}:
        content["code"] = code
    return content


def _training(study: "Study", configuration: Configuration) -> tuple[Training, int]:
    """Return a configuration's training settings and number of seeds.

    They are the study's with every matching override applied, later ones last, then the levels of its factors.
    """
    settings, seeds = study.training.model_dump(), study.population.seeds
    columns = configuration.columns
    for override in study.overrides:
        if override.matches(columns):
            settings |= override.training
            seeds = override.seeds or seeds
    return Training.model_validate(settings | chosen_settings(configuration.levels, "training")), seeds
