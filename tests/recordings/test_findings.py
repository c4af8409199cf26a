"""What a run finds of one network, on networks whose answers are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dynatlas.atlas.schema import ARRAYS
from dynatlas.cells.architectures import Vanilla
from dynatlas.pipeline.stages.dynamics.findings import TABLES, findings
from dynatlas.pipeline.stages.dynamics.oscillations import mean_frequencies
from dynatlas.pipeline.stages.dynamics.trajectories import state_spaces, trajectories
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")
TURN = 0.0371


def study_of(task):
    return tiny_study(
        tasks=[task],
        population={"units": [2], "seeds": 1},
        analysis={"fixed_point_starts": 64, "manifold_points": 5},
    )


def cell_of(task, recurrent_weights, input_weights, readout_weights):
    cell = Vanilla(task.n_inputs, 2, 1, "tanh", key=jax.random.key(0)).astype(np.float64)
    return eqx.tree_at(
        lambda cell: (cell.recurrent_weights, cell.input_weights, cell.readout_weights, cell.initial_state),
        cell,
        tuple(map(np.array, (recurrent_weights, input_weights, readout_weights, [0.3, 0.1]))),
    )


@pytest.fixture(scope="module")
def sine():
    """A rotation that grows around 0, whatever the command."""
    study = study_of({"kind": "sine_wave", "steps": 30, "commands": 3})
    (task,), (member,) = study.tasks, study.members
    angle = 2 * np.pi * TURN
    rotation = 1.1 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    with jax.enable_x64(True):
        cell = jax.tree.map(jnp.asarray, cell_of(task, rotation, [[0.0], [0.0]], [[1.0, 0.0]]))
    return study, member, findings(study, task, member, cell)


def test_a_rotation_has_its_frequency_under_every_command(sine):
    _, member, found = sine
    rows = found.tables["oscillations"]
    assert rows.network.tolist() == [member.id] * 3
    np.testing.assert_allclose(rows.frequency, [0.01, 0.03, 0.05], atol=1e-8)
    np.testing.assert_allclose(rows.linear_frequency, TURN, atol=1e-10)
    np.testing.assert_allclose(rows.spectral_radius, 1.1, atol=1e-10)
    assert rows.n_unstable.tolist() == [2] * 3
    assert found.tables["searches"].certificate.tolist() == ["consistent"] * 3  # all runs end at a cycle


def test_its_attractor_is_a_cycle_of_nearly_that_frequency(sine):
    rows = sine[2].tables["attractors"]
    assert set(rows.kind) <= {"invariant curve", "closed orbit"}
    np.testing.assert_allclose(rows.rotation_number, TURN, atol=2e-3)
    assert rows.rotation_number.std() < 1e-9  # the command does not reach the network
    assert (rows.output_amplitude > 0.3).all()
    np.testing.assert_allclose(rows.exponent_1, 0, atol=1e-4)


def test_frequencies_are_averaged_by_factor(sine):
    _, member, found = sine
    networks = pd.DataFrame({"network": [member.id], "architecture": ["vanilla"], "activation": ["tanh"]})
    means = mean_frequencies(found.tables["oscillations"], found.tables["attractors"], networks)
    assert means.level.tolist() == ["vanilla"] * 3 + ["tanh"] * 3
    np.testing.assert_allclose(means.linear_frequency, TURN, atol=1e-10)
    assert means.n_networks.tolist() == [1] * 6


def test_an_integrator_holds_its_line_and_selects_the_input_of_its_context():
    """Near 0 the first unit keeps what it is given; the second stream reaches the second unit alone, which forgets."""
    study = study_of({"kind": "context_integration", "steps": 20, "probe_levels": 4})
    (task,), (member,) = study.tasks, study.members
    inputs = np.zeros((2, 4))
    inputs[0, 0], inputs[1, 1] = 0.001, 0.001
    with jax.enable_x64(True):
        cell = jax.tree.map(jnp.asarray, cell_of(task, [[1.0, 0.0], [0.0, 0.2]], inputs, [[1000.0, 0.0]]))
        cell = eqx.tree_at(lambda cell: cell.initial_state, cell, jnp.zeros(2))
    found = findings(study, task, member, cell)
    first, second = found.tables["line_attractors"].to_dict("records")
    assert first["line_share"] == pytest.approx(1, abs=1e-9)
    assert first["spectral_radius"] == pytest.approx(1, abs=1e-3)
    assert first["response"] == pytest.approx(1, abs=0.02)
    assert first["modes_needed"] == 1
    assert first["selection_relevant"] == pytest.approx(1, abs=1e-6)
    assert first["selection_irrelevant"] == pytest.approx(0, abs=1e-6)
    assert first["irrelevant_response"] == pytest.approx(0, abs=1e-6)
    # In the second context the stream that counts does not reach the line: the network ignores it.
    assert second["selection_relevant"] == pytest.approx(0, abs=1e-6)
    assert second["response"] == pytest.approx(0, abs=1e-6)
    assert set(found.tables) <= set(TABLES)


def test_a_flip_flops_graph_is_made_at_every_scale():
    study = study_of({"kind": "flip_flop", "steps": 20, "channels": 1})
    (task,), (member,) = study.tasks, study.members
    with jax.enable_x64(True):
        cell = jax.tree.map(jnp.asarray, cell_of(task, [[2.0, 0.0], [0.0, 0.5]], [[3.0], [0.0]], [[1.0, 0.0]]))
    found = findings(study, task, member, cell)
    assert found.tables["searches"].n_roots.tolist() == [3]
    edges = found.tables["transitions"]
    assert sorted(zip(edges.source, edges.target, strict=True)) == [(0, 0), (1, 0), (1, 2), (2, 2)]
    sensitivity = found.tables["transition_sensitivity"]
    assert sensitivity.scale.tolist() == [0.005, 0.02, 0.08]
    assert sensitivity.distance[1] == 0
    assert (sensitivity.distance < 0.2).all()
    np.testing.assert_allclose(sensitivity.lost, 0)
    points = found.tables["fixed_points"]
    assert (points.unique_radius > 0.01).all()
    assert (points.root_error < 1e-9).all()


def test_a_blocks_state_spaces_are_its_networks_pictures_in_fewer_trials(sine):
    study, _, found = sine
    task = study.task("sine_wave")
    with jax.enable_x64(True):
        cell = jax.tree.map(jnp.asarray, cell_of(task, 0.5 * np.eye(2), [[1.0], [0.0]], [[1.0, 0.0]]))
    first = trajectories(task, cell, found.conditions)
    second = first.copy(deep=True)
    second["trajectory"] = second["trajectory"] + 1
    second["points"] = second["points"] + 1
    both = state_spaces({"a": first, "b": second})
    assert dict(both.sizes) == {"network": 2, "trial": 3, "step": 30, "component": 3, "input": 1, "row": 6}
    np.testing.assert_allclose(both["trajectory"].sel(network="b"), second["trajectory"], rtol=1e-6)
    np.testing.assert_allclose(both["points"], np.concatenate([first["points"], second["points"]]), rtol=1e-6)
    assert {name: variable.dims for name, variable in both.data_vars.items()} == ARRAYS["state_spaces/‹block›"]


def test_long_trials_keep_their_ends_and_many_trials_the_first_and_the_last():
    path = np.arange(51 * 400 * 3, dtype=float).reshape(51, 400, 3)
    picture = xr.Dataset(
        {
            "trajectory": (("trial", "step", "component"), path),
            "variance_share": (("component",), np.ones(3) / 3),
            "inputs": (("trial", "step", "input"), path[..., :1]),
            "points": (("row", "component"), np.zeros((0, 3))),
            "unstable_directions": (("row", "component"), np.zeros((0, 3))),
        }
    )
    kept = state_spaces({"a": picture})
    assert kept.sizes["trial"] == 16
    assert kept.sizes["step"] == 150
    for end in (0, -1):
        np.testing.assert_array_equal(kept["trajectory"].values[0, end], picture["trajectory"].values[end, -150:])
