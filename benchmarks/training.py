"""Our training against PyTorch's, on the flip-flop: batch 64, 100 steps, SGD with momentum and clipping, float32.

    python benchmarks/training.py [--quick] [--only NAME] [--json FILE] [--torch-python PATH]

Three sides take turns in every round, each with all cores: ours, one process per core; PyTorch with one single-threaded
process per core ("processes", its best); and the one process with PyTorch's default threads that a user starts
("loop"). Ours runs the compiled loop of the pipeline in the pipeline's worker environment and draws new trials at every
iteration; PyTorch reuses trials drawn beforehand. Rates are training steps per second on the whole machine, medians of
the rounds. "of peak" is the share of what matrix products alone reach, measured in the same rounds; counted are the
recurrent weights' products, forward, backward and for their gradient. "over vanilla" is what a step of a leaky network
costs beyond one of a Vanilla network of the same size, by the shortest of 30 runs of each that take turns in the same
process, as the median over processes and rounds. PyTorch's side of the leaky networks is the loop that its users write.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from dynatlas.cells.registry import CELLS
from dynatlas.pipeline.workers.cluster import WORKER_ENVIRONMENT

HERE = Path(__file__).parent
# Name of a row: (architecture, settings of the cell, noise).
ROWS = {name: (name, {}, 0.0) for name in CELLS} | {
    "+ noise": ("ctrnn", {}, 0.1),
    "+ Dale": ("ctrnn", {"excitatory": 0.8, "density": 0.5}, 0.1),
    "+ rank 2": ("ctrnn", {"rank": 2}, 0.1),
}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
NO_TORCH = """{} cannot import torch. Install it, best into an environment of its own, and name that one's interpreter:
    python -m venv torch-environment && torch-environment/bin/pip install torch==2.13.0 numpy
    python benchmarks/training.py --torch-python torch-environment/bin/python"""


class Worker:
    """A process that answers one JSON line with another."""

    def __init__(self, *command, **environment):
        # Thread counts of the caller's shell must not reach a side that is to run with its defaults.
        inherited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        inherited.pop("OPENBLAS_CORETYPE", None)
        self.process = subprocess.Popen(
            command, env=inherited | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **request):
        """Send a request."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self):
        """Wait for its answer."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended with status {self.process.wait()}: {' '.join(self.process.args)}")
        return json.loads(line)

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


class Side:
    """Workers that run at the same time."""

    def __init__(self, workers):
        self.workers = workers
        self.steps = 1
        self.peak_rss_mb = 0.0

    def ask(self, **request):
        """The answers of all workers to a request they get at once."""
        for worker in self.workers:
            worker.ask(**request)
        answers = [worker.answer() for worker in self.workers]
        self.peak_rss_mb = max(answer["peak_rss_mb"] for answer in answers)
        return answers

    def setup(self, row, units, seconds):
        """Build and warm up; the number of steps of a round is chosen to take about so many seconds."""
        architecture, settings, noise = ROWS[row]
        spent = max(answer["seconds"] for answer in self.ask(setup=[architecture, units, settings, noise]))
        self.steps = 1
        while (took := max(answer["seconds"] for answer in self.ask(run=self.steps))) < seconds / 4:
            self.steps = 2 * self.steps
        self.steps = max(1, round(self.steps * seconds / took))
        return spent

    def rate(self):
        """Steps per second of all workers together."""
        return sum(self.steps / answer["seconds"] for answer in self.ask(run=self.steps))


def measure(sides, row, units, rounds, seconds):
    """One row of the table."""
    architecture = ROWS[row][0]
    spent = {name: side.setup(row, units, seconds) for name, side in sides.items()}
    is_leaky = architecture == "ctrnn"
    if is_leaky:
        sides["ours"].ask(setup_vanilla=units)
    rates = {name: [] for name in sides}
    peaks, costs = [], []
    for _ in range(rounds):
        peaks.append(sum(answer["peak"] for answer in sides["ours"].ask(peak=True)))
        for name, side in sides.items():
            rates[name].append(side.rate())
        if is_leaky:
            steps = max(1, sides["ours"].steps // 20)
            costs += [answer["over_vanilla"] for answer in sides["ours"].ask(compare=steps)]
    rate = {name: statistics.median(values) for name, values in rates.items()}
    work = 6 * 100 * 64 * len(CELLS[architecture].gates) * units**2
    return {
        "architecture": row,
        "units": units,
        "steps_per_second": rate,
        "all_rounds": rates,
        "vs_torch_processes": rate["ours"] / rate["processes"],
        "vs_torch_loop": rate["ours"] / rate["loop"],
        "peak_gflops_per_core": statistics.median(peaks) / CORES / 1e9,
        "fraction_of_peak": rate["ours"] * work / statistics.median(peaks),
        "over_vanilla": statistics.median(costs) if costs else None,
        "all_over_vanilla": costs,
        "compile_seconds": spent["ours"],
        "peak_rss_mb": {name: side.peak_rss_mb for name, side in sides.items()},
    }


def summary(rows):
    """The geometric means over the paper's four cells, over them at 64 units alone, and over the leaky networks."""
    leaky = [row for row in rows if row["over_vanilla"] is not None]
    paper = [row for row in rows if row["over_vanilla"] is None]
    found = {"rows": rows, "peak_rss_mb": max(row["peak_rss_mb"]["ours"] for row in rows)}
    if leaky:
        small = [row["over_vanilla"] for row in leaky if row["units"] == 64]
        found["geomean_leaky_vs_torch_loop"] = statistics.geometric_mean(row["vs_torch_loop"] for row in leaky)
        found["least_leaky_vs_torch_processes"] = min(row["vs_torch_processes"] for row in leaky)
        found["most_over_vanilla_at_64_units"] = max(small)
    return found | (_of_paper(paper) if paper else {})


