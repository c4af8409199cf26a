"""The whole way through, on real (small) networks: results, resuming, and refusing."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import dynatlas
from dynatlas import Atlas
from dynatlas.errors import DifferentStudyError, DynatlasError
from dynatlas.pipeline.jobs import jobs_of, to_redo
from dynatlas.pipeline.runner import rebuild_report
from support.runs import assert_same_results
from support.studies import tiny_study, tiny_toml

SMALL = {
    "name": "small",
    "tasks": [
        {"kind": "flip_flop", "steps": 12, "channels": 1, "probe_trials": 8},
        {"kind": "context_integration", "steps": 8, "probe_levels": 3},
    ],
    "population": {"architectures": ["vanilla", "ugrnn"], "units": [6], "l2": [1e-6], "seeds": 3},
    "training": {
        "optimizer": "adam",
        "iterations": 900,
        "batch_size": 16,
        "learning_rate": 0.01,
        "validation_interval": 150,
        "validation_trials": 64,
    },
    "analysis": {"fixed_point_starts": 64, "fixed_point_max_starts": 512},
}
TABLES = (
    *("networks", "losses", "searches", "fixed_points", "transitions", "transition_sensitivity", "attractors"),
    *("oscillations", "line_attractors", "frequencies", "spectra", "embeddings", "maps", "effects"),
)


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(tiny_toml(SMALL))
    return path


@pytest.fixture(scope="module")
def atlas(processes, study_file, tmp_path_factory):
    """The study carried out up to the maps without interruption, by two workers."""
    return dynatlas.run(study_file, tmp_path_factory.mktemp("whole") / "atlas", workers=2, until="maps")


@pytest.fixture
def tiny(tiny_atlas):
    """An atlas with its report, of which no network learned its task."""
    return Atlas.open(tiny_atlas)


def start_run(study_file, folder):
    command = [sys.executable, "-m", "dynatlas", "run", str(study_file), str(folder), "--workers", "1"]
    command += ["--until", "maps"]  # figures take long, and are not compared
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_every_job_is_done_and_everything_verifies(atlas, tiny):
    assert {job.stage for job in jobs_of(atlas.study) if not job.is_done(atlas.entries)} == {"report"}
    assert all(job.is_done(tiny.entries) for job in jobs_of(tiny.study))
    for each in (atlas, tiny):
        assert each.verify() == []
        for name in TABLES:
            assert each.has(f"tables/{name}.parquet")
    assert tiny.has("report/index.html")


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("which", ["atlas", "tiny"])
def test_every_entry_is_one_jobs_own_so_that_damage_to_it_is_redone(which, request):
    atlas = request.getfixturevalue(which)
    jobs = jobs_of(atlas.study)
    entries = atlas.entries
    for name in entries:
        owners = [job for job in jobs if job.writes(name)]
        assert len(owners) == 1 or all("draw figures" in job.name for job in owners)  # which draws which is not said
        promises = frozenset().union(*(owner.promises for owner in owners))
        assert to_redo(atlas.study, [name]) == promises | {name}
        assert promises <= entries.keys()


def test_networks_are_listed_in_the_order_of_the_study_with_their_verdicts(atlas):
    networks = atlas.table("networks")
    assert networks.network.tolist() == [member.id for member in atlas.study.members]
    assert (networks.passed == (networks.reason == "")).all()
    for row in networks.itertuples():
        assert row.passed == atlas.study.task(row.task).passes(row.mse, row.r2)
    assert networks.passed.sum() >= 8  # these tasks are easy


def test_stored_weights_give_the_stored_error(atlas):
    import jax

    from dynatlas.training.loss import VALIDATION_SEED, mean_squared_error

    row = atlas.table("networks").iloc[0]
    task = atlas.study.task(row.task)
    trials = task.trials(jax.random.key(VALIDATION_SEED), 64)
    assert float(mean_squared_error(atlas.network(row.network), trials)) == pytest.approx(row.mse, rel=1e-4)


def test_stored_fixed_points_are_fixed_points_of_the_stored_networks(atlas):
    points = atlas.table("fixed_points")
    for block in atlas.study.blocks:
        if not atlas.has(f"arrays.zarr/fixed_points/{block.name}"):
            continue
        arrays = atlas.arrays(f"fixed_points/{block.name}")
        conditions = np.asarray(atlas.study.task(block.task).conditions(), np.float64)
        for i in range(arrays.sizes["row"]):
            name, condition = str(arrays["network"].values[i]), int(arrays["condition"].values[i])
            row = points.query("network == @name and condition == @condition").iloc[int(arrays["point"].values[i])]
            cell = atlas.network(name)
            state = arrays["states"].values[i]
            weights, inputs, bias = (
                np.asarray(leaf, np.float64) for leaf in (cell.recurrent_weights, cell.input_weights, cell.bias)
            )
            sums = weights @ state + inputs @ conditions[condition] + bias
            if block.architecture == "vanilla":
                following = np.tanh(sums)
            else:
                gate = 1 / (1 + np.exp(-sums[6:]))
                following = gate * state + (1 - gate) * np.tanh(sums[:6])
            q = 0.5 * ((following - state) ** 2).sum()
            assert q <= (1e-8 if row.is_slow else 1e-20)
            readout = np.asarray(cell.readout_weights, float) @ state + np.asarray(cell.readout_bias, float)
            np.testing.assert_allclose(row.readout, readout, atol=1e-9)


def test_one_bit_flip_flops_have_two_memories_and_a_saddle(atlas):
    searches = atlas.table("searches").query("task == 'flip_flop'")
    complete = searches[searches.certificate == "complete"]
    assert len(complete) >= 4
    assert (complete.index_sum == 1).all()
    assert searches.n_roots.mode()[0] == 3
    modal = searches[searches.n_roots == 3].iloc[0]
    edges = atlas.table("transitions")
    edges = edges[edges.network == modal.network]
    graph = np.zeros((3, 3))
    graph[edges.source, edges.target] = edges.probability
    np.testing.assert_allclose(graph[[0, 2]], [[1, 0, 0], [0, 0, 1]])
    assert 0.2 < graph[1, 0] < 0.8
    assert graph[1, 0] + graph[1, 2] == pytest.approx(1)


def test_topology_counts_whom_it_leaves_out(atlas):
    maps = atlas.table("maps").set_index(["task", "measure"])
    networks = atlas.table("networks")
    trained = int((networks.passed & (networks.task == "flip_flop")).sum())
    row = maps.loc[("flip_flop", "transition_graph")]
    assert row.n_networks + row.n_left_out == trained
    assert bool(row.n_left_out) == bool(row.left_out_reason)


def test_running_again_does_nothing(tiny_copy):
    manifest = [(tiny_copy / name).read_bytes() for name in ("manifest.json", "manifest.log")]
    dynatlas.run(tiny_copy / "study.toml", tiny_copy)
    assert [(tiny_copy / name).read_bytes() for name in ("manifest.json", "manifest.log")] == manifest


def test_killed_at_random_moments_and_run_again_by_one_worker_it_ends_as_by_two(atlas, study_file, tmp_path):
    """kill -9 at three moments of one run, then to the end: neither that nor the number of workers changes a bit."""
    random = np.random.default_rng(int.from_bytes(os.urandom(4), "big"))
    folder = tmp_path / "killed"
    delays = random.uniform(2, 8, size=3)
    for delay in delays:
        process = start_run(study_file, folder)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    process = start_run(study_file, folder)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, f"killed after {delays} s, then:\n{output}"
    resumed = Atlas.open(folder)
    assert resumed.verify() == []
    assert_same_results(atlas, resumed)


def test_damaged_results_are_made_again(atlas, study_file, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(atlas.path, folder)
    block = next(iter(atlas.study.blocks))
    (folder / "networks" / f"{block.name}.safetensors").write_bytes(b"garbage")
    (folder / "tables" / "maps.parquet").unlink()
    damaged = Atlas.open(folder)
    assert {problem.what for problem in damaged.verify()} == {"truncated", "missing"}
    damaged.discard(*(problem.name for problem in damaged.verify()))
    assert_same_results(atlas, dynatlas.run(study_file, folder, workers=1, until="maps"))


def test_a_folder_with_another_study_is_refused_with_the_difference(atlas, tmp_path):
    other = tiny_study(SMALL, population={"seeds": 4})
    before = {path: path.stat().st_mtime_ns for path in atlas.path.rglob("*") if path.is_file()}
    with pytest.raises(DifferentStudyError, match=r"population\.seeds: 3 → 4"):
        dynatlas.run(other, atlas.path)
    after = {path: path.stat().st_mtime_ns for path in atlas.path.rglob("*") if path.is_file()}
    assert after == before


def test_impossible_worker_counts_are_refused(study_file, tmp_path):
    with pytest.raises(DynatlasError, match="workers is 0; expected at least 1"):
        dynatlas.run(study_file, tmp_path / "none", workers=0)


def test_networks_that_miss_their_threshold_are_kept_and_counted(tiny):
    networks = tiny.table("networks")
    assert not networks.passed.any()
    assert set(networks.reason) == {"MSE is not below 0.01"}
    assert len(tiny.table("searches")) == 0
    assert (tiny.table("maps").n_networks == 0).all()
    assert tiny.has("report/index.html")
    assert "MSE is not below 0.01" in (tiny.path / "report" / "index.html").read_text()


def test_the_report_can_be_made_again(tiny_copy):
    atlas = Atlas.open(tiny_copy)
    before = atlas.entries
    atlas.discard(*(name for name in before if name.startswith("report/")))
    shutil.rmtree(tiny_copy / "report")
    rebuild_report(atlas)
    assert atlas.entries.keys() == before.keys()
    changed = {name for name, entry in atlas.entries.items() if entry != before[name]}
    assert changed <= {"report/index.html"}  # it shows how long the whole run took


def test_tables_are_plain_parquet(atlas):
    frame = pd.read_parquet(atlas.path / "tables" / "networks.parquet")
    assert len(frame) == len(atlas.study.members)
