"""Departures of a study from the settings of Maheswaranathan et al. 2019, and the provenance of an atlas."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from dynatlas.atlas.view import task_name
from dynatlas.figures.looks import architecture_label, factor_label, level_label
from dynatlas.study.settings import SEARCHED
from dynatlas.study.study import Study
from dynatlas.tasks.registry import PAPER
from dynatlas.tasks.task import Task

UNITS: Final = (64, 128, 256)
L2: Final = (1e-5, 1e-4, 1e-3, 1e-2)
SEEDS: Final = 30
ITERATIONS: Final = 20_000
BATCH_SIZE: Final = 64
CELLS: Final = ("vanilla", "ugrnn", "gru", "lstm")
ACTIVATIONS: Final = ("tanh", "relu")
# Settings of training that the paper does not have: name → words.
ABSENT: Final = {
    "input_noise": "noise on inputs, in training",
    "recurrent_noise": "noise of hidden units, in training",
    "rate_penalty": "penalty on rates",
    "rate_change_penalty": "penalty on the change of rates",
}
NOT_VARIED: Final = "not varied"


class Departure(NamedTuple):
    """One setting that differs from the paper."""

    setting: str
    paper: str
    here: str


def departures(study: Study) -> list[Departure]:
    """Return the settings in which a study differs from the paper; the order of values does not count."""
    return [
        Departure(setting, _text(paper), _text(here))
        for setting, paper, here in _settings(study)
        if _as_set(paper) != _as_set(here)
    ]


def _settings(study: Study) -> Iterator[tuple[str, Any, Any]]:
    """Yield (setting, value in the paper, value in the study); several values are a tuple."""
    population = study.population
    yield "tasks", _titles(study, PAPER), _titles(study, (task.name for task in study.tasks))
    yield "architectures", _labels(CELLS), _labels(population.architectures)
    yield "activations", _labels(ACTIVATIONS, "activation"), _labels(population.activations, "activation")
    yield "hidden units", UNITS, population.units
    yield "L2 penalty", L2, population.l2
    yield "seeds per configuration", SEEDS, _distinct(map(len, study.configurations.values()))
    yield "optimiser", "SGD with momentum", _optimizers(study)
    yield "training iterations", ITERATIONS, _distinct(member.training.iterations for member in study.members)
    yield "batch size", BATCH_SIZE, _distinct(member.training.batch_size for member in study.members)
    yield "learning rate, decay, momentum and clipping", "searched for each configuration", _searched(study)
    factors = [factor.setting for factor in study.further_factors if factor.table == "training"]
    for name, words in ABSENT.items():
        if name not in factors:
            yield words, 0.0, tuple(sorted({getattr(member.training, name) for member in study.members}))
    for name, value in study.cells.items():
        yield f"{name.replace('_', ' ')} of the cells", "none", _setting(value)
    for factor in study.further_factors:
        levels = tuple(level_label(factor.name, level) for level in factor.shown)
        yield f"factor {factor_label(factor.name)}", NOT_VARIED, levels
    for task in study.tasks:
        yield from _task_settings(task)


def _setting(value: Any) -> Any:
    """Return a setting of a study file as text or numbers."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " to ".join(map(_text, value)) if isinstance(value, list | tuple) else value


def _task_settings(task: Task) -> Iterator[tuple[str, Any, Any]]:
    """Yield the settings of a task that the paper states; its values are the defaults."""
    of = f"the {task.label}" if task.name == task.kind else task.label
    for name in task.paper_settings:
        field = type(task).model_fields[name]
        if name == "steps":
            yield f"trial length of {of}", f"{field.default} steps", f"{task.steps} steps"
        else:
            yield field.description or f"{name} of {of}", field.default, getattr(task, name)


def _optimizers(study: Study) -> str | tuple[str, ...]:
    """Name the optimisers; if some networks differ from the others, list them."""
    users: dict[str, set[str]] = {}
    for member in study.members:
        # A search samples the momentum and ignores the one in the study file.
        momentum = 1.0 if study.search else member.training.momentum
        name = "Adam" if member.training.optimizer == "adam" else _sgd(momentum)
        label = f"{task_name(study, member.task)} {architecture_label(member.architecture)} {member.activation}"
        users.setdefault(name, set()).add(" ".join([label, str(member.units), *(each.name for each in member.levels)]))
    if len(users) == 1:
        return next(iter(users))
    fewest = min(users, key=lambda name: len(users[name]))
    others = ", ".join(sorted(users.keys() - {fewest}))
    return f"{others}; but {fewest} for: {', '.join(sorted(users[fewest]))}"


def _searched(study: Study) -> str:
    """State whether each configuration has separate settings, as after a search."""
    if study.search:
        return "searched for each configuration"
    configurations = set(study.configurations)
    settings = {tuple(getattr(member.training, name) for name in SEARCHED) for member in study.members}
    if len(settings) >= len(configurations) > 1:
        return "searched for each configuration"
    return f"not searched: {len(settings)} fixed setting{'s' if len(settings) > 1 else ''} for all"


def _sgd(momentum: float) -> str:
    return "SGD with momentum" if momentum else "SGD without momentum"


def _titles(study: Study, kinds: Iterable[str]) -> tuple[str, ...]:
    return tuple(task_name(study, kind) for kind in kinds)


def _labels(levels: Iterable[str], factor: str = "architecture") -> tuple[str, ...]:
    return tuple(level_label(factor, level) for level in levels)


def _distinct(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))


def _as_set(value: Any) -> frozenset[Any]:
    return frozenset(value) if isinstance(value, tuple) else frozenset([value])


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def command(provenance: Mapping[str, Any]) -> str:
    """Return the command that created the atlas."""
    stored = provenance.get("command", "")
    return " ".join(map(str, stored)) if isinstance(stored, list) else str(stored)


def history(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, value) for all provenance except the command; nested names are joined by a dot."""
    return [(name.replace("_", " "), value) for name, value in _flat(provenance) if name != "command"]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name} · {key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _flat(item, f"{name} {index + 1}")
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value))
    else:
        yield name, str(value)
