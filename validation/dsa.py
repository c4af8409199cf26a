"""Is our DSA that of the package dsa-metric, and how long does either take for a pair?

    python validation/dsa.py [--dsa-python PATH] [--pairs N] [--json FILE]

Noisy linear systems and random tanh networks driven by pulses, under several settings. dsa-metric computes in single
precision; it is run once as it is, and once with PyTorch's default precision set to double. It returns W₂², and we W₂:
the squares are compared. With inputs it computes in single precision only, and its steps lead from one trial to the
next: eigenvalues from single trials are compared. Alignments are compared by the norm that is left between maps of norm
1: of random tanh networks, and of networks trained on the flip-flop and the sine, tanh and relu. The sides take turns,
a few pairs at a time, so that both meet the same load. dsa-metric may live in an environment of its own:

    python -m venv dsa-env && dsa-env/bin/pip install torch==2.13.0 dsa-metric==2.0.2
    python validation/dsa.py --dsa-python dsa-env/bin/python
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np

SETTINGS = {
    "defaults": {},
    "ridge": {"lamb": 0.1},
    "rank": {"rank": 5},
    "delays": {"n_delays": 3, "delay_interval": 2},
    "delays and rank": {"n_delays": 4, "rank": 10},
    "reduced-rank regression": {"n_delays": 2, "rank": 8, "reduced_rank_reg": True},
}
TIMED_UNITS, TIMED = 64, 40
ALIGNED = (10, 32)  # dimensions of the maps that are aligned
NETWORKS = 16  # of each kind, whose maps are aligned
TURN = 5  # pairs that a side aligns before the other
# Neither these networks nor the random ones are those with which the stages of the ascents were chosen.
STUDY = """
name = "networks whose maps are aligned"
[[tasks]]
kind = "flip_flop"
[[tasks]]
kind = "sine_wave"
dt = 0.04
commands = 11
[population]
architectures = ["vanilla"]
activations = ["tanh", "relu"]
units = [32]
l2 = [1e-5]
seeds = 4
[training]
optimizer = "adam"
iterations = 2100
batch_size = 16
learning_rate = 5e-3
decay_rate = 0.3
decay_steps = 1000
clip_norm = 1.0
[[overrides]]
task = "sine_wave"
training = { iterations = 3100, decay_rate = 0.5 }
"""


def activities():
    """[trials, time, units] of eight networks of different sizes."""
    found = []
    for number, units in enumerate((6, 6, 8, 10, 12, 16, 16, 16)):
        random = np.random.default_rng(number)
        weights = random.normal(size=(units, units)) / np.sqrt(units)
        is_linear = number < 4
        weights *= (0.9 / abs(np.linalg.eigvals(weights)).max()) if is_linear else 1.5
        pulses = random.normal(size=(2, units))
        state, states = random.normal(size=(40, units)), []
        for _ in range(60):
            drive = (random.random((40, 2)) < 0.2) @ pulses
            summed = state @ weights + (0 if is_linear else drive) + 0.3 * random.normal(size=state.shape)
            state = summed if is_linear else np.tanh(summed)
            states.append(state)
        found.append(np.stack(states, axis=1))
    return found


def driven():
    """One trial [1, time, units] and its inputs of each of four linear networks."""
    found = []
    for number, units in enumerate((4, 6, 8, 8)):
        random = np.random.default_rng([7, number])
        weights = random.normal(size=(units, units))
        weights *= 0.9 / abs(np.linalg.eigvals(weights)).max()
        inputs = np.zeros((2000, 2))
        state, states, taken = np.zeros(units), [], random.normal(size=(2, units))
        for now in range(2000):
            inputs[now] = 0.9 * inputs[now - 1] + random.normal(size=2)
            state = state @ weights + inputs[now] @ taken + 0.3 * random.normal(size=units)
            states.append(state)
        found.append((np.stack(states)[None], inputs[None]))
    return found


def maps():
    """Matrices [units, units] with eigenvalues like those of a network's map."""
    random = np.random.default_rng(0)
    return random.normal(size=(TIMED, TIMED_UNITS, TIMED_UNITS)) * 0.9 / np.sqrt(TIMED_UNITS)