def _of_paper(rows):
    def geomean(name, only=lambda row: True):
        return statistics.geometric_mean(row[name] for row in rows if only(row))

    def small(row):
        return row["units"] == 64

    return {
        "geomean_vs_torch_processes": geomean("vs_torch_processes"),
        "geomean_vs_torch_loop": geomean("vs_torch_loop"),
        "fraction_of_peak": geomean("fraction_of_peak"),
        "geomean_vs_torch_processes_at_64_units": geomean("vs_torch_processes", small),
        "geomean_vs_torch_loop_at_64_units": geomean("vs_torch_loop", small),
        "least_vs_torch_processes": min(row["vs_torch_processes"] for row in rows),
        "compile_seconds": max(row["compile_seconds"] for row in rows),
    }


def can_import_torch(python):
    """Whether an interpreter finds torch."""
    if python == sys.executable:
        return importlib.util.find_spec("torch") is not None
    return subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 0


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="64 units only, fewer and shorter rounds")
    parser.add_argument("--only", metavar="NAME", action="append", choices=ROWS, help="rows of this name alone")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--torch-python", metavar="PATH", default=sys.executable, help="an interpreter with torch")
    options = parser.parse_args()
    if not can_import_torch(options.torch_python):
        raise SystemExit(NO_TORCH.format(options.torch_python))
    rounds, seconds = (3, 0.3) if options.quick else (7, 1.0)
    ours = [sys.executable, str(HERE / "training_ours.py")]
    torch = [options.torch_python, str(HERE / "training_torch.py")]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with contextlib.ExitStack() as stack:

        def side(count, *command, **environment):
            workers = [Worker(*command, **environment) for _ in range(count)]
            for worker in workers:
                stack.callback(worker.close)
            return Side(workers)

        sides = {
            "ours": side(CORES, *ours, JAX_PLATFORMS="cpu", **WORKER_ENVIRONMENT),
            "processes": side(CORES, *torch, "1"),
            "loop": side(1, *torch),
        }
        print(f"{'':10}{'units':>5}{'ours/s':>9}{'processes/s':>13}{'ratio':>7}{'loop/s':>9}{'ratio':>7}", end="")
        print(f"{'of peak':>9}{'over vanilla':>14}{'compile s':>11}{'RSS MB':>8}")
        rows = []
        for units in (64,) if options.quick else (64, 128, 256):
            for name in options.only or ROWS:
                row = measure(sides, name, units, rounds, seconds)
                rows.append(row)
                rate = row["steps_per_second"]
                cost = "" if row["over_vanilla"] is None else f"{row['over_vanilla']:+.1%}"
                print(
                    f"{name:10}{units:5}{rate['ours']:9.1f}{rate['processes']:13.1f}"
                    f"{row['vs_torch_processes']:7.2f}{rate['loop']:9.1f}{row['vs_torch_loop']:7.2f}"
                    f"{row['fraction_of_peak']:9.2f}{cost:>14}{row['compile_seconds']:11.1f}{row['peak_rss_mb']['ours']:8.0f}",
                    flush=True,
                )
    result = summary(rows) | {
        "cores": CORES,
        "machine": platform.machine(),
        "load_before": load,
        "quick": options.quick,
    }
    for name, value in result.items():
        if name.startswith(("geomean", "fraction", "least", "most")):
            print(f"{name.replace('_', ' ')}: {value:.2f}")
    print(f"load average before the run: {load}")
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
