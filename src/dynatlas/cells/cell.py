"""Base class of recurrent cells: one step and the readout, for one network and one trial."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from dynatlas.cells.activations import Box


class Cell(eqx.Module):
    """Base class of cells. All leaves are arrays of floating-point numbers, and trained unless they are declared fixed.

    A leaf whose name is in ``fixed_leaves``, such as a connectivity mask or time constants, is drawn for each network
    and stays what it is: it has no gradient, no L2 penalty and no update.

    A subclass is constructed by ``(n_inputs, units, n_outputs, activation, *, key)``, starts from ``initial_state``,
    and implements the step, the readout and ``units``. A state begins with the hidden units; further state variables
    follow. Measures of geometry compare the hidden units, or ``rates`` of the state where these are something else.

    Example:
        >>> import jax.numpy as jnp
        >>> class Leaky(Cell):
        ...     weights: Array
        ...     shown: Array
        ...     initial_state: Array
        ...
        ...     def __init__(self, n_inputs, units, n_outputs, activation="tanh", *, key):
        ...         self.weights = jax.random.normal(key, (units, units + n_inputs), jnp.float32) / units**0.5
        ...         self.shown = jax.random.normal(key, (n_outputs, units), jnp.float32) / units**0.5
        ...         self.initial_state = jnp.zeros(units, jnp.float32)
        ...
        ...     @property
        ...     def units(self):
        ...         return self.shown.shape[-1]
        ...
        ...     def __call__(self, state, inputs):
        ...         return 0.8 * state + 0.2 * jnp.tanh(self.weights @ jnp.concatenate([state, inputs]))
        ...
        ...     def readout(self, state):
        ...         return self.shown @ state
        >>> states, outputs = Leaky(2, 5, 1, key=jax.random.key(0)).respond(jnp.ones((7, 2)))
        >>> states.shape, outputs.shape
        ((7, 5), (7, 1))
    """

    initial_state: eqx.AbstractVar[Float[Array, " state"]]

    fixed_leaves: ClassVar[tuple[str, ...]] = ()  # names of leaves, or of modules that have them, that are not trained

    @property
    @abstractmethod
    def units(self) -> int:
        """Number of hidden units."""

    @abstractmethod
    def __call__(self, state: Float[Array, " state"], inputs: Float[Array, " inputs"]) -> Float[Array, " state"]:
        """Compute one step: the map F(h, x) whose fixed points are sought."""

    @abstractmethod
    def readout(self, state: Float[Array, " state"]) -> Float[Array, " outputs"]:
        """Compute the output, an affine function of the state, or of the rates if ``has_affine_readout`` is False."""

    def rates(self, state: Float[Array, " state"]) -> Float[Array, " units"]:
        """Return the rates of the units, which measures of geometry compare: by default the hidden units."""
        return state[: self.units]

    @property
    def has_affine_readout(self) -> bool:
        """Whether the readout is an affine function of the state; if not, it is one of ``rates``."""
        return True

    @property
    def noise_scale(self) -> Float[Array, " units"] | float:
        """Factor of training noise that makes its effect on an isolated linear unit independent of the time step."""
        return 1.0

    def run(self, inputs: Float[Array, "steps inputs"]) -> Float[Array, "steps state"]:
        """Compute the states after each step of one trial, from the learned initial state."""

        def step(state: Array, now: Array) -> tuple[Array, Array]:
            state = self(state, now)
            return state, state

        return jax.lax.scan(step, self.initial_state, inputs)[1]

    def respond(
        self, inputs: Float[Array, "steps inputs"]
    ) -> tuple[Float[Array, "steps state"], Float[Array, "steps outputs"]]:
        """Compute the states and the outputs after each step of one trial."""
        states = self.run(inputs)
        return states, jax.vmap(self.readout)(states)

    def box(self, inputs: Float[Array, " inputs"]) -> Box | None:
        """Return a box (low, high) that one step under a static input maps into itself, or None if none is known.

        Without a box a search cannot prove that it found all fixed points: its certificate is "not certifiable", unless
        the step consists of affine operations and relus.
        """
        del inputs
        return None

    def under(self, inputs: Float[Array, " inputs"]) -> Callable[[Array, Array], Array]:
        """Return the map under a static input: (state, an empty array) → state.

        ``find_fixed_points(cell.under(inputs), starts, jnp.zeros(0), box=cell.box(inputs), …)`` searches it.
        """
        return _Under(self, inputs)

    def astype(self, dtype: DTypeLike) -> "Cell":
        """Return the network with its weights in another floating-point type."""
        return jax.tree.map(lambda leaf: leaf.astype(dtype), self)


class _Under(eqx.Module):
    """A cell under a constant input."""

    cell: Cell
    held: Float[Array, " inputs"]

    def __call__(self, state: Float[Array, " state"], inputs: Float[Array, "0"]) -> Float[Array, " state"]:
        del inputs
        return self.cell(state, self.held)


class CellSize(NamedTuple):
    """Size of a network of a cell."""

    n_inputs: int
    units: int
    n_outputs: int
    weights: int  # trained parameters
    states: int  # state variables


def size_of(make: Callable[..., Cell], n_inputs: int, units: int, n_outputs: int, activation: str) -> CellSize:
    """Return the size of a network without initialising its weights."""

    def new(key: PRNGKeyArray) -> Cell:
        return make(n_inputs, units, n_outputs, activation, key=key)

    cell = jax.eval_shape(new, jax.random.key(0, impl="threefry2x32"))
    weights = sum(leaf.size for leaf in jax.tree.leaves(map_fixed(lambda leaf: None, cell)))
    return CellSize(n_inputs, units, n_outputs, weights, cell.initial_state.size)


def map_fixed(function: Callable[..., Any], cell: Cell, *others: Any) -> Any:
    """Apply a function to the fixed leaves of a cell, with those at the same places of other trees; keep all others.

    Example:
        >>> import jax.numpy as jnp
        >>> class Masked(Cell):
        ...     weights: Array
        ...     mask: Array
        ...     initial_state: Array
        ...     fixed_leaves = ("mask",)
        ...     units = property(lambda self: 2)
        ...     def __call__(self, state, inputs):
        ...         return jnp.tanh((self.weights * self.mask) @ state)
        ...     def readout(self, state):
        ...         return state
        >>> cell = Masked(jnp.ones((2, 2)), jnp.eye(2), jnp.zeros(2))
        >>> map_fixed(lambda leaf: None, cell).mask is None
        True
    """
    if not cell.fixed_leaves:
        return cell

    def one(path: Sequence[object], leaf: Any, *same: Any) -> Any:
        return function(leaf, *same) if is_fixed(cell, leaf_name(path)) else leaf

    return jax.tree_util.tree_map_with_path(one, cell, *others)


def is_fixed(cell: Cell, name: str) -> bool:
    """Whether the leaf of this name is not trained."""
    return any(name == fixed or name.startswith(f"{fixed}.") for fixed in cell.fixed_leaves)


def leaf_name(path: Sequence[object]) -> str:
    """Return the name of a leaf of a cell, such as "bias", or "inner.weight" in a nested module."""
    return ".".join(str(getattr(key, "name", getattr(key, "idx", getattr(key, "key", key)))) for key in path)


def state_labels(units: int, states: int) -> tuple[str, ...]:
    """Return the names of the state variables: h0, h1, … for hidden units, and c0, c1, … for those that follow."""
    return tuple(f"h{number}" if number < units else f"c{number - units}" for number in range(states))
