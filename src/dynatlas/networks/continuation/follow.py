"""Follow one network's fixed points along an input, its recurrent weights, or the way to other inputs or weights."""

from dataclasses import dataclass, replace

import jax
import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike, NDArray

from dynatlas._util.arrays import generator, key_or_default
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.continuation.branches import Branches
from dynatlas.dynamics.continuation.continuation import continue_fixed_points
from dynatlas.dynamics.fixed_points import MAX_SECONDS, find_fixed_points
from dynatlas.dynamics.points import FixedPoints
from dynatlas.networks.analysis.analyze import FEWEST_STARTS, MOST_STARTS
from dynatlas.networks.analysis.starts import Visited, starts_for, starts_in, visited_states
from dynatlas.networks.continuation.ways import Way, box_along, way_of
from dynatlas.networks.network import Network


@dataclass(frozen=True, eq=False, repr=False)
class Continuation(SummaryRepr):
    """Fixed points of one network along a parameter.

    Attributes:
        network: the network.
        along: the name of the parameter: "input:2", "inputs", "recurrent" or "network".
        way: the networks and static inputs along the parameter.
        other: the other network, if the way leads to one.
        visited: the states around which the search at the start began.
        points: the fixed and slow points at the start, with their certificate.
        branches: the result of ``continue_fixed_points``.
        tables: "branches" (a row per point of each branch), "bifurcations" and "index_sums" (a row per value).
    """

    network: Network
    along: str
    way: Way
    other: Network | None
    visited: Visited
    points: FixedPoints
    branches: Branches
    tables: dict[str, pd.DataFrame]

    @property
    def label(self) -> str:
        """Words for the parameter."""
        kind, _, channel = self.along.partition(":")
        return {
            "input": f"input channel {channel}",
            "inputs": "way between two inputs",
            "recurrent": "scale of the recurrent weights",
            "network": "way to the other network",
        }[kind]

    def outputs(self, states: NDArray[np.float64], parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outputs [k, o] of the networks at parameters [k], at states [k, n]; [k, 0] without a readout."""
        first = self.network.read_out(states)
        if self.other is None:
            return first
        # An affine readout whose weights lie between those of two networks.
        second, share = self.other.read_out(states), parameters[:, None]
        return (1 - share) * first + share * second if first.shape == second.shape else first[:, :0]

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        one = self.points.states[:1]
        return self.outputs(one, np.zeros(1)).shape[1]

    def _summary(self) -> Summary:
        roots = self.points.roots()
        found = f"{len(roots)} at {self.branches.start:g}, index sum {roots.index_sum}, {self.points.certificate}"
        summary = self.branches._summary()
        return Summary(f"{summary.title}: {self.label}", (("given points", found), *summary.rows))


def continue_network(
    network: Network,
    along: str,
    start: float,
    stop: float,
    *,
    inputs: ArrayLike | None = None,
    other: Network | None = None,
    trials: ArrayLike | None = None,
    activity: ArrayLike | None = None,
    n_values: int = 100,
    max_starts: int | None = None,
    max_seconds: float | None = MAX_SECONDS,
    key: PRNGKeyArray | None = None,
) -> Continuation:
    """Find a network's fixed points at the start of a parameter, and follow them to its end.

    Args:
        network: a network from ``read_network``, or ``Network(step=…)``.
        along: the parameter: "input:2", the value of input channel 2, counted from 0; "inputs", the way from one static
            input at 0 to another at 1; "recurrent", a factor of all recurrent weights, of all gates and layers;
            "network", the way from this network's weights at 0 to those of another of the same shape at 1.
        start: the parameter at which fixed points are searched for.
        stop: the other end, which may be less than ``start``.
        inputs: the static input [m] under which the network is, by default 0; for "inputs" the two inputs [2, m].
        other: for "network" the other network.
        trials: inputs [trials, steps, m]; the search starts around the states that the network visits on them.
        activity: states [trials, steps, n] or [samples, n] around which the search starts, instead of ``trials``.
        n_values: the largest step is 1/n_values of the interval, and index sums are taken at n_values + 1 values.
        max_starts: budget of starts of the search at ``start``; by default 16,384.
        max_seconds: budget of processor time of the search at ``start``, or None.
        key: the random key, by default that of the seed 0. Missing branches are searched for at ``stop`` and where the
            index sum is not 1.

    Raises:
        ValueError: a parameter that the network does not have, shapes that do not fit it, a budget or a number of
            values that is too small, or no fixed point at ``start``.

    Example:
        A bistable unit loses two of its three fixed points in a fold, at atanh(√½) − 2√½ = −0.5328.

        >>> import jax.numpy as jnp
        >>> switch = Network(lambda h, x: jnp.tanh(2 * h + x), n_states=1, n_inputs=1, bounds=lambda x: (-1, 1))
        >>> found = continue_network(switch, "input:0", 0.0, -1.0)
        >>> found.tables["bifurcations"][["kind", "parameter"]].round(4).values.tolist()
        [['fold', -0.5328]]
    """
    way = way_of(network, along, inputs, other)
    if not (np.isfinite(start) and np.isfinite(stop) and start != stop):
        raise ValueError(f"the parameter goes from {start:g} to {stop:g}; expected two different numbers")
    if n_values < 2:
        raise ValueError(f"n_values is {n_values}; expected at least 2")
    if max_starts is not None and max_starts < 1:
        raise ValueError(f"max_starts is {max_starts}; expected at least 1, or None")
    if max_seconds is not None and not max_seconds >= 0:
        raise ValueError(f"max_seconds is {max_seconds}; expected 0 or more seconds, or None")
    visit_key, start_key, search_key, branch_key = jax.random.split(key_or_default(key), 4)
    # At a grid: without a box at one of the values, no index sum certifies anything.
    box = box_along(way, network, np.linspace(start, stop, n_values + 1))
    first = network.with_step(way.step_at(start))
    static = np.asarray(way.inputs_at(start), np.float64)
    visited = visited_states(first, trials, activity, generator(visit_key))
    budget = max_starts or MOST_STARTS
    count = min(max(starts_for(network.n_states), FEWEST_STARTS), budget)
    with jax.enable_x64(True):
        points = find_fixed_points(
            first.step,
            starts_in(first.box(static), visited, count, generator(start_key)),
            static,
            box=first.box(static),
            max_starts=budget,
            max_seconds=max_seconds,
            key=search_key,
        )
    if not len(points.roots()):
        raise ValueError(
            f"no fixed point was found at {along} = {start:g} from {points.n_starts:,} starts; start where there is one"
        )
    branches = continue_fixed_points(way, points, start, stop, box=box, n_values=n_values, key=branch_key)
    found = Continuation(network, along, way, other, visited, points, branches, {})
    return replace(found, tables=_tables(found))


def _tables(found: Continuation) -> dict[str, pd.DataFrame]:
    branches = found.branches
    outputs = np.concatenate([found.outputs(branch.states, branch.parameters) for branch in branches.branches])
    of_points = branches.to_dataframe()
    of_points = of_points.assign(**{f"output_{k}": outputs[:, k] for k in range(outputs.shape[1])})
    bifurcations = branches.bifurcations_to_dataframe()
    critical = bifurcations.pop("eigenvalue").to_numpy(complex)
    for place, (name, part) in enumerate((("eigenvalue_real", critical.real), ("eigenvalue_imaginary", critical.imag))):
        bifurcations.insert(2 + place, name, part)
    sums = branches.index_sums
    of_values = pd.DataFrame(
        {
            "parameter": sums.parameters,
            "index_sum": sums.sums,
            "n_roots": sums.n_roots,
            "is_degenerate": sums.is_degenerate,
        }
    )
    return {"branches": of_points, "bifurcations": bifurcations, "index_sums": of_values}
