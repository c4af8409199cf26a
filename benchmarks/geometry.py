"""All pairs of a paper-sized population: seconds, memory, and how many times the direct way takes.

    python benchmarks/geometry.py [--quick] [--json FILE] [--dsa-python PATH]

Synthetic networks, low-rank plus noise: 10 variables that all share and 10 of each network's own, mixed into 128 units,
with 3 % of noise, at 6,400 samples. They are made one by one while the matrix is computed; the time that takes is
printed apart. The direct way starts every pair from the raw activity, as reference codes do: SVCCA by an SVD of each
network's samples × units; CKA by the samples × samples kernels, and by the products of units. CKA keeps the principal
components that a bound of 1e-3 on its distance asks for. Both sides compute some of the same distances, which must
agree.

DSA compares 1,000 networks of 64 units, noisy linear systems at 64 trials of 100 steps. Its direct way is the package
dsa-metric, timed by validation/dsa.py if an interpreter that has it is named: one pair from two maps, as its class for
the distance takes them, and from eigenvalues computed once.

Weights compares networks of one gate and of three, with 128 units whose signs are free: random weights, and a part of
low rank that 4 in 8 networks share up to the order of units. Its direct way is SciPy's quadratic assignment (FAQ) of
the recurrent weights alone, which has no signs, inputs or outputs.
"""

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dynatlas import distance_matrix
from dynatlas._util.cores import single_threaded_algebra
from dynatlas.measures.activity import centred
from dynatlas.measures.pairs import all_pairs
from dynatlas.measures.registry import measure_of
from dynatlas.measures.weights.distance import Weights
from dynatlas.statistics.embedding import mds

SAMPLES, UNITS, RANK, NOISE = 6400, 128, 10, 0.03
SHARED = np.random.default_rng(0).standard_normal((SAMPLES, RANK), np.float32)
OPTIONS = {"svcca": {}, "cka": {"tolerance": 1e-3}}
TOLERANCE = {"svcca": 1e-9, "cka": 1e-3}


def network(number):
    """The activity of one network."""
    random = np.random.default_rng(number + 1)
    own = random.standard_normal((SAMPLES, RANK), np.float32)
    mixing = random.standard_normal((RANK, UNITS), np.float32)
    return (SHARED + 0.7 * own) @ mixing / 4 + NOISE * random.standard_normal((SAMPLES, UNITS), np.float32)


def svcca(X, Y):
    """From raw activity, as Raghu et al. 2017 write it down, with the larger number of components for both."""
    lefts, counts = [], []
    for activity in (X, Y):
        left, singular, _ = np.linalg.svd(activity - activity.mean(axis=0), full_matrices=False)
        shares = np.cumsum(singular**2) / (singular**2).sum()
        lefts.append(left)
        counts.append(int(np.searchsorted(shares, 0.95)) + 1)
    first, second = (left[:, : max(counts)] for left in lefts)
    return 1 - np.linalg.svd(first.T @ second, compute_uv=False).mean()


def cka_of_units(X, Y):
    """From raw activity, by products of units."""
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    return 1 - np.linalg.norm(Y.T @ X) ** 2 / (np.linalg.norm(X.T @ X) * np.linalg.norm(Y.T @ Y))


def cka_of_kernels(X, Y):
    """From raw activity, by centred samples × samples kernels, as Kornblith et al. 2019 publish it."""
    kernels = []
    for activity in (X, Y):
        kernel = activity @ activity.T
        means = kernel.mean(axis=0)
        kernels.append(kernel - means - means[:, None] + means.mean())
    K, L = kernels
    return 1 - (K * L).sum() / (np.linalg.norm(K) * np.linalg.norm(L))


DIRECT = {
    "svcca": {"SVD of raw activity": svcca},
    "cka": {"kernels": cka_of_kernels, "products of units": cka_of_units},
}


def timed(compute):
    """(seconds, result)."""
    begun = time.perf_counter()
    result = compute()
    return time.perf_counter() - begun, result


