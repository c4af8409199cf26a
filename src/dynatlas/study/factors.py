"""Further factors of a study: settings of its tasks, cells or training, crossed with the population's factors."""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError, field_validator

from dynatlas._util.messages import did_you_mean
from dynatlas.study.members import FACTORS, TRACED, Chosen, Level, Levels, level_text
from dynatlas.study.settings import SEARCHED, Settings

Table = Literal["tasks", "cells", "training"]
TABLES: Final[tuple[Table, ...]] = ("tasks", "cells", "training")
# Columns that tables of an atlas have beside factors; a setting of this name gets that of its table before it.
RESERVED: Final = frozenset(
    (
        *("network", "name", "task", *FACTORS, "seed", "mse", "r2", "diverged_at", "passed", "reason", "sample"),
        *("measure", "factor", "subset", "x", "y", "z", "stress"),
        *("rank", "modulus", "modulus_se", "real", "real_se", "n_networks", "device", "machine", "lanes", "chosen"),
    )
)
_LEVELS = dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]]


class Factors(Settings):
    """Settings with several levels: ``[factors]`` with training.learning_rate = [0.1, 0.01].

    Each is crossed with all other factors. A factor of a task changes what networks are trained on; they are compared
    on the probe of the task as it stands under ``[[tasks]]``.
    """

    tasks: _LEVELS = Field(default_factory=dict)
    cells: _LEVELS = Field(default_factory=dict)
    training: _LEVELS = Field(default_factory=dict)

    @field_validator(*TABLES, mode="before")
    @classmethod
    def _lists(cls, settings: Any) -> Any:
        for name, levels in settings.items() if isinstance(settings, dict) else ():
            if not isinstance(levels, list | tuple) or not levels:
                raise ValueError(f"{name} is {levels!r}; expected a list of levels, such as [1, 2]")
        return settings

    @field_validator(*TABLES)
    @classmethod
    def _no_repeats(cls, settings: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Level, ...]]:
        frozen = {name: tuple(map(_frozen, levels)) for name, levels in settings.items()}
        for name, levels in frozen.items():
            if len(set(levels)) < len(levels):
                raise ValueError(f"{name} is {list(levels)}, which names a level twice; each may stand once")
        return frozen


class Factor(NamedTuple):
    """A further factor of a study."""

    name: str  # in tables
    table: Table
    setting: str
    levels: tuple[Level, ...]

    @property
    def type(self) -> Literal["bool", "int64", "float64", "string"]:
        """Type of the factor's column in tables.

        Example:
            >>> Factor("tau", "cells", "tau", (100.0, (50.0, 200.0))).type
            'string'
        """
        if all(isinstance(level, bool) for level in self.levels):
            return "bool"
        if any(isinstance(level, bool | str | tuple) for level in self.levels):
            return "string"
        return "int64" if all(isinstance(level, int) for level in self.levels) else "float64"

    @property
    def is_traced(self) -> bool:
        """Whether networks of several levels share a compiled program."""
        return self.table == "training" and self.setting in TRACED

    @property
    def shown(self) -> tuple[str | int | float | bool, ...]:
        """The levels as in tables: in a column of texts a list is "50 to 200"."""
        return tuple(self.chosen(level).shown for level in self.levels)

    def chosen(self, level: Level) -> Chosen:
        """Return one of the levels, as a network has it."""
        shown: Any = level
        if self.type == "string":
            shown = " to ".join(map(level_text, level if isinstance(level, tuple) else (level,)))
        return Chosen(self.name, self.table, self.setting, level, shown)


def factors_of(factors: Factors) -> tuple[Factor, ...]:
    """Return the factors by their names in tables: that of the setting, or with its table if that name is taken.

    Example:
        >>> factors = Factors(tasks={"noise": [0, 1]}, cells={"noise": [0], "gain": [1, 2]})
        >>> [factor.name for factor in factors_of(factors)]
        ['task_noise', 'cell_noise', 'gain']
    """
    settings = [(table, setting) for table in TABLES for setting in getattr(factors, table)]
    names = [setting for _, setting in settings]
    return tuple(
        Factor(
            f"{table.removesuffix('s')}_{setting}" if names.count(setting) > 1 or setting in RESERVED else setting,
            table,
            setting,
            getattr(factors, table)[setting],
        )
        for table, setting in settings
    )


