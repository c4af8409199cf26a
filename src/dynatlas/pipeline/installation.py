"""The installation: versions, machine, and a run that shows whether it works."""

import os
import platform
import shutil
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Final

import jax

from dynatlas._util.json import Json
from dynatlas.errors import DynatlasError

PACKAGES: Final = ("dynatlas", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "scikit-learn", "distributed")
# Two networks that learn to hold one bit for some steps: every stage up to the distances, in seconds.
TRIAL: Final = """
name = "trial"
[[tasks]]
kind = "flip_flop"
steps = 10
channels = 1
probe_trials = 8
[population]
architectures = ["vanilla"]
activations = ["tanh"]
units = [8]
l2 = [1e-5]
seeds = 2
[training]
optimizer = "adam"
iterations = 300
batch_size = 16
learning_rate = 0.01
[analysis]
measures = ["svcca"]
fixed_point_starts = 64
"""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that numbers depend on."""
    return {name: metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}


def machine() -> Json:
    """Return the system, the processor and its cores."""
    return {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}


def devices() -> list[str]:
    """Return the devices that JAX computes on."""
    return [f"{device.platform} {device.device_kind}" for device in jax.devices()]


def disk(folder: Path) -> Json:
    """Return the bytes of the disk of a folder: its size, and how much is free."""
    usage = shutil.disk_usage(folder)
    return {"folder": str(folder.absolute()), "total": usage.total, "free": usage.free}


def try_a_run(folder: Path) -> Json:
    """Train two tiny networks in a new folder inside ``folder``, find their fixed points, and compare them.

    Returns:
        seconds, how many networks learned, how many fixed points were found, and the problems of the atlas on disk.

    Raises:
        DynatlasError: a stage fails, or the folder cannot be written.
    """
    from dynatlas.pipeline import runner
    from dynatlas.study.study import Study

    started = time.perf_counter()
    try:
        made = tempfile.TemporaryDirectory(prefix="dynatlas-doctor-", dir=folder)
    except OSError as error:
        raise DynatlasError(f"cannot write to {folder}: {error.strerror}; name another with --folder") from None
    with made as inside:
        atlas = runner.run(Study.parse(TRIAL), Path(inside) / "atlas", workers=1, until="topology")
        networks = [atlas.part("networks", block) for block in atlas.study.blocks]
        searches = [atlas.part("searches", block) for block in atlas.study.blocks]
        return {
            "learned": sum(int(of_block.passed.sum()) for of_block in networks),
            "networks": sum(len(of_block) for of_block in networks),
            "fixed_points": sum(int(of_block.n_roots.sum()) for of_block in searches),
            "problems": [f"{problem.what}: {problem.name}" for problem in atlas.verify()],
            "seconds": time.perf_counter() - started,
        }
