"""Is our fixed-point search complete on networks that PyTorch trained? Its certificate, and SciPy's search beside it.

    python validation/fixed_points_of_torch.py [--torch-python PATH] [--json FILE] [--networks FOLDER] [--seeds N]

PyTorch trains nn.RNN, nn.GRU and nn.LSTM (tanh) on the 3-bit flip-flop. Each becomes a step function here, which must
agree with PyTorch's cell on random states. Then ``find_fixed_points`` searches from 1,024 states that the network
visits plus noise, inside the box that the equations give, and ``scipy.optimize.root`` from 200 of the same starts:
every root of its own inside the box must be among ours. PyTorch may live in an environment of its own:

    python -m venv torch-env && torch-env/bin/pip install torch==2.13.0 numpy
    python validation/fixed_points_of_torch.py --torch-python torch-env/bin/python
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from abc import abstractmethod
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid
from scipy.optimize import root

from dynatlas import find_fixed_points
from dynatlas.tasks.flip_flop import FlipFlop

SETTINGS = {
    "units": 64,
    "steps": 60,
    "batch_size": 64,
    "iterations": 1500,
    "learning_rate": 0.01,
    "decay_rate": 0.3,
    "decay_steps": 500,
}
STARTS = 1024
NOISE = 0.5
SCIPY_STARTS = 200
# SciPy's endings count as roots below this residual, and as ours within this distance.
RESIDUAL = 1e-9
SAME_ROOT = 1e-6
SECONDS = 5.0


class TorchCell(eqx.Module):
    """A cell with PyTorch's weights and PyTorch's order of gates."""

    weight_ih_l0: jax.Array
    weight_hh_l0: jax.Array
    bias_ih_l0: jax.Array
    bias_hh_l0: jax.Array

    @property
    def units(self):
        """Hidden units."""
        return self.weight_hh_l0.shape[1]

    @property
    def n_states(self):
        """Numbers in a state."""
        return self.units

    def sums(self, hidden, inputs):
        """What comes from the input and what from the hidden units: PyTorch's GRU needs them apart."""
        return self.weight_ih_l0 @ inputs + self.bias_ih_l0, self.weight_hh_l0 @ hidden + self.bias_hh_l0

    @abstractmethod
    def __call__(self, state, inputs):
        """One step."""

    def bound(self):
        """How far from 0 a state can be that one step without input leads to: the half width of an invariant box."""
        return jnp.ones(self.units)


class RNN(TorchCell):
    """h' = tanh(…)."""

    def __call__(self, state, inputs):
        """One step."""
        return jnp.tanh(sum(self.sums(state, inputs)))


class GRU(TorchCell):
    """r, z = σ(…), n = tanh(W_in x + b_in + r∘(W_hn h + b_hn)), h' = z∘h + (1 − z)∘n."""

    def __call__(self, state, inputs):
        """One step."""
        given, recurrent = (jnp.split(part, 3) for part in self.sums(state, inputs))
        reset, update = (sigmoid(given[gate] + recurrent[gate]) for gate in (0, 1))
        return update * state + (1 - update) * jnp.tanh(given[2] + reset * recurrent[2])


class LSTM(TorchCell):
    """i, f, o = σ(…), c' = f∘c + i∘tanh(…), h' = o∘tanh(c'); gates in the order i, f, candidate, o."""

    @property
    def n_states(self):
        """Numbers in a state: (h, c)."""
        return 2 * self.units

    def __call__(self, state, inputs):
        """One step."""
        hidden, memory = jnp.split(state, 2)
        gate_in, forget, candidate, out = jnp.split(sum(self.sums(hidden, inputs)), 4)
        memory = sigmoid(forget) * memory + sigmoid(gate_in) * jnp.tanh(candidate)
        return jnp.concatenate([sigmoid(out) * jnp.tanh(memory), memory])

    def bound(self):
        """|h| ≤ 1 and |c| ≤ 1/(1 − max f), with the widest forget gate that any |h| ≤ 1 opens."""
        rows = slice(self.units, 2 * self.units)
        widest = jnp.abs(self.weight_hh_l0[rows]).sum(axis=1) + self.bias_ih_l0[rows] + self.bias_hh_l0[rows]
        return jnp.concatenate([jnp.ones(self.units), 1 / sigmoid(-widest)])