def crossed(factors: tuple[Factor, ...], table: Table | None = None) -> Iterator[Levels]:
    """Yield every combination of levels of all factors, or of those of one table."""
    factors = tuple(factor for factor in factors if table in (None, factor.table))
    for levels in itertools.product(*(factor.levels for factor in factors)):
        yield tuple(factor.chosen(level) for factor, level in zip(factors, levels, strict=True))


def chosen_settings(levels: Levels, table: Table) -> dict[str, Level]:
    """Return the settings of one table that these levels are."""
    return {chosen.setting: chosen.level for chosen in levels if chosen.table == table}


class Reader(NamedTuple):
    """What reads the settings of a task, a cell, or of training."""

    read: Callable[[dict[str, Any]], BaseModel]
    names: Collection[str]  # of the settings

    @classmethod
    def of(cls, model: type[BaseModel]) -> "Reader":
        """Return the reader of a model's fields."""
        return cls(model.model_validate, model.model_fields)


def checked(factors: Factors, readers: Mapping[Table, Mapping[str, Reader]]) -> Factors:
    """Return the factors with each level as its settings have it, such as 1.0 for 1.

    Args:
        factors: as read from a study file.
        readers: for each table, the readers of settings by the name of what has them, such as that of a task.

    Raises:
        ValueError: a setting that one of them lacks, or a level that it does not accept.
    """
    found: dict[str, dict[str, tuple[Level, ...]]] = {}
    for table, settings in ((table, getattr(factors, table)) for table in TABLES):
        for setting, levels in settings.items():
            read = [_read(table, who, reader, setting, levels) for who, reader in readers[table].items()]
            found.setdefault(table, {})[setting] = read[0] if read else levels
    return Factors.model_validate(found)


def refuse_searched(factors: Factors) -> None:
    """Refuse factors that a search of hyperparameters would choose."""
    if both := sorted(factors.training.keys() & set(SEARCHED)):
        raise ValueError(
            f"{both[0]} is a factor, and [search] chooses it for each configuration; leave one of the two out"
        )


def read_settings(what: str, reader: Reader, settings: dict[str, Any]) -> BaseModel:
    """Validate settings; a ``ValueError`` states the first that is wrong in one sentence."""
    try:
        return reader.read(settings)
    except ValidationError as error:
        errors = error.errors()
        name = str(errors[0]["loc"][0]) if errors[0]["loc"] else ""
        if errors[0]["type"] == "extra_forbidden":
            hint = did_you_mean(name, reader.names, f"it has {', '.join(sorted(reader.names)) or 'none'}")
            raise ValueError(f"{what} has no setting {name!r}; {hint}") from None
        # A setting of several types has an error for each.
        same = [each["msg"] for each in errors if each["loc"][:1] == errors[0]["loc"][:1]]
        messages = [message.removeprefix("Value error, ") for message in same]
        text = ", or ".join(message[0].lower() + message[1:] for message in dict.fromkeys(messages))
        seen = f", but it is {plain(settings[name])!r}" if name in settings else ""
        raise ValueError(f"{what}: {f'{name}: ' if name else ''}{text}{seen}") from None


def plain(value: Any) -> Any:
    """Return a setting as TOML and JSON have it."""
    return list(map(plain, value)) if isinstance(value, tuple) else value


def _read(table: Table, who: str, reader: Reader, setting: str, levels: tuple[Level, ...]) -> tuple[Level, ...]:
    what = {"tasks": f"the task {who!r}", "cells": f"the cell {who!r}", "training": "[training]"}[table]
    read = (read_settings(what, reader, {setting: level}) for level in levels)
    return tuple(_frozen(getattr(settings, setting, level)) for settings, level in zip(read, levels, strict=True))


def _frozen(level: Any) -> Level:
    if isinstance(level, list | tuple):
        return tuple(map(_frozen, level))
    if not isinstance(level, str | int | float | bool):
        raise ValueError(f"{level!r} is no level of a factor; expected a number, a text, true, false, or a list")
    return level
