"""Continuation of all fixed points of a trained GRU-64: seconds, bifurcations, and the index sum along the way.

    python benchmarks/continuation.py [--quick] [--json FILE] [--networks FOLDER]

The network is trained on the 3-bit flip-flop by Adam, once, and kept in a folder. Its 27 fixed points without input are
followed over 100 values: along the second input from 0 to 0.015, where all 27 exist, from 0 to 1, where most of them
vanish in folds, and from 0 to −1; along the scale of the recurrent weights, from 1 to 0.8; and along the way to another
network of the same shape, up to a tenth of it. Seconds are of the processor, medians of repeated calls; compiling is
what the first call took more. ``--quick`` trains a smaller network for fewer iterations.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as in the pipeline's workers

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dynatlas.dynamics.continuation.continuation import continue_fixed_points
from fixed_points import QUICK_TRAINING, TRAINING, Network
from flip_flop_networks import trained

VALUES = 100
TARGET = 10.0  # seconds
REPEATS = 3


class AlongInput(eqx.Module):
    """A cell whose second input is the parameter."""

    cell: eqx.Module

    def __call__(self, state, strength):
        """Return the next state."""
        return self.cell(state, strength * jnp.array([0.0, 1.0, 0.0]))


class AlongScale(eqx.Module):
    """A cell whose recurrent weights are multiplied by the parameter."""

    cell: eqx.Module

    def __call__(self, state, scale):
        """Return the next state."""
        cell = eqx.tree_at(lambda cell: cell.recurrent_weights, self.cell, scale * self.cell.recurrent_weights)
        return cell(state, jnp.zeros(3))


class BetweenNetworks(eqx.Module):
    """The networks on the straight line from one to another."""

    one: eqx.Module
    other: eqx.Module

    def __call__(self, state, way):
        """Return the next state."""
        cell = jax.tree.map(lambda one, other: (1 - way) * one + way * other, *self._weights())
        return eqx.combine(cell, self.one)(state, jnp.zeros(3))

    def _weights(self):
        return [eqx.filter(cell, eqx.is_inexact_array) for cell in (self.one, self.other)]


def measure(name, step, states, start, stop):
    """One row of the table."""
    seconds = []
    for _ in range(REPEATS + 1):
        begun = time.process_time()
        branches = continue_fixed_points(step, states, start, stop, box=(-1, 1), n_values=VALUES)
        seconds.append(time.process_time() - begun)
    kinds = [each.kind for each in branches.bifurcations]
    return {
        "along": name,
        "from": start,
        "to": stop,
        "seconds": statistics.median(seconds[1:]),
        "compile_seconds": seconds[0] - statistics.median(seconds[1:]),
        "all_seconds": seconds,
        "points": sum(map(len, branches.branches)),
        "branches": len(branches),
        "of_points": len(states),
        "roots_at_stop": int(branches.index_sums.n_roots[-1]),
        "bifurcations": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "largest_uncertainty": max((each.uncertainty for each in branches.bifurcations), default=0.0),
        "largest_q": float(max(branch.q.max() for branch in branches.branches)),
        "values_with_another_sum": int(branches.index_sums.is_wrong.sum()),
        "notes": branches.notes,
    }


def line(row):
    """One line of the table; without a row, its head."""
    if row is None:
        return (
            f"{'along':10}{'from':>6}{'to':>7}{'seconds':>9}{'compile':>9}{'points':>8}{'branches':>9}{'roots':>10}"
            f"{'wrong sums':>12}  bifurcations"
        )
    return (
        f"{row['along']:10}{row['from']:6g}{row['to']:7g}{row['seconds']:9.2f}{row['compile_seconds']:9.2f}"
        f"{row['points']:8}{row['branches']:9}{row['of_points']:5} → {row['roots_at_stop']:2}"
        f"{row['values_with_another_sum']:12}  {row['bifurcations']}"
    )


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a network of 16 units, trained less")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument(
        "--networks",
        metavar="FOLDER",
        type=Path,
        default=Path.home() / ".cache" / "dynatlas-benchmarks",
        help="where trained networks are kept",
    )
    options = parser.parse_args()
    options.networks.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    units, training = (16, QUICK_TRAINING) if options.quick else (64, TRAINING)
    network = Network(trained(options.networks, "gru", "tanh", units, 1, training)[0])
    states = network.search().roots().states
    with jax.enable_x64(True):
        random = np.random.default_rng(0)
        # Another network: all weights are disturbed by their spread.
        other = jax.tree.map(
            lambda leaf: leaf + random.normal(size=leaf.shape) * jnp.std(leaf) if eqx.is_inexact_array(leaf) else leaf,
            network.cell,
        )
        rows = []
        print(line(None), flush=True)
        for name, step, start, stop in (
            ("input 2", AlongInput(network.cell), 0.0, 0.015),
            ("input 2", AlongInput(network.cell), 0.0, 1.0),
            ("input 2", AlongInput(network.cell), 0.0, -1.0),
            ("scale", AlongScale(network.cell), 1.0, 0.8),
            ("networks", BetweenNetworks(network.cell, other), 0.0, 0.1),
        ):
            rows.append(measure(name, step, states, start, stop))
            print(line(rows[-1]), flush=True)
    slowest = max(row["seconds"] for row in rows)
    print(f"slowest: {slowest:.1f} s (target {TARGET:g}); load average before the run: {load}")
    if options.json:
        result = {"rows": rows, "slowest_seconds": slowest, "target_seconds": TARGET, "load_before": load}
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
