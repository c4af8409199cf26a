"""A small atlas with one entry of each kind."""

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr

from dynatlas.atlas import schema
from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.study.members import Block
from dynatlas.study.study import Study
from support.processes import started_python
from support.studies import tiny_study

BOTH = {"population": {"architectures": ["vanilla", "gru"]}}

GROUP = "distances/flip_flop/svcca"

VALUES = {
    "string": ["é", ""],
    "int64": [1, -2],
    "float64": [0.5, float("nan")],
    "bool": [True, False],
    "list<float64>": [[1.0, 2.0], []],
}


def study_with(**changes: Any) -> Study:
    """Return the study of the atlas with changes."""
    return tiny_study(BOTH, changes)


def block_of(study: Study, architecture: str = "gru") -> Block:
    return next(block for block in study.blocks if block.architecture == architecture)


def stacked_cells(study: Study, block: Block) -> dict[str, np.ndarray]:
    cells = [study.cell(block, member.key("weights")) for member in study.blocks[block]]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *cells)
    return {f"cell/{path[-1].name}": leaf for path, leaf in jax.tree_util.tree_leaves_with_path(stacked)}


def frame_of(table: str) -> pd.DataFrame:
    return pd.DataFrame({name: VALUES[column.type] for name, column in schema.TABLES[table].items()})


def distances(values: np.ndarray | None = None) -> xr.Dataset:
    ids = np.array(["aa", "bé", "c"])
    values = np.arange(9.0).reshape(3, 3) if values is None else values
    return xr.Dataset(
        {"distance": (("network", "other_network"), values, {"unit": "1 − correlation"})},
        {"network": ids, "other_network": ids},
        {"variance": 0.95},
    )


def entry(number: int, version: int = 0) -> Entry:
    """Return a manifest entry without a file."""
    content = f"{number} {version}".encode()
    return Entry(f"report/{number:05d}.txt", hashlib.sha256(content).hexdigest(), len(content))


def write_all(atlas: Atlas) -> dict[str, Entry]:
    """Write one entry of each kind."""
    block = block_of(atlas.study)
    entries = [
        atlas.write_block(block, atlas.study.blocks[block], stacked_cells(atlas.study, block)),
        atlas.write_table("networks", frame_of("networks")),
        atlas.write_arrays(GROUP, distances()),
        atlas.write_text("report/index.html", "<h1>é</h1>"),
    ]
    atlas.enter(*entries)
    return {entry.name: entry for entry in entries}


def file_to_damage(atlas: Atlas, name: str) -> Path:
    """Return the file of an entry, or one chunk of a group."""
    path = atlas.path / name
    return path / "distance/c/0/0" if path.is_dir() else path


@contextmanager
def another_run(atlas: Atlas) -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the lock, and yield it."""
    code = f"""
import time
from dynatlas.atlas.atlas import Atlas
with Atlas.open({str(atlas.path)!r}).lock():
    print("locked", flush=True)
    time.sleep(600)
"""
    with started_python(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
