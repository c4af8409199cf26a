"""Do branches and bifurcations agree with those of PyCont-Lite, and with closed forms?

    python validation/continuation.py [--pycont-python PATH] [--json FILE]

Four maps F(h, p), whose fixed points PyCont-Lite follows as the zeros of F(h, p) − h:

    switch     tanh(2 h + p): one fold, at atanh(√½) − 2√½
    pitchfork  tanh(p h): one pitchfork, at 1
    random     tanh(p W h), 8 units: the state 0 has a branch point at 1/λ for each real eigenvalue λ > 0 of W
    gru        the trained PyTorch GRU of 64 units of the tests, along its third input: all 27 fixed points at 0

Both sides begin at the same states and end at the same parameters. PyCont-Lite follows one branch at a time by finite
differences and Newton–Krylov, and switches branches itself; ours has exact derivatives. It runs with the settings below
and its time is that of the processor for all branches; NumPy evaluates its maps. It knows folds (LP) and branch points
(BP) only. A run from one state is stopped after 40 s of the processor, and after 80 s no further state of a problem is
begun: both are counted. Compared are the parameters of folds and branch points, each with the nearest of its kind on
the other side; those of either side without a partner within 1e-2 of the interval are counted. PyCont-Lite may live in
an environment of its own:

    python -m venv pycont-env && pycont-env/bin/pip install pycont-lite==0.6.0
    python validation/continuation.py --pycont-python pycont-env/bin/python
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "tests" / "data" / "flip_flop_gru.safetensors"
PROBLEMS = {"switch": (0.0, -1.0), "pitchfork": (0.5, 2.0), "random": (0.5, 2.0), "gru": (0.0, 0.15)}
# Of PyCont-Lite: smallest, largest and first step in the arc length of state and parameter; steps of a branch.
SMALLEST, LARGEST, FIRST, STEPS = 1e-6, 0.01, 1e-3, 5000  # as in its README
TOLERANCE = 1e-10
MARGIN = 0.02  # of the interval, that it may go beyond the start
LIMIT, BUDGET = 40, 80  # seconds of the processor: from one state, and after which no further state is begun
NEAR = 1e-2  # of the interval: partners


def random_weights():
    """Return the recurrent weights of the random network: the first seed with three branch points of the state 0."""
    return np.random.default_rng(4).normal(size=(8, 8)) / np.sqrt(2)


def maps(weights, np):
    """Return F(h, p) of each problem, in NumPy or jax.numpy."""
    matrix = random_weights()

    def logistic(values):
        return 1 / (1 + np.exp(-values))

    def gru(state, parameter):
        given = weights["gru.weight_ih_l0"][:, 2] * parameter + weights["gru.bias_ih_l0"]
        recurrent = weights["gru.weight_hh_l0"] @ state + weights["gru.bias_hh_l0"]
        (r, u, c), (s_r, s_u, s_c) = np.split(given, 3), np.split(recurrent, 3)
        kept = logistic(u + s_u)
        return kept * state + (1 - kept) * np.tanh(c + logistic(r + s_r) * s_c)

    return {
        "switch": lambda h, p: np.tanh(2 * h + p),
        "pitchfork": lambda h, p: np.tanh(p * h),
        "random": lambda h, p: np.tanh(p * (matrix @ h)),
        "gru": gru,
    }


def gru_weights(path):
    """Return the arrays of an .npz file in float64: PyCont-Lite's environment has no safetensors."""
    with np.load(path) as file:
        return {name: np.asarray(file[name], np.float64) for name in file.files}


