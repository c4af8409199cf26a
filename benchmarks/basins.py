"""Basins of 10,000 states of networks of 64 units, and the smallest perturbation of every stable point: seconds.

    python benchmarks/basins.py [--quick] [--json FILE] [--networks FOLDER]

The networks are trained on the 3-bit flip-flop by Adam, once, and kept in a folder. States are drawn uniformly in the
box that the map leads into itself, without input. Seconds are medians of repeated calls, and compiling is what the
first call took more. *Same* is the share of the states that end nearest to the point of their label when the map is run
for 3,000 steps without any test of arrival. ``--quick`` trains networks of 16 units for fewer iterations.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as in the pipeline's workers

import jax
import jax.numpy as jnp
import numpy as np

from dynatlas import basins, smallest_perturbations, uniform_states
from fixed_points import QUICK_TRAINING, TRAINING, Network
from flip_flop_networks import trained

STATES = 10_000
TARGET = 5.0  # seconds
REPEATS = 3
CHECKED = 500  # states that are run for all steps
STEPS = 3000


def timed(function, repeats):
    """What a call returns, the median seconds of repeated calls, and what the first one took more."""
    seconds = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        value = function()
        seconds.append(time.perf_counter() - begun)
    return value, statistics.median(seconds[1:]), seconds[0] - statistics.median(seconds[1:])


def agreement(network, points, states, found):
    """The share of states whose run, without any test of arrival, ends nearest to the point of their label."""
    with jax.enable_x64(True):
        inputs = jnp.asarray(network.inputs)
        advance = jax.jit(jax.vmap(lambda h: jax.lax.fori_loop(0, STEPS, lambda _, h: network.cell(h, inputs), h)))
        ends = np.asarray(advance(jnp.asarray(states)))
    stable = points.states[found.points]
    nearest = np.linalg.norm(ends[:, None] - stable, axis=-1).argmin(axis=1)
    return float((nearest == found.labels[: len(states)]).mean())


def measure(network):
    """One row of the table."""
    points = network.search().roots()
    low, high = (np.broadcast_to(np.asarray(bound), points.states.shape[1:]) for bound in network.box)
    states = uniform_states((low, high), points.states.shape[1], STATES, key=jax.random.key(0))
    found, seconds, compiling = timed(lambda: basins(network.cell, states, points, network.inputs), REPEATS)
    smallest, of_perturbations, compiling_them = timed(
        lambda: smallest_perturbations(network.cell, points, network.inputs, key=jax.random.key(1)), 1
    )
    return {
        "network": network.name,
        "states": points.states.shape[1],
        "stable": len(smallest),
        "seconds": seconds,
        "compile_seconds": compiling,
        "shares": found.shares.tolist(),
        "same": agreement(network, points, states[:CHECKED], found),
        "perturbation_seconds": of_perturbations,
        "perturbation_compile_seconds": compiling_them,
        "sizes": smallest.sizes.tolist(),
        "relative": smallest.relative.tolist(),
        "angles": smallest.angles.tolist(),
        "lower_bounds": smallest.lower_bounds.tolist(),
    }


def line(row):
    """One line of the table; without a row, its head."""
    if row is None:
        return (
            f"{'network':18}{'stable':>7}{'seconds':>9}{'compile':>9}{'elsewhere':>11}{'same':>8}"
            f"{'push: seconds':>15}{'compile':>9}{'relative size':>16}{'normal':>9}"
        )
    relative = f"{min(row['relative']):.2f} to {max(row['relative']):.2f}"
    normal = f"{sum(angle <= 1e-3 for angle in row['angles'])} of {row['stable']}"
    return (
        f"{row['network']:18}{row['stable']:7}{row['seconds']:9.2f}{row['compile_seconds']:9.2f}"
        f"{row['shares'][-1]:11.2%}{row['same']:8.1%}{row['perturbation_seconds']:15.2f}"
        f"{row['perturbation_compile_seconds']:9.2f}{relative:>16}{normal:>9}"
    )


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="networks of 16 units, trained less")
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
    rows = []
    print(line(None), flush=True)
    for architecture in ("gru",) if options.quick else ("gru", "vanilla", "ugrnn", "lstm"):
        network = Network(trained(options.networks, architecture, "tanh", units, 1, training)[0])
        rows.append(measure(network))
        print(line(rows[-1]), flush=True)
    slowest = max(row["seconds"] for row in rows)
    print(f"slowest: {slowest:.2f} s (target {TARGET:g}); load average before the run: {load}")
    if options.json:
        result = {"rows": rows, "slowest_seconds": slowest, "target_seconds": TARGET, "load_before": load}
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