CELLS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


def trained(folder, architecture, seeds, python):
    """The files of the trained networks of one architecture; missing ones are trained now."""
    files = {
        seed: folder / f"torch-{architecture}-{SETTINGS['units']}-{SETTINGS['iterations']}-seed{seed}.npz"
        for seed in range(seeds)
    }
    missing = {seed: str(file) for seed, file in files.items() if not file.exists()}
    if missing:
        settings = SETTINGS | {"architecture": architecture, "files": missing}
        script = Path(__file__).with_name("train_torch.py")
        done = subprocess.run([python, script, json.dumps(settings)], stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"the side of PyTorch failed under {python}; see the head of this file:\n{done.stderr}")
    return files


def starts_for(cell, seed):
    """States that the network visits on the flip-flop's probe, plus noise."""
    probe = jnp.asarray(np.asarray(FlipFlop(steps=SETTINGS["steps"]).probe().inputs, np.float64))

    def run(inputs):
        def step(state, given):
            state = cell(state, given)
            return state, state

        return jax.lax.scan(step, jnp.zeros(cell.n_states), inputs)[1]

    visited = np.asarray(jax.jit(jax.vmap(run))(probe)).reshape(-1, cell.n_states)
    random = np.random.default_rng(seed)
    rows = random.integers(len(visited), size=STARTS)
    return visited[rows] + NOISE * random.normal(size=(STARTS, visited.shape[1]))


@eqx.filter_jit
def residual(cell, state):
    """F(h) − h without input."""
    return cell(state, jnp.zeros(3)) - state


@eqx.filter_jit
def residual_jacobian(cell, state):
    """Its exact Jacobian."""
    return jax.jacfwd(lambda state: cell(state, jnp.zeros(3)) - state)(state)


def scipys_roots(cell, starts, bound):
    """The roots inside the box that SciPy's method of Powell reaches, each once, and how many starts reached one."""
    found, reached = [], 0
    for start in starts:
        solution = root(
            lambda state: np.asarray(residual(cell, state)),
            start,
            jac=lambda state: np.asarray(residual_jacobian(cell, state)),
            method="hybr",
            tol=1e-13,
        )
        small = np.linalg.norm(np.asarray(residual(cell, solution.x))) < RESIDUAL
        if small and (np.abs(solution.x) <= bound + 1e-9).all():
            reached += 1
            if not found or np.linalg.norm(np.array(found) - solution.x, axis=1).min() >= SAME_ROOT:
                found.append(solution.x)
    return np.array(found).reshape(len(found), starts.shape[1]), reached


