"""Networks of a study, and the groups of networks that the stages process together.

A *member* is one network to train. Its id is a hash of exactly the settings that determine its weights, and the source
of its random keys. Adding a configuration, or changing an analysis, therefore never changes another member. Members of
one *shape* share a compiled program; a *block* contains the members of a shape that one worker trains together.
"""

import hashlib
import re
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from dynatlas.study.settings import Training

Level = str | int | float | bool | tuple[Any, ...]  # of a factor: a setting of a study file
Levels = tuple["Chosen", ...]

# Factors that every study has, as named in members and in tables; ``[factors]`` of a study adds further ones.
FACTORS: Final = ("architecture", "activation", "units", "l2")
LONGEST: Final = 40  # letters of a level in a file name
# Training settings that may differ between networks that share a compiled program.
TRACED: Final = ("learning_rate", "decay_rate", "decay_steps", "momentum", "clip_norm")


def level_text(level: object) -> str:
    """Return a level as text; a number in its shortest form that is exact.

    Example:
        >>> level_text(1.0), level_text(1e-5), level_text(0.1000001)
        ('1', '1e-05', '0.1000001')
    """
    return f"{level:g}" if isinstance(level, float) and float(f"{level:g}") == level else str(level)


class Chosen(NamedTuple):
    """The level that a network has of one further factor of its study."""

    factor: str  # name in tables
    table: Literal["tasks", "cells", "training"]
    setting: str
    level: Level
    shown: str | int | float | bool  # the level in tables

    @property
    def is_traced(self) -> bool:
        """Whether networks of several levels share a compiled program."""
        return self.table == "training" and self.setting in TRACED

    @property
    def name(self) -> str:
        """Factor and level, fit for a part of a file name."""
        text = level_text(self.shown).lower()
        plain = re.sub(r"[^A-Za-z0-9_.+-]+", "_", text)
        if plain != text or len(plain) > LONGEST:  # other texts may have the same letters
            plain = f"{plain[:LONGEST]}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"
        return f"{self.factor}_{plain}"


class Shape(NamedTuple):
    """Settings that determine a compiled program."""

    task: str
    architecture: str
    activation: str
    units: int
    levels: Levels = ()  # of further factors, as far as programs depend on them

    @property
    def columns(self) -> dict[str, str | int | float | bool]:
        """Task and level of each factor, as in tables."""
        built_in = {name: getattr(self, name) for name in ("task", *FACTORS[:3])}
        return built_in | _shown(self.levels)

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return _shape_name(*self)


class Block(NamedTuple):
    """The ``part``-th group of members of a shape, which one worker trains together."""

    task: str
    architecture: str
    activation: str
    units: int
    levels: Levels = ()
    part: int = 0

    @property
    def shape(self) -> Shape:
        """The shape of its members."""
        return Shape(*self[:5])

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return _block_name(self)


def _shown(levels: Levels) -> dict[str, str | int | float | bool]:
    return {chosen.factor: chosen.shown for chosen in levels}


@lru_cache(maxsize=4096)
def _shape_name(task: str, architecture: str, activation: str, units: int, levels: Levels) -> str:
    return "-".join([task, architecture, activation, str(units), *(chosen.name for chosen in levels)])


# The jobs of the paper's study ask for the names of its 6,000 blocks 150,000 times.
@lru_cache(maxsize=65_536)
def _block_name(block: Block) -> str:
    return f"{block.shape.name}-part{block.part}" if block.part else block.shape.name


class Configuration(NamedTuple):
    """Levels of all factors, which all seeds share; a search chooses hyperparameters for each configuration."""

    task: str
    architecture: str
    activation: str
    units: int
    l2: float
    levels: Levels = ()  # of further factors

    @property
    def shape(self) -> Shape:
        """Shape of its networks, which determines their compiled program."""
        return Shape(*self[:4], tuple(chosen for chosen in self.levels if not chosen.is_traced))

    @property
    def factors(self) -> dict[str, str | int | float | bool]:
        """Level of each factor, as in tables."""
        built_in = {name: getattr(self, name) for name in FACTORS}
        return built_in | _shown(self.levels)

    @property
    def columns(self) -> dict[str, str | int | float | bool]:
        """Task and level of each factor, as in tables."""
        return {"task": self.task} | self.factors

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return f"{Shape(*self[:4], self.levels).name}-l2_{self.l2!r}"


class Matrix(NamedTuple):
    """The distances between all networks of a task by one measure."""

    task: str
    measure: str

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return f"{self.task}-{self.measure}"


class Member(NamedTuple):
    """One network to train."""

    id: str
    task: str
    architecture: str
    activation: str
    units: int
    l2: float
    levels: Levels
    seed: int
    training: Training

    @property
    def shape(self) -> Shape:
        """Shape of the network, which determines its compiled program."""
        return self.configuration.shape

    @property
    def configuration(self) -> Configuration:
        """Configuration that the network shares with other seeds."""
        return Configuration(self.task, self.architecture, self.activation, self.units, self.l2, self.levels)

    @property
    def factors(self) -> dict[str, str | int | float | bool]:
        """Level of each factor, as in tables."""
        return self.configuration.factors

    @property
    def name(self) -> str:
        """Readable name; the id is the unique key."""
        return f"{_shape_name(*self[1:5], self.levels)}-l2_{self.l2:g}-seed{self.seed}"

    def key(self, purpose: Literal["weights", "trials", "analysis"]) -> PRNGKeyArray:
        """Return the random key for one purpose, derived from the id."""
        return key_from(f"{self.id}/{purpose}")


def key_from(text: str) -> PRNGKeyArray:
    """Derive a random key from a text; it is the same on every machine."""
    digest = hashlib.sha256(text.encode()).digest()
    return jax.random.key(int.from_bytes(digest[:4], "big"), impl="threefry2x32")