def measure(name, count, repeats):
    """One matrix, in this process: its peak memory is that of the matrix."""
    making = 0.0

    class Networks:
        """The activities, made again at every reading: svcca reads them twice."""

        def __iter__(self):
            nonlocal making
            for number in range(count):
                seconds, activity = timed(lambda number=number: network(number))
                making += seconds
                yield activity

    seconds, distances = timed(lambda: distance_matrix(Networks(), name, **OPTIONS[name]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    few = [network(number).astype(np.float64) for number in range(4)]
    options = {option: distances.attrs[option] for option in ("components",) if option in distances.attrs}
    chosen = measure_of(name, OPTIONS[name] | options)
    kept = [chosen.reduce(centred(activity, "one")) for activity in few]
    reducing = statistics.median(timed(lambda: chosen.reduce(centred(few[0], "one")))[0] for _ in range(9))
    sample = [chosen.reduce(centred(network(number), "one")) for number in range(min(count // 2, 320))]
    pairing = statistics.median(timed(lambda: all_pairs(sample, chosen))[0] for _ in range(repeats))
    per_pair = pairing / (len(sample) * (len(sample) - 1) / 2)
    direct = {}
    for way, compute in DIRECT[name].items():
        # The heavy one less often.
        times = [
            timed(lambda compute=compute, k=k: compute(few[k], few[k + 1])) for k in range(1 if "kernel" in way else 3)
        ]
        for k, (_, value) in enumerate(times):
            assert abs(value - float(distances[k, k + 1])) <= TOLERANCE[name], (name, way)
        direct[way] = statistics.median(seconds for seconds, _ in times)
    pairs = count * (count - 1) / 2
    return {
        "measure": name,
        "networks": count,
        "seconds": seconds,
        "seconds_making_networks": making,
        "peak_gigabytes": peak / 1e9,
        "milliseconds_to_reduce_one": 1e3 * reducing,
        "microseconds_per_pair": 1e6 * per_pair,
        "microseconds_per_pair_reduction_included": 1e6 * (seconds - making) / pairs,
        "components_kept": sorted({next(iter(one.values())).shape[1] for one in kept}),
        "milliseconds_per_pair_directly": {way: 1e3 * seconds for way, seconds in direct.items()},
        "times_faster": {way: value / ((seconds - making) / pairs) for way, value in direct.items()},
    }


def linear_system(number, trials=64, steps=100, units=64):
    """The activity of a noisy linear system [trials, steps, units], with eigenvalues within the circle of 0.95."""
    random = np.random.default_rng(number)
    weights = random.standard_normal((units, units), np.float32) * np.float32(0.95 / np.sqrt(units))
    noise = random.standard_normal((steps, trials, units), np.float32)
    states = [noise[0]]
    for one in noise[1:]:
        states.append(states[-1] @ weights + one)
    return np.stack(states, axis=1)


def measure_dsa(count, repeats, dsa_python):
    """All pairs by DSA, in this process."""
    making, activities = timed(lambda: [linear_system(number) for number in range(min(count, 9))])
    chosen = measure_of("dsa", {})
    kept, reducing = [], []
    begun = time.perf_counter()
    with single_threaded_algebra():
        for number in range(count):
            activity = linear_system(number).astype(np.float64)
            seconds, one = timed(lambda activity=activity: chosen.reduce(activity))
            kept.append(one)
            reducing.append(seconds)
    made = time.perf_counter() - begun
    chosen.tile(kept[:2], kept[:2])  # imports
    comparing, of_core = [], []
    for _ in range(repeats):
        begun = time.process_time()
        comparing.append(timed(lambda: all_pairs(kept, chosen, threads=1))[0])
        of_core.append(time.process_time() - begun)
    few = distance_matrix(activities, "dsa").values
    assert abs(few - all_pairs(kept[:9], chosen)).max() < 1e-12
    pairs = count * (count - 1) / 2
    direct = {}
    if dsa_python:
        script = Path(__file__).parents[1] / "validation" / "dsa.py"
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "theirs.json"
            subprocess.run([dsa_python, script, "--theirs", target, "--times"], check=True, capture_output=True)
            theirs = json.loads(target.read_text(encoding="utf-8"))
        direct = {way: theirs[f"milliseconds per pair of {way}"] for way in ("matrices", "eigenvalues")}
    return {
        "measure": "dsa",
        "networks": count,
        "seconds": made + statistics.median(comparing),
        "seconds_making_networks": making / len(activities) * count,
        "milliseconds_to_reduce_one": 1e3 * statistics.median(reducing),
        "microseconds_per_pair": 1e6 * statistics.median(of_core) / pairs,
        "milliseconds_per_pair_directly": direct,
        "times_faster": {way: 1e-3 * value * pairs / statistics.median(of_core) for way, value in direct.items()},
    }


def weight_network(number, gates, units=128):
    """Blocks of weights as ``unit_weights`` returns them, of a network with tanh."""
    random, shared = np.random.default_rng(number), np.random.default_rng(number % 8 // 4)
    order, signs = random.permutation(units), random.choice([-1.0, 1.0], units)
    blocks = {f"units {role}": shared.normal(size=(units, 3)) / np.sqrt(units) for role in ("input", "readout")}
    for gate in range(gates):
        low_rank = shared.normal(size=(units, 6)) @ shared.normal(size=(6, units)) / units
        weights = low_rank + random.normal(size=(units, units)) / np.sqrt(units)
        blocks[f"between {gate}"] = weights[:, order] * signs
    flips = {name: np.ones(2 if name.startswith("between") else 1) for name in blocks}
    for gate in range(1, gates):  # as gates other than the candidate
        flips[f"between {gate}"][0] = 0
    moved = {name: block[order] * np.where(flips[name][0], signs, 1)[:, None] for name, block in blocks.items()}
    return moved | {f"flips {name}": which for name, which in flips.items()}


def measure_weights(count, gates):
    """All pairs by weights, in this process."""
    from scipy.optimize import quadratic_assignment

    networks, chosen = [weight_network(number, gates) for number in range(count)], Weights()
    with single_threaded_algebra():
        chosen.between(*networks[:2])  # imports
        begun = time.process_time()
        seconds, distances = timed(lambda: all_pairs(networks, chosen, threads=1))
        of_core = time.process_time() - begun
        pairs = list(itertools.combinations(range(count), 2))
        bounds = [chosen.lower_bound(networks[i], networks[j]) for i, j in pairs[:: max(len(pairs) // 50, 1)]]
        recurrent = [one["between 0"] for one in networks[:4]]
        options = {"maximize": True, "rng": np.random.default_rng(0)}
        direct = [timed(lambda A=A: quadratic_assignment(A, recurrent[3], options=options))[0] for A in recurrent[:3]]
    return {
        "measure": "weights",
        "gates": gates,
        "networks": count,
        "seconds": seconds,
        "milliseconds_per_pair": 1e3 * of_core / len(pairs),
        "mean_distance": float(np.mean([distances[pair] for pair in pairs])),
        "mean_lower_bound": float(np.mean(bounds)),
        "milliseconds_per_pair_directly": {"quadratic_assignment": 1e3 * statistics.median(direct)},
    }


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="160 networks: under a minute")
    parser.add_argument("--json", metavar="FILE", help="write the numbers")
    parser.add_argument("--dsa-python", metavar="PATH", help="interpreter that has dsa-metric")
    parser.add_argument("--one", choices=[*OPTIONS, "dsa", "weights"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one == "weights":
        print(json.dumps([measure_weights(8 if arguments.quick else 32, gates) for gates in (1, 3)]))
        return
    if arguments.one == "dsa":
        count = 100 if arguments.quick else 1000
        print(json.dumps(measure_dsa(count, 3, arguments.dsa_python)))
        return
    count = 160 if arguments.quick else 2880
    if arguments.one:
        print(json.dumps(measure(arguments.one, count, repeats=3 if arguments.quick else 7)))
        return
    rows = []
    for name in OPTIONS:  # each in a process of its own, whose memory is then its alone
        command = [sys.executable, __file__, "--one", name, *(["--quick"] if arguments.quick else [])]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        row = rows[-1]
        print(
            f"{name}: {row['networks']:,} networks in {row['seconds']:.0f} s, of which "
            f"{row['seconds_making_networks']:.0f} s to make them; peak {row['peak_gigabytes']:.2f} GB; "
            f"{row['milliseconds_to_reduce_one']:.1f} ms to reduce one, {row['microseconds_per_pair']:.1f} µs a pair "
            f"({row['microseconds_per_pair_reduction_included']:.1f} with its share of the reduction)"
        )
        for way, milliseconds in row["milliseconds_per_pair_directly"].items():
            print(f"  directly, {way}: {milliseconds:.0f} ms a pair, {row['times_faster'][way]:,.0f} times as long")
    command = [sys.executable, __file__, "--one", "dsa", *(["--quick"] if arguments.quick else [])]
    command += ["--dsa-python", arguments.dsa_python] if arguments.dsa_python else []
    rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    row = rows[-1]
    print(
        f"dsa: {row['networks']:,} networks in {row['seconds']:.0f} s, of which {row['seconds_making_networks']:.0f} s "
        f"to make them; {row['milliseconds_to_reduce_one']:.1f} ms to reduce one, "
        f"{row['microseconds_per_pair']:.1f} µs of one core a pair"
    )
    for way, milliseconds in row["milliseconds_per_pair_directly"].items():
        print(f"  dsa-metric from {way}: {milliseconds:.2f} ms a pair, {row['times_faster'][way]:,.0f} times as long")
    command = [sys.executable, __file__, "--one", "weights", *(["--quick"] if arguments.quick else [])]
    for row in json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout):
        rows.append(row)
        print(
            f"weights: {row['networks']} networks of 128 units and {row['gates']} gates; "
            f"{row['milliseconds_per_pair']:.1f} ms of one core a pair; mean distance {row['mean_distance']:.3f}, "
            f"lower bound {row['mean_lower_bound']:.3f}"
        )
        for way, milliseconds in row["milliseconds_per_pair_directly"].items():
            print(f"  directly, {way} of one gate's weights: {milliseconds:.1f} ms a pair")
    points = np.random.default_rng(0).normal(size=(300 if arguments.quick else 3000, 6))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    seconds, embedding = timed(lambda: mds(distances))
    print(f"mds of {len(points):,} networks: {seconds:.1f} s, stress {embedding.stress:.3f}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"rows": rows, "mds": {"networks": len(points), "seconds": seconds}}, file, indent=1)


if __name__ == "__main__":
    main()