def their_side(given, target):
    """Follow all branches with PyCont-Lite, and write events and seconds."""
    import pycont

    def stop_run(*_):
        raise TimeoutError(f"more than {LIMIT} s of the processor from one state")

    signal.signal(signal.SIGPROF, stop_run)
    arrays = gru_weights(given)
    results = {}
    for name, function in maps(arrays, np).items():
        start, stop = PROBLEMS[name]
        parameters = {
            "tolerance": TOLERANCE,
            # A run that begins on a limit ends there at once.
            "param_min": min(start - MARGIN * (stop - start), stop),
            "param_max": max(start - MARGIN * (stop - start), stop),
            "initial_directions": "increase_p" if stop > start else "decrease_p",
            "analyze_stability": False,
        }
        events, ends, failed, followed = [], [], [], 0
        begun = time.process_time()
        for state in arrays[f"states of {name}"]:
            if time.process_time() - begun > BUDGET:
                break
            followed += 1
            signal.setitimer(signal.ITIMER_PROF, LIMIT)
            try:
                found = pycont.arclengthContinuation(
                    lambda h, p, function=function: function(h, p) - h,
                    *(state, start, SMALLEST, LARGEST, FIRST, STEPS),
                    solver_parameters=dict(parameters),
                    verbosity="off",
                )
            except Exception as error:  # whatever it raises: that is a result
                failed.append(f"{type(error).__name__}: {error}"[:200])
                continue
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            events += [[each.kind, float(each.p), np.asarray(each.u).tolist()] for each in found.events]
            ends += [getattr(branch.termination_event, "kind", None) for branch in found.branches]
        seconds = time.process_time() - begun
        results[name] = {
            "events": events, "ends": ends, "failed": failed, "followed": followed, "seconds": seconds,
        }  # fmt: skip
    Path(target).write_text(json.dumps(results), encoding="utf-8")


def our_side(weights):
    """Return bifurcations and seconds of dynatlas, and the states at which branches begin."""
    import jax
    import jax.numpy as jnp

    from dynatlas import continue_fixed_points, find_fixed_points

    results, starts = {}, {}
    for name, function in maps(weights, jnp).items():
        start, stop = PROBLEMS[name]
        n = {"random": 8, "gru": 64}.get(name, 1)
        states = np.random.default_rng(1).uniform(-1, 1, (512, n))
        if name == "gru":  # states that the network visits on pulses
            states = np.concatenate([visited(weights), states])
        points = find_fixed_points(
            lambda h, x, function=function, start=start: function(h, start),
            *(states, None),
            box=(-1, 1),
            key=jax.random.key(0),
        )
        starts[name] = points.roots().states
        for _ in range(2):  # the first call compiles
            begun = time.process_time()
            found = continue_fixed_points(function, points, start, stop, box=(-1, 1))
            seconds = time.process_time() - begun
        results[name] = {
            "certificate": points.certificate,
            "bifurcations": [[each.kind, each.parameter, each.uncertainty] for each in found.bifurcations],
            "index_sum_wrong": int(found.index_sums.is_wrong.sum()),
            "branches": len(found),
            "seconds": seconds,
        }
    return results, starts


def visited(weights):
    """Return states of the GRU at the ends of trials with random pulses, with noise."""
    random = np.random.default_rng(2)
    zero = maps(weights, np)["gru"]
    states = []
    for _ in range(512):
        state = random.uniform(-1, 1, 64)
        for _ in range(100):
            state = zero(state, 0.0)
        states.append(state + 0.5 * random.normal(size=64))
    return np.stack(states)


