"""The networks of a study, one by one and in the groups that the stages work on.

A *member* is one network to train: everything that decides its weights, and nothing else, makes its content hash,
and that hash is its id and the source of its random keys. So adding a configuration, or changing an analysis,
never changes another member. Members of one *shape* share a compiled program; a *block* is as many of them as one
worker trains together.
"""

import hashlib
from typing import Final, Literal, NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from dynatlas.study.settings import Training


class Shape(NamedTuple):
    """What decides a compiled program."""

    task: str
    architecture: str
    activation: str
    units: int

    @property
    def name(self) -> str:
        """A name fit for a file."""
        return f"{self.task}-{self.architecture}-{self.activation}-{self.units}"


class Block(NamedTuple):
    """Members of one shape that one worker trains together: the ``part``-th of them."""

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
        return f"{self.shape.name}-part{self.part}" if self.part else self.shape.name


# The factors that a study crosses on each task, by the names of a member's attributes and of columns.
FACTORS: Final = ("architecture", "activation", "units", "l2")


class Configuration(NamedTuple):
    """What the seeds of one configuration share, and what a search tunes for."""

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
        """The shape whose compiled program trains it."""
        return Shape(self.task, self.architecture, self.activation, self.units)

    @property
    def configuration(self) -> Configuration:
        """What it shares with its other seeds."""
        return Configuration(*self.shape, self.l2)

    @property
    def name(self) -> str:
        """A name for people; the id is for machines."""
        return f"{self.shape.name}-l2_{self.l2:g}-seed{self.seed}"

    def key(self, purpose: Literal["weights", "trials", "analysis"]) -> PRNGKeyArray:
        """The random key for one purpose, from the id alone."""
        return key_from(f"{self.id}/{purpose}")


def key_from(text: str) -> PRNGKeyArray:
    """A random key from a text, the same on every machine."""
    digest = hashlib.sha256(text.encode()).digest()
    return jax.random.key(int.from_bytes(digest[:4], "big"), impl="threefry2x32")
