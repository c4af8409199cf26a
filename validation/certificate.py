"""Is a certificate ever wrong? Networks of many kinds, our search, and an exhaustive one beside it.

    python validation/certificate.py [--json FILE] [--networks FOLDER] [--only NAME ...] [--again]

Forty networks: vanilla, UGRNN, GRU and LSTM of 32 to 256 units, trained here on the 3-bit flip-flop; trained ones of
16 units of which each unit was replaced by equal copies; and leaky networks of rank 1 to 3 with random weights, as
rates and as currents. Each is analysed as ``dynatlas analyze`` does. The exhaustive search starts from thousands of
states: visited ones with noise at three scales, random ones in the box, and states between the roots found, an eighth
of them by plain Newton steps. For copies it runs on the network of 16 units, and for low rank on the map of the latent
variables: both have the same roots. A root counts as true if either search found it. A verdict "complete" with fewer
roots than the true ones is false. Networks whose rows are in FILE are not searched again; with
--again they are searched by us alone, and compared with the roots that were true before.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dynatlas.cells.registry import CELLS
from dynatlas.dynamics.multistart import Budget, Multistart
from dynatlas.networks import Network
from dynatlas.networks.analysis import analyze
from dynatlas.networks.layers import Leaky, Stack
from dynatlas.networks.network import network_of_layers
from dynatlas.tasks.flip_flop import FlipFlop

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import flip_flop_networks


def trained(folder, architecture, activation, units, seeds, iterations=900):
    """Trained cells of one shape, one for each seed."""
    learning_rate = 1e-2 if units < 128 else 2e-3
    training = {"steps": 50, "iterations": iterations, "learning_rate": learning_rate, "decay_steps": 300}
    return [one.cell for one in flip_flop_networks.trained(folder, architecture, activation, units, seeds, training)]


def of_cell(cell):
    """A trained cell as a network to analyse, with a box."""
    return Network(
        step=cell,
        n_states=len(cell.initial_state),
        n_inputs=3,
        readout=cell.readout,
        bounds=lambda inputs: cell.box(jnp.asarray(inputs)),
    )


def replicated(cell, copies):
    """The cell with each unit replaced by equal copies."""
    units, gates = cell.units, len(cell.gates)

    def rows(matrix):
        parts = np.asarray(matrix).reshape(gates, units, -1)
        return np.repeat(parts, copies, axis=1).reshape(gates * units * copies, -1)

    large = type(cell)(3, units * copies, 3, "tanh", key=jax.random.key(0)).astype(jnp.float64)
    readout = np.repeat(np.asarray(cell.readout_weights), copies, axis=1) / copies
    weights = {
        "recurrent_weights": np.repeat(rows(cell.recurrent_weights), copies, axis=1) / copies,
        "input_weights": rows(cell.input_weights),
        "bias": rows(cell.bias)[:, 0],
        "initial_state": np.repeat(np.asarray(cell.initial_state).reshape(-1, units), copies, axis=1).ravel(),
        "readout_weights": readout,
        "readout_bias": np.asarray(cell.readout_bias),
    }
    return eqx.tree_at(
        lambda cell: [getattr(cell, name) for name in weights], large, [jnp.asarray(each) for each in weights.values()]
    )


class LowRank(eqx.Module):
    """A leaky network h' = (1 − α)h + α(…) of low rank with random weights, and the map of its latent variables."""

    left: jax.Array  # M [units, rank]
    right: jax.Array  # N [units, rank], divided by the units
    form: str = eqx.field(static=True)

    def latent(self, kappa, _=None):
        """κ' = 0.8 κ + 0.2 Nᵀ tanh(M κ), which has the same roots in both forms."""
        return 0.8 * kappa + 0.2 * (self.right.T @ jnp.tanh(self.left @ kappa))

    def network(self):
        """The network to analyse."""
        units = len(self.left)
        layer = Leaky(
            np.zeros((units, 3)),
            np.asarray(self.left @ self.right.T),
            np.zeros(units),
            np.zeros(units),
            alpha=np.full(units, 0.2),
            form=self.form,
        )
        return network_of_layers(Stack((layer,)), None, ())


def low_rank(units, rank, form, seed):
    """A network of bistable latent variables, mixed a little."""
    random = np.random.default_rng(seed)
    left = random.normal(size=(units, rank))
    mix = np.eye(rank) * 1.9 + 0.2 * random.normal(size=(rank, rank))
    right = (left @ mix + 0.3 * random.normal(size=(units, rank))) / units
    return LowRank(jnp.asarray(left), jnp.asarray(right), form)


