"""Lesions: closed forms, the same network with the parts deleted by hand, and errors by another path."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from jaxtyping import TypeCheckError

from dynatlas import Network, lesion, read_network
from dynatlas.cells.architectures import GRU, LSTM, Vanilla
from dynatlas.networks.layouts.pytrees import network_of_cell
from dynatlas.networks.lesions.removals import lesioned, masks_of, modes_of, network_with, removals_of, units_of
from dynatlas.tasks import FlipFlop
from dynatlas.tasks.task import Trial
from dynatlas.training.loss import held_out_trials, mean_squared_error
from support.command_line import call
from support.random_atlas import random_atlas

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(0)
TASK = FlipFlop(steps=20, channels=2)


def matrices(weights, bias=None):
    """tanh(W h + x + b), read out as it is."""
    n = len(weights)
    return {"W_rec": weights, "W_in": np.eye(n), "W_out": np.eye(n), "b": np.zeros(n) if bias is None else bias}


def network(weights, bias=None):
    return read_network(matrices(np.asarray(weights, float), bias), activation="tanh", orientation="columns")


def one_mask(masks, row):
    return type(masks)(*(None if each is None else each[row] for each in masks))


def random_weights(n, seed=0):
    return 1.5 * np.random.default_rng(seed).normal(size=(n, n)) / np.sqrt(n)


@pytest.mark.parametrize(("units", "expected"), [([0], 9), ([(0, 2)], 3), ([(0, 1, 2)], 1)])
def test_independent_units_lose_a_factor_of_three_each(units, expected):
    table = lesion(network(2 * np.eye(3)), units=units, key=KEY).table
    assert table.n_roots.tolist() == [27, expected]
    assert table.n_stable.tolist() == [8, 2 ** round(np.log(expected) / np.log(3))]
    assert (table.certificate == "complete").all()
    root = 0.957504024  # h = tanh(2 h)
    radius = 2 * (1 - root**2) if expected > 1 else 0.0
    np.testing.assert_allclose(table.spectral_radius, [2 * (1 - root**2), radius], atol=1e-8)


def test_the_spectral_radius_does_not_depend_on_the_starts():
    """Four stable points with two radii: of x = atanh h = W h, with the Jacobian diag(1 − h²) W."""
    weights = np.array([[2.0, -0.4], [0.3, 1.8]])
    radii = []
    for start in ([1.0, 1.0], [1.0, -1.0]):
        state = np.array(start)
        for _ in range(500):
            state = np.tanh(weights @ state)
        radii.append(np.abs(np.linalg.eigvals((1 - state**2)[:, None] * weights)).max())
    assert abs(radii[0] - radii[1]) > 0.05
    tables = [lesion(network(weights), units=[], key=jax.random.key(seed)).table for seed in range(4)]
    assert {table.n_stable[0] for table in tables} == {4}
    np.testing.assert_allclose([table.spectral_radius[0] for table in tables], max(radii), atol=1e-9)


def test_without_a_stable_point_the_least_unstable_ones_count():
    """h = −3 tanh h has the root 0 alone, with λ = −3."""
    table = lesion(network([[-3.0]]), units=[], key=KEY).table
    assert table.n_stable[0] == 0
    assert table.spectral_radius[0] == pytest.approx(3)


def test_a_silent_unit_is_one_that_is_deleted():
    weights, bias = random_weights(4), np.array([0.3, -0.2, 0.1, 0.4])
    inputs = np.random.default_rng(1).normal(size=(5, 9, 4))
    others = [0, 1, 3]
    smaller = network(weights[np.ix_(others, others)], bias[others])
    found = lesion(network(weights, bias), units=[2], trials=inputs, key=KEY)
    alone = lesion(smaller, units=[], trials=inputs[..., others], key=KEY)
    silent, deleted = found.fixed_points[1].roots(), alone.fixed_points[0].roots()
    assert len(silent) == len(deleted)
    ordered = sorted(map(tuple, silent.states[:, others].round(9)))
    assert ordered == sorted(map(tuple, deleted.states.round(9)))
    np.testing.assert_allclose(silent.states[:, 2], 0, atol=1e-12)
    expected = np.zeros((5, 9, 4))
    expected[..., others] = smaller.run(inputs[..., others])
    intact = network(weights, bias).run(inputs)
    np.testing.assert_allclose(found.table.mse, [0, ((expected - intact) ** 2).mean()], atol=1e-14)
    np.testing.assert_allclose(found.table.error[1], ((expected - intact) ** 2).mean() / intact.var())


@pytest.mark.parametrize("kind", [Vanilla, GRU, LSTM])
def test_errors_are_those_of_cells_without_the_weights(kind):
    """Another path: outgoing and incoming weights of cells are set to 0 and training computes the error, in float32."""
    cell = kind(2, 5, 2, "tanh", key=jax.random.key(3))
    cell = eqx.tree_at(lambda cell: cell.initial_state, cell, 0.3 * jnp.ones_like(cell.initial_state))
    trials = held_out_trials(TASK, 12)
    weights, given = np.asarray(cell.recurrent_weights), np.asarray(cell.input_weights)
    shown, without = np.asarray(cell.readout_weights).copy(), weights.copy()
    without[:, 3], shown[:, 3] = 0, 0
    left, values, right = np.linalg.svd(weights, full_matrices=False)
    no_input = given.copy()
    no_input[:, 1] = 0
    changed = [
        cell,
        eqx.tree_at(
            lambda c: (c.recurrent_weights, c.readout_weights), cell, (jnp.asarray(without), jnp.asarray(shown))
        ),
        eqx.tree_at(lambda c: c.recurrent_weights, cell, jnp.asarray((left[:, 2:] * values[2:]) @ right[2:])),
        eqx.tree_at(lambda c: c.input_weights, cell, jnp.asarray(no_input)),
    ]
    expected = [float(mean_squared_error(each, trials)) for each in changed]
    found = lesion(cell, units=[3], modes=[(0, 1)], channels=[1], trials=trials, fixed_points=False, key=KEY)
    assert found.table.lesion.tolist() == ["intact", "unit h3", "modes 0, 1", "channel 1"]
    np.testing.assert_allclose(found.table.mse, expected, rtol=1e-4)
    assert len(set(np.round(expected, 5))) == 4


def test_trials_with_weights_count_as_in_training():
    cell = GRU(2, 5, 2, "tanh", key=KEY)
    trials = held_out_trials(TASK, 6)
    weighted = Trial(trials.inputs, trials.targets, jnp.zeros_like(trials.targets).at[:, -3:].set(2.0))
    mse = lesion(cell, units=[], trials=weighted, fixed_points=False, key=KEY).table.mse[0]
    np.testing.assert_allclose(mse, float(mean_squared_error(cell, weighted)), rtol=1e-5)


def test_a_network_of_rank_one_relaxes_to_one_point_without_its_mode():
    direction, bias = np.array([1.0, -1.0, 1.0, 1.0]), np.array([0.1, 0.2, -0.3, 0.0])
    rank_one = network(np.outer(direction, direction), bias)
    assert len(modes_of(rank_one)[0]) == 1
    found = lesion(rank_one, modes=[0], key=KEY)
    assert found.table.n_roots.tolist() == [3, 1]
    np.testing.assert_allclose(found.fixed_points[1].states[0], np.tanh(bias), atol=1e-12)
    assert found.table.spectral_radius[1] == pytest.approx(0, abs=1e-12)


def test_a_removed_channel_silences_its_bit():
    """Three bits, each in a unit: without channel 1 the second output stays 0, and the others are as before."""
    bits = network(4 * np.eye(3))
    pulses = np.zeros((6, 10, 3))
    pulses[:, 0] = 9 * np.array([[a, b, 1] for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1), (1, 1), (-1, 1))])
    found = lesion(bits, channels=[1], trials=pulses, key=KEY)
    outputs = bits.run(pulses)
    np.testing.assert_allclose(found.table.mse[1], (outputs[..., 1] ** 2).mean() / 3)
    assert found.table.n_roots.tolist() == [27, 27]  # no input is needed to remember
    with_channel = network_with(bits, one_mask(masks_of(bits, removals_of(bits, [], [], [1])), 1))
    np.testing.assert_allclose(with_channel.run(pulses)[..., [0, 2]], outputs[..., [0, 2]])
    assert not with_channel.run(pulses)[..., 1].any()


def test_all_lesions_are_made_once_if_none_is_named():
    table = lesion(network(random_weights(3)), fixed_points=False, key=KEY).table
    kinds = table.groupby("kind", sort=False).size().to_dict()
    assert kinds == {"intact": 1, "unit": 3, "mode": 3, "channel": 3}
    assert "n_roots" not in table


def test_a_unit_of_an_lstm_has_both_its_variables():
    cell = network_of_cell(LSTM(1, 3, 1, key=KEY), 1)
    assert units_of(cell) == [("h0", [0, 3]), ("h1", [1, 4]), ("h2", [2, 5])]
    masks = masks_of(cell, removals_of(cell, [1], [], []))
    assert masks.states[1].tolist() == [1, 0, 1, 1, 0, 1]
    assert masks.directions is None


def test_the_mask_comes_before_and_after_the_step():
    full = network(np.ones((2, 2)))
    step = lesioned(full.step, one_mask(masks_of(full, removals_of(full, [0], [], [])), 1))
    with jax.enable_x64(True):
        np.testing.assert_allclose(step(jnp.array([5.0, 0.5]), jnp.zeros(2)), [0, np.tanh(0.5)])


def test_a_box_without_the_silent_value_certifies_nothing():
    def bounded(box):
        step = lambda h, x: 1.5 + 0.5 * jnp.tanh(h)  # noqa: E731 - one step
        return Network(step, n_states=2, n_inputs=0, bounds=lambda inputs: box)

    assert lesion(bounded((0.0, 2.0)), units=[0], key=KEY).table.certificate.tolist() == ["complete", "complete"]
    assert lesion(bounded((1.0, 2.0)), units=[0], key=KEY).table.certificate.tolist() == ["complete", "not certifiable"]


def test_a_network_that_diverges_has_an_infinite_error():
    unstable = read_network(matrices(np.array([[1.0, -3.0], [3.0, 1.0]])), activation="relu", orientation="columns")
    steps = np.ones((1, 2000, 2))
    found = lesion(unstable, units=[1], trials=Trial(steps, 0 * steps), fixed_points=False, key=KEY)
    assert found.table.mse[0] > 0
    assert found.table.error[1] == np.inf


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"units": [3]}, "units has 3; expected a number or different numbers: the network has units 0 to 2"),
        ({"units": [-1]}, "units has -1"),
        ({"units": [(1, 1)]}, r"units has \(1, 1\)"),
        ({"units": [()]}, r"units has \(\)"),
        ({"units": ["h0"]}, "units has 'h0'"),
        ({"units": ["0"]}, "units has '0'"),
        ({"units": "0"}, "units is '0'; expected a number, or numbers and groups"),
        ({"units": 7}, "units has 7; expected a number"),
        ({"units": [1.9]}, "units has 1.9"),
        ({"units": np.array([True, False, True])}, "units has (np.)?True"),
        ({"units": [(True, 2)]}, r"units has \(True, 2\)"),
        ({"max_starts": 0}, "max_starts is 0; expected at least 1"),
        ({"max_seconds": -1.0}, "max_seconds is -1.0; expected 0 or more seconds, or None"),
        ({"max_seconds": np.nan}, "max_seconds is nan"),
        ({"modes": [3]}, "the network has modes 0 to 2"),
        ({"channels": [7]}, "the network has channels 0 to 2"),
        ({"condition": [0.0]}, r"condition has shape \(1,\); expected \[3\]"),
        ({"trials": np.zeros((4, 3))}, r"trials has shape \(4, 3\); expected \[trials, steps, 3\]"),
        ({"trials": Trial(np.zeros((2, 4, 3)), np.zeros((2, 4, 1)))}, r"targets of shape \(2, 4, 1\)"),
    ],
)
def test_what_the_network_does_not_have_is_named(settings, said):
    with pytest.raises(ValueError, match=said):
        lesion(network(random_weights(3)), **{"fixed_points": False, "key": KEY} | settings)


@pytest.mark.parametrize("one", [0, np.int64(0), np.array(0), [0], (0,), range(1), np.arange(1), jnp.arange(1)])
def test_a_number_alone_is_one_lesion(one):
    for kind in ("units", "modes", "channels"):
        given = {"units": None, "modes": None, "channels": None} | {kind: one}
        found = removals_of(network(2 * np.eye(3)), **given)
        assert [each.members for each in found] == [(), (0,)]


def test_the_summary_says_how_many_lesions_it_leaves_out():
    found = lesion(network(random_weights(4)), units=range(4), fixed_points=False, key=KEY)
    assert "4 lesions, the most harmful first" in str(found)
    assert "and 1 more" in str(found)
    some = lesion(network(random_weights(4)), units=range(3), fixed_points=False, key=KEY)
    assert "more" not in str(some)


def test_a_number_is_no_key():
    with pytest.raises((ValueError, TypeCheckError), match=r"key is 7; expected a JAX key|parameter 'key'"):
        lesion(network(random_weights(3)), fixed_points=False, key=7)


def test_a_function_has_no_modes():
    network = Network(lambda h, x: jnp.tanh(2 * h), n_states=2, n_inputs=0)
    with pytest.raises(ValueError, match="the network has no mode that can be removed"):
        lesion(network, modes=[0], key=KEY)


def test_the_command_writes_a_table_and_keeps_other_results(tmp_path, capsys):
    np.savez(tmp_path / "bits.npz", activation="tanh", **matrices(2 * np.eye(2)))
    named = ("--unit", "0", "--unit", "0,1", "--mode", "1", "--channel", "0")
    assert call("lesion", tmp_path / "bits.npz", "--orientation", "columns", *named) == 0
    table = pd.read_csv(tmp_path / "bits-lesions" / "lesions.csv")
    assert table.lesion.tolist() == ["intact", "unit h0", "units h0, h1", "mode 1", "channel 0"]
    assert table.n_roots.tolist() == [9, 3, 1, 3, 9]
    assert "4 lesions, the most harmful first" in capsys.readouterr().out
    assert call("lesion", tmp_path / "bits.npz", "--orientation", "columns", "--out", tmp_path) == 8
    assert call("lesion", tmp_path / "missing.npz", "--unit", "a") == 8
    assert call("lesion", tmp_path / "missing.npz", "--max-seconds", "-1") == 8
    assert call("lesion", tmp_path / "missing.npz", "--max-starts", "0") == 8
    said = capsys.readouterr().err
    assert "exists and is no earlier lesions" in said
    assert "--unit is ['a']; expected a number" in said
    assert "--max-seconds is -1; expected 0 or more seconds" in said
    assert "--max-starts is 0; expected at least 1" in said


def test_the_command_takes_the_error_of_an_atlas_network_on_its_task(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    atlas, _ = random_atlas(tmp_path / "atlas")
    member = atlas.study.members[0]
    assert call("lesion", member.name, "--atlas", "atlas", "--unit", "2", "--no-fixed-points") == 0
    table = pd.read_csv(tmp_path / f"{member.name}-lesions" / "lesions.csv")
    trials = held_out_trials(atlas.study.task(member.task), atlas.study.training.validation_trials)
    expected = float(mean_squared_error(atlas.network(member.id), trials))
    assert table.mse[0] == pytest.approx(expected, rel=1e-5)
    assert "no input" in capsys.readouterr().out
