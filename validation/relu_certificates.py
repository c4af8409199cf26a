"""Which step does the certificate of a relu network reach, and does an enumeration of its linear regions agree?

    python validation/relu_certificates.py [--json FILE] [--networks FOLDER] [--regions NUMBER]

Relu networks are trained here on the 3-bit flip-flop: vanilla of 16, 24 and 32 units, UGRNN, GRU and LSTM of 32 units.
Each is searched twice without input: with no enumeration, where the certificate rests on the growth at infinity, and
with a budget of so many groups of linear regions. Roots are compared: a "supported" search that missed one of the
roots of all regions is counted.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dynatlas import find_fixed_points
from dynatlas.tasks.flip_flop import FlipFlop

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import flip_flop_networks

TRAINING = {"steps": 50, "iterations": 1500, "learning_rate": 5e-3, "decay_steps": 800}
SHAPES = (("vanilla", 16, 3), ("vanilla", 24, 3), ("vanilla", 32, 3), ("ugrnn", 32, 2), ("gru", 32, 1), ("lstm", 32, 1))
STARTS = 1024


def starts_of(cell):
    """States that a cell visits on the flip-flop's probe, with noise."""
    random = np.random.default_rng(0)
    inputs = jnp.asarray(np.asarray(FlipFlop(steps=50).probe().inputs, np.float64))
    states = np.asarray(jax.jit(jax.vmap(cell.run))(inputs)).reshape(-1, len(cell.initial_state))
    return states[random.integers(len(states), size=STARTS)] + 0.5 * random.normal(size=(STARTS, states.shape[1]))


def search(cell, max_regions):
    """The points found, and seconds of the processor."""
    begun = time.process_time()
    points = find_fixed_points(
        cell.under(jnp.zeros(3)),
        starts_of(cell),
        np.zeros(0),
        box=cell.box(jnp.zeros(3)),
        max_regions=max_regions,
        max_seconds=None,
        key=jax.random.key(0),
    )
    return points, round(time.process_time() - begun, 2)


def row(name, cell, max_regions):
    """One line of the table."""
    by_growth, seconds = search(cell, 0)
    by_regions, more = search(cell, max_regions)
    return {
        "network": name,
        "found": len(by_growth.roots()),
        "index_sum": by_growth.index_sum,
        "certificate": by_growth.certificate,
        "reason": by_growth.reason,
        "seconds": seconds,
        "enumerated": by_regions.certificate == "complete",
        "roots": len(by_regions.roots()),
        "reason_of_regions": by_regions.reason,
        "seconds_of_regions": more,
    }


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", metavar="FILE", type=Path)
    parser.add_argument("--regions", metavar="NUMBER", type=int, default=40_000)
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
    with jax.enable_x64(True):
        for architecture, units, seeds in SHAPES:
            cells = flip_flop_networks.trained(options.networks, architecture, "relu", units, seeds, TRAINING)
            for seed, one in enumerate(cells):
                rows.append(row(f"{architecture} {units} seed {seed}", one.cell, options.regions))
                each = rows[-1]
                print(
                    f"{each['network']:18} found {each['found']:3} sum {each['index_sum']:2} {each['seconds']:6.1f} s "
                    f"{each['certificate']}: {each['reason']}\n{'':18} roots {each['roots']:3} "
                    f"{each['seconds_of_regions']:13.1f} s {each['reason_of_regions']}",
                    flush=True,
                )
    proven = [each for each in rows if each["enumerated"]]
    missed = [each for each in proven if each["certificate"] == "supported" and each["found"] < each["roots"]]
    print(f"networks: {len(rows)}; enumerated: {len(proven)}; supported with a missing root: {len(missed)}")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
