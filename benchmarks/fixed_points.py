"""Our fixed-point search: seconds and completeness on trained flip-flop networks, and against the method of our peers.

    python benchmarks/fixed_points.py [--quick] [--json FILE] [--torch-python PATH] [--networks FOLDER]

Three tables. *Search*: ``find_fixed_points`` from 1,024 starts, which are states visited on the probe plus Gaussian
noise of standard deviation 0.5, in float64; seconds are medians of repeated calls, and compiling is what the first call
took more. *Population*: search and transition graph of networks of every cell, seconds per network once its shape is
compiled; networks that did not learn the task are left out. *Peers*: Adam on q in float32 from the same starts, as
FixedPointFinder does it, in PyTorch with its default threads (see fixed_points_torch.py), with the schedule of the
learning rate that it documents ("plateau") and with an earlier one ("steps"); q is recomputed in float64 at the points
that it returns.

The networks are trained here by Adam, once, and kept in a folder. ``--quick`` trains other networks, on shorter trials
and for fewer iterations, leaves out the one of 256 units and most of the population, and ends Adam early.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# As in the pipeline's workers: on small matrices the threads of OpenBLAS gain nothing, and where another process wants
# the cores they spin.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import jax
import jax.numpy as jnp
import numpy as np

from dynatlas import find_fixed_points
from dynatlas.cells.registry import CELLS
from dynatlas.dynamics.graphs import transition_graph
from flip_flop_networks import trained
from training import CORES, NO_TORCH, can_import_torch

STARTS = 1024
NOISE = 0.5
SAME_POINT = 1e-3  # the distance within which a point of Adam's counts as one of our roots
# Seconds that a search may take on two cores, and a network of the population.
TARGETS = {("gru", 64): 1.0, ("vanilla", 64): 0.4, ("gru", 256): 15.0}
POPULATION_TARGET = 1.5

TRAINING = {"steps": 100, "iterations": 3000, "learning_rate": 5e-3, "decay_steps": 1000}
LARGE_TRAINING = {"steps": 100, "iterations": 900, "learning_rate": 2e-3, "decay_steps": 300}
QUICK_TRAINING = {"steps": 50, "iterations": 900, "learning_rate": 1e-2, "decay_steps": 300}


class Network:
    """A trained network, in float64, and where the searches on it start."""

    def __init__(self, trained):
        self.member, self.task, self.weights, self.cell = trained.member, trained.task, trained.weights, trained.cell
        self.validation_mse, task, member = trained.validation_mse, trained.task, trained.member
        with jax.enable_x64(True):
            self.inputs = np.zeros(task.n_inputs)
            self.box = self.cell.box(jnp.asarray(self.inputs))
            states = jax.vmap(self.cell.run)(jnp.asarray(np.asarray(task.probe().inputs, np.float64)))
        visited = np.asarray(states).reshape(-1, states.shape[-1])
        random = np.random.default_rng(member.seed)
        rows = random.integers(len(visited), size=STARTS)
        self.starts = visited[rows] + NOISE * random.normal(size=(STARTS, visited.shape[1]))

    @property
    def name(self):
        """A name for the tables."""
        return f"{self.member.architecture} {self.member.activation} {self.member.units}"

    def search(self):
        """Its fixed points."""
        return find_fixed_points(self.cell, self.starts, self.inputs, box=self.box, key=jax.random.key(0))

    def graph(self, points):
        """Its transition graph."""
        return transition_graph(self.cell, points.roots(), self.inputs, key=jax.random.key(1))

    def speeds(self, states):
        """The q of these states."""
        with jax.enable_x64(True):
            moved = jax.vmap(lambda state: self.cell(state, jnp.asarray(self.inputs)))(jnp.asarray(states))
        return 0.5 * ((np.asarray(moved) - states) ** 2).sum(axis=1)


def seconds_of(function, *arguments):
    """What a call returns, and the seconds it took."""
    begun = time.perf_counter()
    value = function(*arguments)
    return value, time.perf_counter() - begun


def measure_search(network, repeats):
    """One row of the first table, and the points found."""
    _, first = seconds_of(network.search)
    calls = [seconds_of(network.search) for _ in range(repeats)]
    points, _ = calls[0]
    seconds = statistics.median(spent for _, spent in calls)
    roots = points.roots()
    return points, {
        "network": network.name,
        "validation_mse": network.validation_mse,
        "seconds": seconds,
        "target_seconds": TARGETS.get((network.member.architecture, network.member.units)),
        "all_seconds": [spent for _, spent in calls],
        "compile_seconds": first - seconds,
        "roots": len(roots),
        "roots_by_unstable_directions": np.bincount(roots.n_unstable).tolist(),
        "index_sum": points.index_sum,
        "certificate": points.certificate,
        "slow_points": int(points.is_slow.sum()),
        "starts": points.n_starts,
        "largest_q": float(roots.q.max(initial=0)),
        "rejected": points.rejected,
    }


def measure_population(networks):
    """One row of the second table: the networks of one shape that learned the task."""
    trained = [network for network in networks if network.task.passes(network.validation_mse, np.nan)]
    trained[0].graph(trained[0].search())  # compiles
    rows = []
    for network in trained:
        points, search = seconds_of(network.search)
        _, graph = seconds_of(network.graph, points)
        rows.append((search, graph, len(points.roots()), points.certificate, points.n_starts, network.validation_mse))
    search, graph, roots, certificates, starts, errors = zip(*rows, strict=True)
    return {
        "shape": network.name,
        "networks": len(rows),
        "untrained": len(networks) - len(trained),
        "seconds_per_network": statistics.mean(search) + statistics.mean(graph),
        "search_seconds": search,
        "transition_graph_seconds": graph,
        "roots": roots,
        "certificates": certificates,
        "starts": starts,
        "validation_mse": errors,
    }


def measure_peers(network, points, seconds, python, schedule, iterations):
    """One row of the third table: what Adam finds from the same starts."""
    script = Path(__file__).with_name("fixed_points_torch.py")
    # Thread counts of the caller's shell must not reach a side that is to run with its defaults.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment.pop("OPENBLAS_CORETYPE", None)
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, starts=network.starts, **network.weights)
        command = [python, script, network.member.architecture, schedule, str(iterations), given, found]
        answer = json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)
        states = np.load(found)["states"].astype(np.float64)
    speeds = network.speeds(states)
    roots = points.roots().states
    gaps = np.linalg.norm(roots[:, None] - states, axis=-1)
    return answer | {
        "network": network.name,
        "schedule": schedule,
        "unique_points": len(states),
        "median_q": float(np.median(speeds)),
        "largest_q": float(speeds.max()),
        "points_with_q_of_a_root": int((speeds <= 1e-20).sum()),
        "our_roots": len(roots),
        "our_roots_among_them": int((gaps.min(axis=1) <= SAME_POINT).sum()),
        "points_that_are_our_roots": int((gaps.min(axis=0) <= SAME_POINT).sum()),
        "ratio_of_seconds": answer["seconds"] / seconds,
    }


def search_line(row):
    """One line of the first table; without a row, its head."""
    if row is None:
        return (
            f"{'search':18}{'mse':>9}{'seconds':>9}{'target':>8}{'roots':>7}{'sum':>5}  {'certificate':14}"
            f"{'starts':>7}{'largest q':>11}{'compile s':>11}"
        )
    target = f"{row['target_seconds']:.1f}" if row["target_seconds"] else ""
    return (
        f"{row['network']:18}{row['validation_mse']:9.5f}{row['seconds']:9.2f}{target:>8}{row['roots']:7}"
        f"{row['index_sum']:5}  {row['certificate']:14}{row['starts']:7}{row['largest_q']:11.1e}"
        f"{row['compile_seconds']:11.1f}"
    )


def population_line(row):
    """One line of the second table; without a row, its head."""
    if row is None:
        return f"{'population':18}{'networks':>9}{'seconds each':>14}{'search':>8}{'graph':>8}  roots"
    return (
        f"{row['shape']:18}{row['networks']:9}{row['seconds_per_network']:14.2f}"
        f"{statistics.mean(row['search_seconds']):8.2f}{statistics.mean(row['transition_graph_seconds']):8.2f}  "
        + ", ".join(map(str, row["roots"]))
    )


def peers_line(row):
    """One line of the third table; without a row, its head."""
    if row is None:
        return (
            f"{'peers (Adam)':18}{'schedule':>10}{'iterations':>11}{'seconds':>9}{'ratio':>8}{'points':>8}"
            f"{'median q':>10}{'largest q':>11}{'our roots in it':>17}"
        )
    return (
        f"{row['network']:18}{row['schedule']:>10}{row['iterations']:11}{row['seconds']:9.1f}{row['ratio_of_seconds']:8.1f}"
        f"{row['unique_points']:8}{row['median_q']:10.1e}{row['largest_q']:11.1e}"
        f"{row['our_roots_among_them']:11} of {row['our_roots']}"
    )


def summary(rows, population, peers):
    """The numbers that the targets are about."""
    result = {f"seconds_{row['network'].replace(' ', '_')}": row["seconds"] for row in rows}
    each = [
        search + graph
        for row in population
        for search, graph in zip(row["search_seconds"], row["transition_graph_seconds"], strict=True)
    ]
    return result | {
        "population_seconds_per_network": statistics.mean(each),
        "slowest_of_population_seconds": max(each),
        "largest_q": max(row["largest_q"] for row in rows),
        "complete": sum(row["certificate"] == "complete" for row in rows),
        "least_ratio_to_peers": min(row["ratio_of_seconds"] for row in peers),
        "most_ratio_to_peers": max(row["ratio_of_seconds"] for row in peers),
    }


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="networks trained less, none of 256 units, short Adam")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--torch-python", metavar="PATH", default=sys.executable, help="an interpreter with torch")
    parser.add_argument(
        "--networks",
        metavar="FOLDER",
        type=Path,
        default=Path.home() / ".cache" / "dynatlas-benchmarks",
        help="where trained networks are kept",
    )
    options = parser.parse_args()
    if not can_import_torch(options.torch_python):
        raise SystemExit(NO_TORCH.format(options.torch_python).replace("training.py", "fixed_points.py"))
    options.networks.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None

    def networks(architecture, activation="tanh", units=64):
        small = QUICK_TRAINING if options.quick else TRAINING
        seeds = 1 if units == 256 or options.quick else 3
        training = LARGE_TRAINING if units == 256 else small
        return [Network(one) for one in trained(options.networks, architecture, activation, units, seeds, training)]

    searched = [("gru", "tanh", 64), ("vanilla", "tanh", 64), ("gru", "tanh", 256)]
    shapes = [(architecture, activation) for activation in ("tanh", "relu") for architecture in CELLS]
    if options.quick:
        searched, shapes = searched[:2], [("vanilla", "tanh")]
    rows, peers, population = [], [], []
    found = []
    print(search_line(None), flush=True)
    for shape in searched:
        network = networks(*shape)[0]
        points, row = measure_search(network, 3 if options.quick or shape[2] == 256 else 5)
        rows.append(row)
        found.append((network, points))
        print(search_line(row), flush=True)
    print(population_line(None), flush=True)
    for shape in shapes:
        population.append(measure_population(networks(*shape)))
        print(population_line(population[-1]), flush=True)
    print(peers_line(None), flush=True)
    for (network, points), row in zip(found, rows, strict=True):
        iterations = 500 if options.quick else 10_000
        for schedule in ("plateau", "steps"):
            arguments = (options.torch_python, schedule, iterations)
            peers.append(measure_peers(network, points, row["seconds"], *arguments))
            print(peers_line(peers[-1]), flush=True)
    result = summary(rows, population, peers)
    for name, value in result.items():
        print(f"{name.replace('_', ' ')}: {value:.3g}")
    print(f"load average before the run: {load}")
    result |= {
        "rows": rows,
        "population": population,
        "peers": peers,
        "cores": CORES,
        "machine": platform.machine(),
        "load_before": load,
        "quick": options.quick,
    }
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