def random_maps(units):
    """One-step maps of tanh networks with random weights, in whitened coordinates."""
    found = []
    for number in range(NETWORKS):
        random = np.random.default_rng([1, units, number])
        weights = 0.95 * random.normal(size=(units, units)) / np.sqrt(units)
        state, states = random.normal(size=(60, units)), []
        for _ in range(40):
            state = np.tanh(state @ weights) + 0.3 * random.normal(size=state.shape)
            states.append(state)
        white = np.linalg.svd(np.concatenate(states), full_matrices=False)[0].reshape(40, 60, units)
        before, after = white[:-1].reshape(-1, units), white[1:].reshape(-1, units)
        found.append(np.linalg.lstsq(before, after)[0])
    return np.stack(found)


def trained_activities():
    """[trials, time, units] on the probe of four networks of each task and activation, trained now."""
    import jax

    from dynatlas.cells.responses import probe_activity
    from dynatlas.study.study import Study
    from dynatlas.training.fit import begin, train

    study, found = Study.parse(STUDY, "networks whose maps are aligned"), []
    for task in study.tasks:
        inputs = task.probe().inputs
        for activation in ("tanh", "relu"):
            members = [one for one in study.members if (one.task, one.activation) == (task.name, activation)]
            state = begin(members, lambda key, shape=members[0].shape: study.cell(shape, key))
            cells = train(task, members, state, until=members[0].training.iterations).fits.cell
            for row in range(len(members)):
                activity = probe_activity(jax.tree.map(lambda leaf, row=row: leaf[row], cells), inputs)
                found.append(activity.reshape(*inputs.shape[:2], -1))
    return found


def trained_maps(activities, units):
    """Their one-step maps, between as many principal components; those of networks with silent units are padded."""
    from dynatlas.measures import DSA

    measure = DSA(rank=units, score_method="euclidean")
    matrices = [measure.reduce(activity)["matrix"] for activity in activities]
    return np.stack([np.pad(matrix, (0, units - len(matrix))) for matrix in matrices])


def pairs_of(count, networks=NETWORKS):
    """So many pairs of different networks, spread over all."""
    every = [(i, j) for i in range(networks) for j in range(i)]
    return [every[place] for place in np.unique(np.linspace(0, len(every) - 1, min(count, len(every))).astype(int))]


def their_side(target, *, times_only=False):
    """Write the results of dsa-metric, under its own interpreter."""
    import torch
    from DSA import DSA
    from DSA.dmdc import DMDc
    from DSA.simdist import SimilarityTransformDist

    torch.set_num_threads(1)
    results = {}
    precisions = {} if times_only else {"double": torch.float64, "single": torch.float32}
    for precision, dtype in precisions.items():
        torch.set_default_dtype(dtype)
        results[precision] = {
            name: np.asarray(DSA(activities(), **options).fit_score()).tolist() for name, options in SETTINGS.items()
        }
    torch.set_default_dtype(torch.float32)
    results["eigenvalues with inputs"] = []
    for activity, inputs in driven():
        # Its inputs are those of the earlier step.
        fitted = DMDc(activity[0], np.roll(inputs[0], -1, axis=0), n_delays=1, lamb=0)
        fitted.fit()
        values = np.linalg.eigvals(np.asarray(fitted.A_v, np.float64))
        results["eigenvalues with inputs"].append([values.real.tolist(), values.imag.tolist()])
    matrices = [torch.from_numpy(matrix).float() for matrix in maps()]
    spectra = [torch.linalg.eig(matrix).eigenvalues for matrix in matrices]
    compared = SimilarityTransformDist(score_method="wasserstein")
    for way, things in (("matrices", matrices), ("eigenvalues", spectra)):
        scores = []
        begun = time.process_time()
        for i in range(TIMED):
            scores += [compared.fit_score(things[i], things[j]) for j in range(i)]
        results[f"milliseconds per pair of {way}"] = 1e3 * (time.process_time() - begun) / len(scores)
        results[f"scores of {way}"] = scores
    Path(target).write_text(json.dumps(results), encoding="utf-8")