def validate(architecture, seed, file, compiled):
    """One network's row."""
    given = dict(np.load(file))
    names = list(TorchCell.__dataclass_fields__)
    cell = CELLS[architecture](*(jnp.asarray(given[name], jnp.float64) for name in names))
    step_error = float(jnp.abs(jax.vmap(cell)(given["states"], given["inputs"]) - given["following"]).max())
    starts, bound = starts_for(cell, seed), np.asarray(cell.bound())

    def search():
        return find_fixed_points(cell, starts, np.zeros(3), box=(-bound, bound), key=jax.random.key(seed))

    if not compiled:
        search()
    begun = time.perf_counter()
    points = search()
    seconds = time.perf_counter() - begun
    roots = points.roots()
    theirs, reached = scipys_roots(cell, starts[:SCIPY_STARTS], bound)
    gaps = np.linalg.norm(theirs[:, None] - roots.states, axis=-1)
    missed = theirs[gaps.min(axis=1, initial=np.inf) >= SAME_ROOT]
    return {
        "network": file.name,
        "architecture": architecture,
        "seed": seed,
        "mse": float(given["mse"]),
        "one_step_error": step_error,
        "seconds": seconds,
        "certificate": points.certificate,
        "index_sum": points.index_sum,
        "roots": len(roots),
        "roots_by_unstable_directions": np.bincount(roots.n_unstable).tolist(),
        "roots_reached_once": points.n_singletons,
        "slow_points": int(points.is_slow.sum()),
        "starts": points.n_starts,
        "largest_q": float(roots.q.max(initial=0)),
        "rejected": points.rejected,
        "scipy_successes": reached,
        "scipy_roots": len(theirs),
        "missed": [
            {
                "state": state.tolist(),
                "residual": float(np.linalg.norm(np.asarray(residual(cell, state)))),
                "distance_to_ours": float(np.linalg.norm(roots.states - state, axis=1).min(initial=np.inf)),
            }
            for state in missed
        ],
    }


def line(row):
    """One line of the table; without a row, its head."""
    if row is None:
        return (
            f"{'':6}{'seed':>5}{'mse':>9}{'seconds':>9}{'roots':>7}{'sum':>5}  {'certificate':12}{'starts':>7}"
            f"{'largest q':>11}{'one step':>10}{'SciPy has':>11}{'missed':>8}  by unstable directions"
        )
    return (
        f"{row['architecture']:6}{row['seed']:5}{row['mse']:9.5f}{row['seconds']:9.2f}{row['roots']:7}"
        f"{row['index_sum']:5}  {row['certificate']:12}{row['starts']:7}{row['largest_q']:11.1e}"
        f"{row['one_step_error']:10.1e}{row['scipy_roots']:11}{len(row['missed']):8}  "
        f"{row['roots_by_unstable_directions']}"
    )


def summary(rows):
    """What the targets are about."""
    return {
        "networks": len(rows),
        "share_complete": statistics.mean(row["certificate"] == "complete" for row in rows),
        f"share_complete_within_{SECONDS:.0f}_seconds": statistics.mean(
            row["certificate"] == "complete" and row["seconds"] <= SECONDS for row in rows
        ),
        "median_seconds": statistics.median(row["seconds"] for row in rows),
        "most_seconds": max(row["seconds"] for row in rows),
        "largest_q": max(row["largest_q"] for row in rows),
        "largest_one_step_error": max(row["one_step_error"] for row in rows),
        "complete_though_scipy_has_more": sum(row["certificate"] == "complete" and bool(row["missed"]) for row in rows),
        "scipy_successes": sum(row["scipy_successes"] for row in rows),
        "roots_of_scipy_that_we_miss": sum(len(row["missed"]) for row in rows),
    }


def main():
    """Print and store the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--torch-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--seeds", type=int, default=7, metavar="N", help="networks of each architecture")
    parser.add_argument(
        "--networks",
        metavar="FOLDER",
        type=Path,
        default=Path.home() / ".cache" / "dynatlas-benchmarks",
        help="where trained networks are kept",
    )
    options = parser.parse_args()
    options.networks.mkdir(parents=True, exist_ok=True)
    rows = []
    print(line(None), flush=True)
    with jax.enable_x64(True):
        for architecture in CELLS:
            files = trained(options.networks, architecture, options.seeds, options.torch_python)
            for seed, file in files.items():
                rows.append(validate(architecture, seed, file, compiled=seed > 0))
                print(line(rows[-1]), flush=True)
                for missed in rows[-1]["missed"]:
                    residual, distance = missed["residual"], missed["distance_to_ours"]
                    print(f"      missed: residual {residual:.1e}, {distance:.2g} from our nearest root")
    result = summary(rows)
    for name, value in result.items():
        print(f"{name.replace('_', ' ')}: {value:.3g}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"settings": SETTINGS} | result | {"rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
