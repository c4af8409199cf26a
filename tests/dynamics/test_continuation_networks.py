"""Continuation of networks: against independent searches, and by the index sum."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import find_fixed_points
from dynatlas.cells.architectures import GRU, LSTM
from dynatlas.dynamics.continuation.continuation import continue_fixed_points
from support.known_networks import bistable_network

pytestmark = pytest.mark.usefixtures("quick_compilation")


class Scaled(eqx.Module):
    """h ↦ tanh(g W h + (g − 1) u): a random network along the scale of its weights."""

    weights: np.ndarray
    shift: np.ndarray

    def __call__(self, state, scale):
        return jnp.tanh(scale * (self.weights @ state) + (scale - 1) * self.shift)


class At(eqx.Module):
    """A step at one parameter."""

    step: eqx.Module

    def __call__(self, state, inputs):
        return self.step(state, inputs[0])


def random_network(units, seed):
    random = np.random.default_rng(seed)
    return Scaled(random.normal(size=(units, units)) / np.sqrt(units), 0.3 * random.normal(size=units))


def roots_of(step, parameter, units, seed=0):
    starts = np.random.default_rng(seed).uniform(-1, 1, (200, units))
    return find_fixed_points(At(step), starts, [parameter], box=(-1, 1), key=jax.random.key(seed)).roots()


def assert_same(states, others):
    assert len(states) == len(others)
    gaps = np.linalg.norm(states[:, None] - others, axis=-1)
    assert (gaps.min(axis=1) < 1e-8).all()
    assert (gaps.min(axis=0) < 1e-8).all()


@pytest.mark.parametrize(("units", "seed"), [(8, 0), (12, 1)])
def test_branches_of_a_random_network_are_the_roots_of_independent_searches(units, seed):
    step = random_network(units, seed)
    branches = continue_fixed_points(step, roots_of(step, 3.0, units), 3.0, 0.5, box=(-1, 1))
    assert not branches.index_sums.is_wrong.any()
    for scale in (0.7, 1.4, 2.2, 2.9):
        found, expected = branches.at(scale), roots_of(step, scale, units, 1)
        assert_same(found.states, expected.states)
        assert found.indices.sum() == 1
        assert sorted(found.n_unstable) == sorted(expected.n_unstable)


def test_bifurcations_of_a_random_network_do_not_depend_on_the_step_and_fulfil_their_equations():
    step = random_network(12, 1)
    roots = roots_of(step, 3.0, 12)
    coarse, fine = (continue_fixed_points(step, roots, 3.0, 0.5, box=(-1, 1), n_values=n) for n in (60, 170))
    assert {each.kind for each in fine.bifurcations} == {"fold", "flip", "Neimark-Sacker"}
    assert [each.kind for each in coarse.bifurcations] == [each.kind for each in fine.bifurcations]
    for one, other in zip(coarse.bifurcations, fine.bifurcations, strict=True):
        np.testing.assert_allclose(one.parameter, other.parameter, atol=1e-9)
        np.testing.assert_allclose(one.state, other.state, atol=1e-8)
        # The Jacobian of tanh(g W h + …), by hand.
        slopes = 1 - one.state**2
        jacobian = slopes[:, None] * one.parameter * step.weights
        np.testing.assert_allclose(
            np.tanh(one.parameter * step.weights @ one.state + (one.parameter - 1) * step.shift), one.state, atol=1e-12
        )
        assert np.abs(np.linalg.eigvals(jacobian) - one.eigenvalue).min() < 1e-7
        np.testing.assert_allclose(abs(one.eigenvalue), 1, atol=1e-12)


def test_the_branches_do_not_depend_on_which_points_are_given_twice_or_in_what_order():
    step = random_network(12, 1)
    states = roots_of(step, 3.0, 12).states
    once = continue_fixed_points(step, states, 3.0, 2.0, box=(-1, 1), n_values=20)
    again = continue_fixed_points(step, np.concatenate([states[::-1], states]), 3.0, 2.0, box=(-1, 1), n_values=20)
    assert len(once) == len(again)
    assert again.of_points[: len(states)][::-1].tolist() == again.of_points[len(states) :].tolist()
    np.testing.assert_allclose(
        [each.parameter for each in once.bifurcations], [each.parameter for each in again.bifurcations], atol=1e-12
    )


def test_the_index_sum_shows_a_branch_that_was_not_given_and_a_search_finds_it():
    def step(h, b):
        return jnp.tanh(3 * h + jnp.stack([b, 0.5 * b]) + 0.2 * h[::-1])

    states = find_fixed_points(
        lambda h, _: step(h, 0.0), np.random.default_rng(0).uniform(-1, 1, (100, 2)), box=(-1, 1), key=jax.random.key(0)
    ).roots()
    assert len(states) == 9
    whole = continue_fixed_points(step, states, 0.0, 2.0, box=(-1, 1))
    assert whole.notes == ()
    # Without one of the points whose branch ends at a fold there, its other half still passes it.
    gone = [branch for branch in range(len(whole)) if (whole.of_points == branch).sum() == 1]
    left = np.flatnonzero(~np.isin(whole.of_points, gone[:1]))
    less = continue_fixed_points(step, states.states[left], 0.0, 2.0, box=(-1, 1))
    assert less.index_sums.is_wrong.any()
    (note,) = less.notes
    assert "not 1" in note
    assert "a branch is missing" in note
    found = continue_fixed_points(step, states.states[left], 0.0, 2.0, box=(-1, 1), key=jax.random.key(1))
    assert not found.index_sums.is_wrong.any()
    assert_same(found.at(1.9).states, whole.at(1.9).states)


def test_a_closed_branch_is_found_by_a_search_inside_the_interval():
    # The roots lie on the ellipse (h/0.3)² + ((p − ½)/0.2)² = 1, and on the line h = −0.8.
    def step(h, p):
        ring = (h[0] / 0.3) ** 2 + ((p - 0.5) / 0.2) ** 2 - 1
        return h - 0.05 * (h + 0.8) * ring

    alone = continue_fixed_points(step, [[-0.8]], 0.0, 1.0, box=(-1, 1))
    assert len(alone) == 1
    # The index of the two roots on the ring cancels: the sum cannot show it.
    assert not alone.index_sums.is_wrong.any()
    both = continue_fixed_points(step, [[-0.8]], 0.0, 1.0, box=(-1, 1), search_at=[0.5], key=jax.random.key(0))
    assert len(both) == 2
    assert both.branches[1].end == "closed on itself"
    assert [each.kind for each in both.bifurcations] == ["fold", "fold"]
    np.testing.assert_allclose([each.parameter for each in both.bifurcations], [0.3, 0.7], atol=1e-10)
    np.testing.assert_allclose(np.sort(both.at(0.5).states.ravel()), [-0.8, -0.3, 0.3], atol=1e-10)
    with pytest.raises(ValueError, match="pass a random key"):
        continue_fixed_points(step, [[-0.8]], 0.0, 1.0, search_at=[0.5])
    with pytest.raises(ValueError, match="expected values from 0 to 1"):
        continue_fixed_points(step, [[-0.8]], 0.0, 1.0, search_at=[1.5], key=jax.random.key(0))


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_cells_of_dynatlas_are_followed_along_an_input(kind):
    cell = bistable_network(kind, 2, 6, seed=0)
    with jax.enable_x64(True):
        cell = cell.astype(jnp.float64)
    n_inputs = cell.input_weights.shape[1]

    def along(state, strength):
        return cell(state, strength * jnp.eye(n_inputs)[0])

    def box(strength):
        with jax.enable_x64(True):
            return cell.box(jnp.asarray(strength * np.eye(n_inputs)[0]))

    def search(strength):
        low, high = (np.asarray(bound) for bound in box(strength))
        starts = np.random.default_rng(0).uniform(low, high, (200, len(low)))
        return find_fixed_points(
            cell, starts, strength * np.eye(n_inputs)[0], box=(low, high), key=jax.random.key(0)
        ).roots()

    roots = search(0.0)
    # Two roots of the LSTM begin at a fold at 0.58, which no branch from 0 passes. The search at 1 finds them.
    branches = continue_fixed_points(along, roots, 0.0, 1.0, box=box, n_values=30, key=jax.random.key(0))
    assert len(roots) == 9
    assert not branches.index_sums.is_wrong.any()
    for strength in (0.2, 0.9):
        assert_same(branches.at(strength).states, search(strength).states)
