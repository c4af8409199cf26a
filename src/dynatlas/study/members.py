"""Networks of a study, and the groups of networks that the stages process together.

A *member* is one network to train. Its id is a hash of exactly the settings that determine its weights, and the source
of its random keys. Adding a configuration, or changing an analysis, therefore never changes another member. Members of
one *shape* share a compiled program; a *block* contains the members of a shape that one worker trains together.
"""

import hashlib
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from dynatlas.study.settings import Training


class Shape(NamedTuple):
    """Settings that determine a compiled program."""

    task: str
    architecture: str
    activation: str
    units: int

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
    part: int = 0

    @property
    def shape(self) -> Shape:
        """The shape of its members."""
        return Shape(*self[:4])

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return _block_name(self)


@lru_cache(maxsize=4096)
def _shape_name(task: str, architecture: str, activation: str, units: int) -> str:
    return f"{task}-{architecture}-{activation}-{units}"


# The jobs of the paper's study ask for the names of its 6,000 blocks 150,000 times.
@lru_cache(maxsize=65_536)
def _block_name(block: Block) -> str:
    return f"{block.shape.name}-part{block.part}" if block.part else block.shape.name


# Factors that a study crosses for each task, as named in members and in tables.
FACTORS: Final = ("architecture", "activation", "units", "l2")


class Configuration(NamedTuple):
    """Factors that all seeds share; a search chooses hyperparameters for each configuration."""

    task: str
    architecture: str
    activation: str
    units: int
    l2: float

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return f"{Shape(*self[:4]).name}-l2_{self.l2!r}"


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
    seed: int
    training: Training

    @property
    def shape(self) -> Shape:
        """Shape of the network, which determines its compiled program."""
        return Shape(self.task, self.architecture, self.activation, self.units)

    @property
    def configuration(self) -> Configuration:
        """Configuration that the network shares with other seeds."""
        return Configuration(*self.shape, self.l2)

    @property
    def name(self) -> str:
        """Readable name; the id is the unique key."""
        return f"{self.shape.name}-l2_{self.l2:g}-seed{self.seed}"

    def key(self, purpose: Literal["weights", "trials", "analysis"]) -> PRNGKeyArray:
        """Return the random key for one purpose, derived from the id."""
        return key_from(f"{self.id}/{purpose}")


def key_from(text: str) -> PRNGKeyArray:
    """Derive a random key from a text; it is the same on every machine."""
    digest = hashlib.sha256(text.encode()).digest()
    return jax.random.key(int.from_bytes(digest[:4], "big"), impl="threefry2x32")