def exhaustive(step, box, visited, budget, seed):
    """The roots that many more starts reach [p, n], and the number of starts."""
    n = visited.shape[1]
    random = np.random.default_rng(seed)
    low, high = box
    search = Multistart(
        step,
        None,
        box,
        1e-20,
        1e-8,
        1.0,
        (low - 1, high + 1),
        (jnp.asarray(2 * low - high), jnp.asarray(2 * high - low)),
        Budget(10**9, None),
    )
    while search.n_starts < budget:
        count = min(budget // 4, 1024)
        near = visited[random.integers(len(visited), size=count)]
        near = near + random.choice([0.05, 0.3, 1.0], size=(count, 1)) * random.normal(size=(count, n))
        anywhere = np.clip(random.normal(size=(count, n)), low, high) * random.uniform(0, 1, size=(count, 1))
        search.search(np.clip(near, low, high))
        search.search(np.clip(anywhere, low, high))
        states = np.array([point.state for point in search.roots])
        weights = random.dirichlet(np.ones(3), size=2 * count)
        chosen = states[random.integers(len(states), size=(2 * count, 3))]
        between = np.einsum("sk,skn->sn", weights, chosen) + 0.05 * random.normal(size=(2 * count, n))
        newton = np.asarray(_newton(step, jnp.asarray(between[: count // 4])))
        search.search(np.clip(newton[np.isfinite(newton).all(axis=1)], low, high))
        search.search(np.clip(between[count // 4 :], low, high))
    return np.array([point.state for point in search.roots]), search.n_starts


@eqx.filter_jit
def _newton(step, states):
    """Forty undamped Newton steps from each state."""

    def one(state):
        def move(_, state):
            jacobian = jax.jacfwd(lambda h: step(h, None) - h)(state)
            return state - jnp.linalg.solve(jacobian, step(state, None) - state)

        return jax.lax.fori_loop(0, 40, move, state)

    return jax.lax.map(one, states, batch_size=16)


class _Still(eqx.Module):
    """A step without input."""

    step: object

    def __call__(self, state, _):
        return self.step(state, jnp.zeros(3))


def probe_states(cell):
    """States that a cell visits on the flip-flop's probe."""
    inputs = np.asarray(FlipFlop(steps=50).probe().inputs, np.float64)
    states = np.asarray(jax.jit(jax.vmap(cell.run))(jnp.asarray(inputs)))
    return states.reshape(-1, states.shape[-1])[:: 1 + len(states) // 40]


def jobs(folder):
    """(name, make) of the forty networks; ``make`` returns what ``row`` takes."""
    shapes = [(kind, "tanh", units, seed) for kind in CELLS for units in (32, 64) for seed in (0, 1)]
    shapes += [("gru", "relu", 32, 0), ("vanilla", "relu", 32, 0)]
    shapes += [(kind, "tanh", 128, 0) for kind in CELLS] + [("vanilla", "tanh", 256, 0), ("gru", "tanh", 256, 0)]
    for kind, activation, units, seed in shapes:

        def own(kind=kind, activation=activation, units=units, seed=seed):
            seeds = 2 if units <= 64 and activation == "tanh" else 1
            cell = trained(folder, kind, activation, units, seeds, 900 if units < 128 else 600)[seed]
            return of_cell(cell), cell, None

        yield f"{kind} {activation} {units} seed {seed}", own
    copies = [("vanilla", seed, count) for seed in (0, 1) for count in (4, 12, 16)] + [("gru", 0, 8), ("lstm", 0, 4)]
    for kind, seed, count in copies:

        def copied(kind=kind, seed=seed, count=count):
            cell = trained(folder, kind, "tanh", 16, 2 if kind == "vanilla" else 1)[seed]
            return of_cell(replicated(cell, count)), cell, None

        yield f"{kind} 16 × {count} seed {seed}", copied
    ranks = [(192, 1, "current"), (512, 1, "current"), (128, 2, "current"), (256, 3, "current")]
    ranks += [(96, 1, "rate"), (192, 2, "rate"), (128, 3, "rate"), (256, 2, "rate")]
    for units, rank, form in ranks:

        def latent(units=units, rank=rank, form=form):
            made = low_rank(units, rank, form, seed=units + rank)
            return made.network(), None, made

        yield f"rank {rank} {form} {units}", latent


def search(make, seed=0):
    """Analyse a network; return it, what was found, and seconds of the clock and of the processor."""
    network, cell, made = make()
    trials = None if cell is None else np.asarray(FlipFlop(steps=50).probe().inputs, np.float64)
    begun, processor = time.perf_counter(), time.process_time()
    found = analyze(network, trials=trials, key=jax.random.key(seed))
    seconds, processor = time.perf_counter() - begun, time.process_time() - processor
    return network, cell, made, found.fixed_points[0], seconds, processor


def ours_of(name, network, points, seconds, processor):
    """What a row says of our search."""
    roots = points.roots()
    return {
        "network": name,
        "states": network.n_states,
        "found": len(roots),
        "by_unstable": np.bincount(roots.n_unstable).tolist(),
        "certificate": points.certificate,
        "reason": points.reason,
        "starts": points.n_starts,
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor, 2),
    }


def row_again(name, make, before):
    """One line of the table, with the roots that were true before."""
    network, _, _, points, seconds, processor = search(make)
    row = before | ours_of(name, network, points, seconds, processor)
    return row | {"true": max(before["true"], row["found"])}


def row(name, make, seed=0):
    """One line of the table."""
    network, cell, made, points, seconds, processor = search(make, seed)
    roots = points.roots()
    if made is not None:
        n = made.left.shape[1]
        grid = np.random.default_rng(seed).uniform(-3, 3, size=(4096, n))
        states, n_starts = exhaustive(made.latent, (np.full(n, -9.0), np.full(n, 9.0)), grid, 8192, seed)
        here = roots.states @ np.asarray(made.right)
        ours = here if made.form == "rate" else np.tanh(roots.states) @ np.asarray(made.right)
    else:
        n = len(cell.initial_state)
        box = cell.box(jnp.zeros(3)) or (np.full(n, -20.0), np.full(n, 20.0))
        box = tuple(np.broadcast_to(np.asarray(end, float), (n,)) for end in box)
        budget = max(1024, min(8192, int(8192 * (64 / n) ** 2)))
        states, n_starts = exhaustive(_Still(cell), box, probe_states(cell), budget, seed)
        each = network.n_states // n
        ours = roots.states.reshape(len(roots), -1, each).mean(axis=2)
    distances = np.linalg.norm(ours[:, None] - states, axis=-1) if len(ours) else np.full((1, len(states)), np.inf)
    missed = int((distances.min(axis=0) > 1e-4).sum())
    return ours_of(name, network, points, seconds, processor) | {
        "true": len(roots) + missed,
        "exhaustive": len(states),
        "exhaustive_starts": n_starts,
    }


def line(row):
    """One line of the printed table; without a row, its head."""
    if row is None:
        return f"{'network':26}{'states':>7}{'found':>7}{'true':>6}{'seconds':>9}{'CPU s':>8}  verdict"
    return (
        f"{row['network']:26}{row['states']:7}{row['found']:7}{row['true']:6}{row['seconds']:9.1f}"
        f"{row['processor_seconds']:8.1f}  {row['certificate']}"
        + ("" if row["certificate"] == "complete" else f": {row['reason']}")
    )


def main():
    """Print the table; with a file, keep the rows that it has."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", metavar="FILE", type=Path)
    parser.add_argument("--only", nargs="*", default=[""], metavar="NAME", help="networks whose name begins so")
    parser.add_argument(
        "--networks",
        metavar="FOLDER",
        type=Path,
        default=Path.home() / ".cache" / "dynatlas-benchmarks",
        help="where trained networks are kept",
    )
    parser.add_argument("--again", action="store_true", help="search the networks in FILE again, by us alone")
    options = parser.parse_args()
    options.networks.mkdir(parents=True, exist_ok=True)
    rows = json.loads(options.json.read_text())["rows"] if options.json and options.json.exists() else []
    done = {each["network"]: each for each in rows}
    print(line(None), flush=True)
    with jax.enable_x64(True):
        for name, make in jobs(options.networks):
            if name.startswith(tuple(options.only)) and (options.again or name not in done):
                done[name] = row_again(name, make, done[name]) if name in done else row(name, make)
                if options.json:
                    text = json.dumps({"rows": list(done.values())}, indent=1, ensure_ascii=False)
                    options.json.write_text(text + "\n", encoding="utf-8")
            if name in done:
                print(line(done[name]), flush=True)
    complete = [each for each in done.values() if each["certificate"] == "complete"]
    print(f"networks: {len(done)}; complete: {len(complete)}")
    print(f"false complete: {sum(each['found'] < each['true'] for each in complete)}")


if __name__ == "__main__":
    main()