def compare(name, ours, theirs):
    """Return a row: counts of partners, and the largest difference between partners of each kind."""
    start, stop = PROBLEMS[name]
    near = NEAR * abs(stop - start)
    of_kind = {
        "fold": ([each[1] for each in ours["bifurcations"] if each[0] == "fold"], _distinct(theirs, "LP", near)),
        "branch point": (
            [each[1] for each in ours["bifurcations"] if each[0] in ("pitchfork", "transcritical", "degenerate")],
            _distinct(theirs, "BP", near),
        ),
    }
    row = {"problem": name, "our_seconds": ours["seconds"], "their_seconds": theirs["seconds"]}
    for kind, (mine, other) in of_kind.items():
        gaps = np.abs(np.subtract.outer(mine, other)) if mine and other else np.full((len(mine), len(other)), np.inf)
        mine_met = gaps.min(axis=1, initial=np.inf) < near
        row[kind] = {
            "ours": len(mine),
            "theirs": len(other),
            "ours_without_partner": int((~mine_met).sum()),
            "theirs_without_partner": int((gaps.min(axis=0, initial=np.inf) >= near).sum()),
            "largest_difference": float(gaps.min(axis=1, initial=np.inf)[mine_met].max(initial=0)),
        }
    row["their_states"], row["their_failures"] = theirs["followed"], theirs["failed"]
    row["our_wrong_sums"] = ours["index_sum_wrong"]
    return row


def _distinct(theirs, kind, near):
    """Return the parameters of a kind of event; a point that several of its runs pass is one.

    Points at one parameter with different states are several, as the fold of a symmetric network.
    """
    found = []
    for each, parameter, state in theirs["events"]:
        new = (parameter, np.asarray(state))
        if each == kind and not any(
            abs(parameter - p) < near and np.linalg.norm(new[1] - s) < 100 * near for p, s in found
        ):
            found.append(new)
    return [parameter for parameter, _ in found]


def closed_forms(ours):
    """Return the largest difference of our bifurcations from closed forms, by problem."""
    real = [value.real for value in np.linalg.eigvals(random_weights()) if abs(value.imag) < 1e-12 and value.real > 0]
    start, stop = PROBLEMS["random"]
    expected = {
        "switch": [np.arctanh(0.5**0.5) - 2 * 0.5**0.5],
        "pitchfork": [1.0],
        "random": [1 / value for value in real if start < 1 / value < stop],
    }
    return {
        name: max(min(abs(value - each[1]) for each in ours[name]["bifurcations"]) for value in values)
        for name, values in expected.items()
        if values
    }


def main():
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pycont-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--theirs", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.theirs:
        their_side(*arguments.theirs)
        return
    from safetensors.numpy import load_file

    weights = {name: np.asarray(values, np.float64) for name, values in load_file(WEIGHTS).items()}
    ours, starts = our_side(weights)
    with tempfile.TemporaryDirectory() as folder:
        given, target = Path(folder) / "given.npz", Path(folder) / "theirs.json"
        np.savez(given, **weights, **{f"states of {name}": states for name, states in starts.items()})
        command = [arguments.pycont_python, __file__, "--theirs", str(given), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"PyCont-Lite failed under {arguments.pycont_python}; see the head of this file:\n{done.stderr}")
        theirs = json.loads(target.read_text(encoding="utf-8"))
    exact = closed_forms(ours)
    rows = [compare(name, ours[name], theirs[name]) for name in PROBLEMS]
    for row in rows:
        name = row["problem"]
        print(f"{name}: from {len(starts[name])} states; {ours[name]['branches']} branches", flush=True)
        for kind in ("fold", "branch point"):
            each = row[kind]
            print(
                f"  {kind}s: ours {each['ours']}, theirs {each['theirs']}; without partner "
                f"{each['ours_without_partner']} and {each['theirs_without_partner']}; "
                f"largest difference {each['largest_difference']:.1e}"
            )
        print(f"  seconds: ours {row['our_seconds']:.2f}, theirs {row['their_seconds']:.2f}")
        print(f"  theirs began at {row['their_states']} states within its budget")
        if name in exact:
            print(f"  ours and the closed form: {exact[name]:.1e}")
        if row["their_failures"]:
            print(f"  theirs failed from {len(row['their_failures'])} states: {row['their_failures'][0]}")
        print(f"  values at which our index sum is not 1: {row['our_wrong_sums']}")
    if arguments.json:
        result = {"rows": rows, "closed_forms": exact, "ours": ours, "theirs": theirs}
        Path(arguments.json).write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