def their_alignments():
    """Align the pairs of maps that are read from standard input, a line each; answer with norms and seconds."""
    import torch
    from DSA.simdist import SimilarityTransformDist

    torch.set_num_threads(1)
    for line in sys.stdin:
        chords = []
        pairs = [tuple(np.array(matrix) for matrix in pair) for pair in json.loads(line)]
        begun = time.process_time()
        for pair in pairs:
            torch.manual_seed(0)
            aligned = SimilarityTransformDist(iters=1500, lr=5e-3, score_method="euclidean")
            chords.append(float(aligned.fit_score(*pair)))
        print(json.dumps({"chords": chords, "seconds": time.process_time() - begun}), flush=True)


def our_side():
    """Return the same from dynatlas."""
    from dynatlas import distance_matrix
    from dynatlas.measures import DSA
    from dynatlas.measures.pairs import all_pairs

    results = {
        "double": {
            name: (distance_matrix(activities(), "dsa", **options).values ** 2) for name, options in SETTINGS.items()
        }
    }
    spectra = [np.linalg.eigvals(matrix) for matrix in maps()]
    kept = [{"real": values.real, "imaginary": values.imag} for values in spectra]
    all_pairs(kept, DSA(), threads=1)
    begun = time.process_time()
    distances = all_pairs(kept, DSA(), threads=1)
    results["milliseconds per pair"] = 1e3 * (time.process_time() - begun) / (TIMED * (TIMED - 1) / 2)
    results["scores"] = [distances[i, j] ** 2 for i in range(TIMED) for j in range(i)]
    return results


def our_difference_with_inputs(theirs):
    """Return the largest W₂ between our eigenvalues and theirs, of one network with its inputs."""
    from dynatlas.measures import InputDSA
    from dynatlas.measures.transport import transport_distance

    found = [InputDSA(lamb=0).reduce(activity, inputs) for activity, inputs in driven()]
    pairs = [
        (one["real"] + 1j * one["imaginary"], np.array(real) + 1j * np.array(imaginary))
        for one, (real, imaginary) in zip(found, theirs, strict=True)
    ]
    return max(transport_distance(*pair) for pair in pairs)


