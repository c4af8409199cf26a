"""Measures that see time: trials and inputs reach them whole, and arrays without trials are refused."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dynatlas import distance, distance_matrix, place_recording, register_measure
from dynatlas.errors import NetworkError
from dynatlas.measures.findings import aspect
from dynatlas.measures.measure import Measure
from dynatlas.measures.registry import MEASURES
from dynatlas.pipeline.calibration import time_geometry
from dynatlas.pipeline.stages.controls import make_controls
from dynatlas.pipeline.stages.reduction import controls_of, reduce_activity
from dynatlas.study.members import Matrix
from support.random_atlas import joined, quiet, random_atlas

TRIALS, TIMES = 10, 12


@dataclass(frozen=True)
class Speed(Measure):
    """How much the mean squared steps of two networks differ; steps lie within trials."""

    aspect: ClassVar[str] = "dynamics"
    needs_trials: ClassVar[bool] = True

    def reduce(self, activity):
        return {"speed": np.asarray((np.diff(activity, axis=1) ** 2).sum(axis=-1).mean())}

    def between(self, first, second):
        return float(abs(first["speed"] - second["speed"]))


@dataclass(frozen=True)
class Drive(Measure):
    """How much the covariances of activity with the inputs one step before differ in size."""

    needs_trials: ClassVar[bool] = True
    needs_inputs: ClassVar[bool] = True

    def reduce(self, activity, inputs):
        return {"size": np.asarray(np.linalg.norm(np.einsum("ktn,ktc->nc", activity[:, 1:], inputs[:, :-1])))}

    def between(self, first, second):
        return float(abs(first["size"] - second["size"]))


@pytest.fixture(autouse=True)
def registered():
    register_measure("speed")(Speed)
    register_measure("drive")(Drive)
    yield
    del MEASURES["speed"], MEASURES["drive"]


def activities(*widths, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(TRIALS, TIMES, width)) for width in widths]


def speed(activity):
    steps = [activity[k, t + 1] - activity[k, t] for k in range(len(activity)) for t in range(activity.shape[1] - 1)]
    return np.mean([step @ step for step in steps])


def drive(activity, inputs):
    centred = activity - activity.mean(axis=(0, 1))
    return np.linalg.norm(sum(centred[k, 1:].T @ inputs[k, :-1] for k in range(len(activity))))


def test_a_measure_takes_trials_and_times():
    X, Y, Z = activities(4, 6, 5)
    assert distance(X, Y, "speed") == pytest.approx(abs(speed(X) - speed(Y)), abs=1e-12)
    matrix = distance_matrix({"X": X, "Y": Y, "Z": Z}, "speed")
    assert float(matrix.sel(network="Z", other_network="X")) == pytest.approx(abs(speed(X) - speed(Z)), abs=1e-12)
    assert aspect("speed") == "dynamics"
    assert (aspect("drive"), aspect("unheard_of")) == ("geometry", "geometry")


def test_a_measure_takes_inputs():
    X, Y = activities(4, 6)
    inputs = np.random.default_rng(1).normal(size=(TRIALS, TIMES, 2))
    expected = abs(drive(X, inputs) - drive(Y, inputs))
    assert distance(X, Y, "drive", inputs=inputs) == pytest.approx(expected, abs=1e-9)
    # Inputs state the trials of samples in their order.
    flat = [activity.reshape(-1, activity.shape[-1]) for activity in (X, Y)]
    assert distance(*flat, "drive", inputs=inputs) == pytest.approx(expected, abs=1e-9)
    assert distance(*flat, "speed", inputs=inputs) == pytest.approx(distance(X, Y, "speed"), abs=1e-12)
    assert distance_matrix(flat, "drive", inputs=inputs).values[0, 1] == pytest.approx(expected, abs=1e-9)


def test_names_of_axes_put_them_in_order():
    X, Y = activities(4, 6)
    named = xr.DataArray(X.transpose(2, 1, 0), dims=("neuron", "time", "trial"))
    assert distance(named, Y, "speed") == pytest.approx(distance(X, Y, "speed"), abs=1e-12)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            np.zeros((120, 4)),
            r"network Y has activity of shape \(120, 4\); Speed compares activity over time and expects \[trials, "
            r"time, units\]; reshape joined trials to that, and pass a single one as activity\[None\]",
        ),
        (np.zeros(120), r"of shape \(120,\); Speed compares activity over time and expects \[trials, time, units\]$"),
        (pd.DataFrame(np.zeros((120, 4))), r"of shape \(120, 4\); Speed compares activity over time"),
        ([[[1.0, 2.0]], [[3.0]]], "network Y has activity that is not an array of real numbers: .*inhomogeneous"),
        (np.zeros((10, 12, 4)), "network Y has constant activity in all 4 units"),
        (np.full((10, 12, 4), np.nan), "network Y has NaN or infinity in 4 of 4 units"),
        (np.ma.masked_array(np.ones((10, 12, 4)), mask=True), "network Y has masked values in 120 of 120 samples"),
        (activities(4)[0][:7], "Y has 7 trials of 12 times and network X has 10 trials of 12 times; show all networks"),
        (activities(4)[0][:, :7], "network Y has 10 trials of 7 times and network X has 10 trials of 12 times"),
    ],
)
def test_what_has_no_trials_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        distance(activities(4)[0], given, "speed")


@pytest.mark.parametrize(
    ("measure", "inputs", "message"),
    [
        ("drive", None, r"drive also takes the inputs of the trials; pass inputs= as \[trials, time, channels\]"),
        ("drive", np.zeros((10, 12)), r"inputs have the shape \(10, 12\); expected \[trials, time, channels\]"),
        ("drive", np.zeros((9, 12, 1)), "X has 10 trials of 12 times, and the inputs have 9 trials of 12 times"),
        ("procrustes", np.zeros((10, 12, 1)), "procrustes compares activity without its inputs; leave out inputs="),
    ],
)
def test_inputs_that_do_not_fit_are_refused(measure, inputs, message):
    X, Y = activities(4, 6)
    with pytest.raises(ValueError, match=message):
        distance(X, Y, measure, inputs=inputs)
    with pytest.raises(ValueError, match=message.replace("X has", "0 has")):
        distance_matrix([X, Y], measure, inputs=inputs)


@pytest.fixture
def made(tmp_path):
    return random_atlas(tmp_path / "atlas", measures=("cka", "speed", "drive", "dsa"))


def test_a_study_gives_its_probe_trial_by_trial(made):
    atlas, of_network = made
    with atlas.lock():
        for block in atlas.study.blocks:
            atlas.enter(*reduce_activity(atlas.path, block, quiet))
    inputs = np.asarray(atlas.study.tasks[0].probe().inputs, np.float64)
    whole = {
        network: activity.reshape(*inputs.shape[:2], -1)
        for (version, network), activity in of_network.items()
        if version == "trained"
    }
    for measure, value in (("speed", speed), ("drive", lambda one: drive(one, inputs))):
        stored = joined(atlas, Matrix("flip_flop", measure))
        values = {network: value(activity) for network, activity in whole.items()}
        for first, one in values.items():
            for second, other in values.items():
                expected = abs(one - other)
                assert float(stored.sel(network=first, other_network=second)) == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(joined(atlas, Matrix("flip_flop", "dsa")), distance_matrix(whole, "dsa"), atol=1e-12)
    # The halves of the controls are whole trials, with their own inputs.
    block = next(iter(atlas.study.blocks))
    for version, part in (("even", slice(None, None, 2)), ("odd", slice(1, None, 2))):
        for network in (member.id for member in atlas.study.blocks[block]):
            kept = {
                name: atlas.reduced(controls_of(name), block)[f"{network} {version}"] for name in ("speed", "drive")
            }
            assert float(kept["speed"]["speed"]) == pytest.approx(speed(whole[network][part]), abs=1e-9)
            assert float(kept["drive"]["size"]) == pytest.approx(drive(whole[network][part], inputs[part]), abs=1e-9)
    atlas.enter(*make_controls(atlas.path, "flip_flop", quiet))
    assert set(time_geometry(atlas.study.to_toml(), ())) == {"cka", "speed", "drive", "dsa"}


def test_a_recording_is_placed_trial_by_trial(made):
    atlas, of_network = made
    member = atlas.study.members[1]
    recording = of_network["trained", member.id][:, ::-1]
    placement = place_recording(
        atlas, recording.reshape(TRIALS, TIMES, -1), measures=["speed", "drive", "dsa"], shuffles=19
    )
    inputs = np.asarray(atlas.study.tasks[0].probe().inputs, np.float64)
    table = placement.tables["distances"]
    for measure, value in (("speed", speed), ("drive", lambda one: drive(one, inputs))):
        rows = table[(table.measure == measure) & (table.version == "trained")].set_index("network").distance
        for network, away in rows.items():
            other = of_network["trained", network].reshape(TRIALS, TIMES, -1)
            expected = abs(value(recording.reshape(TRIALS, TIMES, -1)) - value(other))
            assert away == pytest.approx(expected, abs=1e-9)
        assert rows[member.id] == pytest.approx(0, abs=1e-9)
    # The order and the time of trials do not matter to dsa, so that shifting them makes no surrogate.
    controls = placement.tables["controls"]
    of_dsa, of_speed = (set(controls.control[controls.measure == measure]) for measure in ("dsa", "speed"))
    assert of_speed - of_dsa == {"shifted trials"}
    nearest = table[(table.measure == "dsa") & (table.version == "trained")].nsmallest(1, "distance").iloc[0]
    assert (nearest.network, nearest.distance < 1e-6) == (member.id, True)
    means = np.random.default_rng(0).normal(size=(4, 5))
    with pytest.raises(NetworkError, match=r"speed compares activity over time, and the rows .* are means over"):
        place_recording(atlas, means, measures=["speed"], shuffles=19)
