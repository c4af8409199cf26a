"""Do our networks and PyTorch's, trained alike, end with the same errors? Compared as distributions over seeds.

    python validation/losses_against_torch.py [--torch-python PATH] [--json FILE]

Vanilla and LSTM (tanh) learn the flip-flop by SGD with momentum, clipping, decay and L2, from the same distribution of
initial weights. The two sides share no code and no random numbers. PyTorch may live in an environment of its own:

    python -m venv torch-env && torch-env/bin/pip install torch==2.13.0 numpy
    python validation/losses_against_torch.py --torch-python torch-env/bin/python
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ |= {"NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PLATFORMS": "cpu"}

import numpy as np
from scipy import stats

from dynatlas.study.study import Study
from dynatlas.training.fit import begin, train

SETTINGS = {
    "units": 32,
    "steps": 50,
    "batch_size": 32,
    "iterations": 600,
    "learning_rate": 0.05,
    "decay_rate": 0.5,
    "decay_steps": 300,
    "momentum": 0.8,
    "clip_norm": 1.0,
    "l2": 1e-5,
    "seeds": 16,
}


def ours(architecture):
    """Final errors on held-out trials, one per seed."""
    training = {name: SETTINGS[name] for name in SETTINGS if name not in ("units", "steps", "l2", "seeds")}
    study = Study.model_validate(
        {
            "name": "validation",
            "tasks": [{"kind": "flip_flop", "steps": SETTINGS["steps"]}],
            "population": {
                "architectures": [architecture],
                "activations": ["tanh"],
                "units": [SETTINGS["units"]],
                "l2": [SETTINGS["l2"]],
                "seeds": SETTINGS["seeds"],
            },
            "training": training,
        }
    )
    members = study.members
    state = begin(members, lambda key: study.cell(members[0].shape, key))
    return train(study.tasks[0], members, state, until=SETTINGS["iterations"]).validation_mse[:, -1].tolist()


def torchs(architecture, python):
    """The same from PyTorch."""
    script = Path(__file__).with_name("torch_networks.py")
    done = subprocess.run(
        [python, script, json.dumps(SETTINGS | {"architecture": architecture})],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"the side of PyTorch failed under {python}; see the head of this file:\n{done.stderr}")
    return json.loads(done.stdout)


def main():
    """Print and store the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--torch-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    rows = []
    print(f"{'':10}{'side':>8}{'10 %':>10}{'median':>10}{'90 %':>10}")
    for architecture in ("vanilla", "lstm"):
        sides = {"ours": ours(architecture), "torch": torchs(architecture, options.torch_python)}
        for side, errors in sides.items():
            low, median, high = np.quantile(errors, [0.1, 0.5, 0.9])
            print(f"{architecture:10}{side:>8}{low:10.5f}{median:10.5f}{high:10.5f}", flush=True)
        rank = stats.mannwhitneyu(sides["ours"], sides["torch"]).pvalue
        shape = stats.ks_2samp(sides["ours"], sides["torch"]).pvalue
        print(f"{'':10}Mann-Whitney p = {rank:.3f}, Kolmogorov-Smirnov p = {shape:.3f}", flush=True)
        rows.append({"architecture": architecture, "mann_whitney_p": rank, "kolmogorov_smirnov_p": shape} | sides)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"settings": SETTINGS, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