def alignment(kind, maps_given, count, python):
    """Compare the least ‖A − C B Cᵀ‖ that either side finds, and the time, of one kind of network."""
    from dynatlas._util.cores import single_threaded_algebra
    from dynatlas.measures import DSA
    from dynatlas.measures.dynamics.alignment import aligned_chords, shape_of

    measure = DSA(score_method="euclidean")
    shapes = [shape_of(matrix) for matrix in maps_given]
    pairs = pairs_of(count)
    bounds = [measure.lower_bound(shapes[i]._asdict(), shapes[j]._asdict()) for i, j in pairs]
    ours, theirs, seconds = [], [], np.zeros(2)
    command = [python, __file__, "--alignments"]
    with (
        single_threaded_algebra(),
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        for start in range(0, len(pairs), TURN):
            some = pairs[start : start + TURN]
            process.stdin.write(json.dumps([[maps_given[i].tolist(), maps_given[j].tolist()] for i, j in some]) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            theirs += answer["chords"]
            begun = time.process_time()
            ours += aligned_chords([(shapes[i], shapes[j]) for i, j in some]).tolist()
            seconds += [time.process_time() - begun, answer["seconds"]]
    ratios = np.divide(ours, theirs)
    return {
        "networks": kind,
        "dimensions": maps_given.shape[1],
        "pairs": len(pairs),
        "median_chord_over_theirs": float(np.median(ratios)),
        "largest_chord_over_theirs": float(ratios.max()),
        "share_not_above_theirs": float((ratios <= 1 + 1e-5).mean()),  # theirs are of single precision
        "median_bound_over_chord": float(np.median(np.divide(bounds, ours))),
        "milliseconds": 1e3 * seconds[0] / len(pairs),
        "milliseconds_of_dsa_metric": 1e3 * seconds[1] / len(pairs),
    }


def main():
    """Print and store the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dsa-python", default=sys.executable, help="interpreter with torch and dsa-metric")
    parser.add_argument("--json", metavar="FILE", help="write the numbers")
    parser.add_argument("--pairs", type=int, default=100, help="pairs of maps that are aligned, of each kind and size")
    parser.add_argument("--alignments", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--theirs", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--times", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.theirs:
        their_side(arguments.theirs, times_only=arguments.times)
        return
    if arguments.alignments:
        their_alignments()
        return
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "theirs.json"
        command = [arguments.dsa_python, __file__, "--theirs", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"dsa-metric failed under {arguments.dsa_python}; see the head of this file:\n{done.stderr}")
        theirs = json.loads(target.read_text(encoding="utf-8"))
    ours = our_side()
    rows = {}
    for name, squares in ours["double"].items():
        rows[name] = {
            "settings": SETTINGS[name],
            "largest_score": float(squares.max()),
            "largest_difference": float(abs(squares - np.array(theirs["double"][name])).max()),
            "largest_difference_from_single_precision": float(abs(squares - np.array(theirs["single"][name])).max()),
        }
        print(
            f"{name}: scores up to {rows[name]['largest_score']:.3f}, largest difference "
            f"{rows[name]['largest_difference']:.1e}; from dsa-metric in single precision "
            f"{rows[name]['largest_difference_from_single_precision']:.1e}"
        )
    pair = ours["milliseconds per pair"]
    times = {way: theirs[f"milliseconds per pair of {way}"] for way in ("matrices", "eigenvalues")}
    print(f"a pair of {TIMED_UNITS} eigenvalues: {1e3 * pair:.0f} µs of one core")
    for way, milliseconds in times.items():
        difference = float(abs(np.subtract(theirs[f"scores of {way}"], ours["scores"])).max())
        print(
            f"  dsa-metric from {way}: {1e3 * milliseconds:.0f} µs, {milliseconds / pair:.0f} times; {difference:.1e}"
        )
    with_inputs = our_difference_with_inputs(theirs["eigenvalues with inputs"])
    print(f"eigenvalues with inputs: W₂ to those of dsa-metric at most {with_inputs:.1e}")
    trained, alignments = trained_activities(), []
    for units in ALIGNED:
        for kind, matrices in (("random", random_maps(units)), ("trained", trained_maps(trained, units))):
            row = alignment(kind, matrices, arguments.pairs, arguments.dsa_python)
            alignments.append(row)
            print(
                f"{row['pairs']} alignments of {units} dimensions, {kind} networks: "
                f"{row['milliseconds']:.1f} ms a pair, dsa-metric {row['milliseconds_of_dsa_metric']:.0f} ms, "
                f"{row['milliseconds_of_dsa_metric'] / row['milliseconds']:.0f} times; the chord is not above its own "
                f"in {row['share_not_above_theirs']:.1%}, {row['median_chord_over_theirs']:.3f} of it in the median "
                f"and {row['largest_chord_over_theirs']:.4f} at most; the lower bound is "
                f"{row['median_bound_over_chord']:.2f} of the chord in the median",
                flush=True,
            )
    if arguments.json:
        stored = {"rows": rows, "milliseconds_per_pair": pair, "milliseconds_per_pair_of_dsa_metric": times}
        stored["largest_distance_with_inputs"] = with_inputs
        stored["alignments"] = alignments
        Path(arguments.json).write_text(json.dumps(stored, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
