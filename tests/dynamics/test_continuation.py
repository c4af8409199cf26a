"""Branches and bifurcations that are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.dynamics.continuation.continuation import continue_fixed_points

pytestmark = pytest.mark.usefixtures("quick_compilation")


def kinds_of(branches):
    return [each.kind for each in branches.bifurcations]


def iterated(step, state, parameter, times=2000):
    for _ in range(times):
        state = step(state, parameter)
    return np.atleast_2d(np.asarray(state, float))


def logistic(h, r):
    return r * h * (1 - h)


def twice_logistic(h, r):
    return logistic(logistic(h, r), r)


def delayed_logistic(h, a):
    return jnp.stack([a * h[0] * (1 - h[1]), h[0]])


def tanh_scaled(h, a):
    return jnp.tanh(a * h)


def tanh_shifted(h, b):
    return jnp.tanh(2 * h + b)


@pytest.mark.parametrize("n_values", [20, 100])
def test_the_pitchfork_of_tanh_is_at_one_and_its_arms_are_followed(n_values):
    branches = continue_fixed_points(tanh_scaled, [[0.0]], 0.5, 2.0, box=(-1, 1), n_values=n_values)
    (pitchfork,) = branches.bifurcations
    assert pitchfork.kind == "pitchfork"
    assert pitchfork.branches == (0, 1, 2)
    np.testing.assert_allclose([pitchfork.parameter, pitchfork.state[0]], [1, 0], atol=1e-12)
    assert not branches.index_sums.is_wrong.any()
    assert branches.notes == ()
    roots = branches.at(2.0)
    arm = np.tanh(2 * 0.95750402407726)  # h = tanh(2h)
    np.testing.assert_allclose(np.sort(roots.states.ravel()), [-arm, 0, arm], atol=1e-12)
    assert roots.indices.sum() == 1
    assert sorted(roots.n_unstable.tolist()) == [0, 0, 1]


def test_arms_of_a_pitchfork_that_are_followed_into_it_are_one_branch():
    arm = iterated(lambda h, a: np.tanh(a * h), 0.9, 2.0)
    branches = continue_fixed_points(tanh_scaled, np.concatenate([arm, 0 * arm, -arm]), 2.0, 0.5, box=(-1, 1))
    assert branches.of_points.tolist() == [0, 1, 0]
    (pitchfork,) = branches.bifurcations
    assert pitchfork.branches == (0, 1)
    np.testing.assert_allclose(pitchfork.parameter, 1, atol=1e-12)
    assert not branches.index_sums.is_wrong.any()


@pytest.mark.parametrize("a", [1.5, 2.0, 6.0])
def test_the_folds_of_tanh_are_at_their_closed_form(a):
    def step(h, b):
        return jnp.tanh(a * h + b)

    state = iterated(lambda h, b: np.tanh(a * h + b), -0.9, -8.0)
    branches = continue_fixed_points(step, state, -8.0, 8.0, box=(-1, 1))
    (branch,) = branches.branches
    h = np.sqrt(1 - 1 / a)  # a (1 − h²) = 1
    b = np.arctanh(h) - a * h
    assert kinds_of(branches) == ["fold", "fold"]
    np.testing.assert_allclose([each.parameter for each in branches.bifurcations], [b, -b], atol=1e-10)
    np.testing.assert_allclose([each.state[0] for each in branches.bifurcations], [h, -h], atol=1e-8)
    assert not branches.index_sums.is_wrong.any()
    assert branch.end == "left the interval at the stop"
    unstable = branch.n_unstable[(np.abs(branch.states[:, 0]) < 0.999 * h)]
    assert (unstable == 1).all()
    assert len(branches.at(0.0).states) == 3


def test_at_the_cusp_there_is_no_fold():
    # h ↦ tanh(h + b): the two folds meet at a = 1, b = 0, where dp/ds touches 0 and does not change its sign.
    state = iterated(lambda h, b: np.tanh(h + b), -0.9, -1.0)
    branches = continue_fixed_points(lambda h, b: jnp.tanh(h + b), state, -1.0, 1.0, box=(-1, 1))
    assert kinds_of(branches) == []
    assert branches.branches[0].end == "left the interval at the stop"
    assert not branches.index_sums.is_wrong.any()


def test_the_logistic_map_doubles_its_period_at_three():
    branches = continue_fixed_points(logistic, [[1 - 1 / 2.5]], 2.5, 3.6)
    (flip,) = branches.bifurcations
    assert flip.kind == "flip"
    np.testing.assert_allclose([flip.parameter, flip.state[0]], [3, 2 / 3], atol=1e-10)
    assert flip.eigenvalue == -1


def test_its_second_iterate_doubles_its_period_at_one_plus_the_root_of_six():
    branches = continue_fixed_points(twice_logistic, [[1 - 1 / 2.5]], 2.5, 3.6)
    assert kinds_of(branches) == ["pitchfork", "flip", "flip"]
    np.testing.assert_allclose(
        [each.parameter for each in branches.bifurcations], [3, 1 + np.sqrt(6), 1 + np.sqrt(6)], atol=1e-10
    )
    # The two flips are one orbit of period 2.
    one, other = (each.state[0] for each in branches.bifurcations[1:])
    np.testing.assert_allclose(logistic(one, 1 + np.sqrt(6)), other, atol=1e-8)


def test_two_lines_of_roots_cross_in_a_transcritical_bifurcation():
    branches = continue_fixed_points(logistic, [[0.0]], 0.5, 2.5)
    (crossing,) = branches.bifurcations
    assert crossing.kind == "transcritical"
    np.testing.assert_allclose([crossing.parameter, crossing.state[0]], [1, 0], atol=1e-10)
    np.testing.assert_allclose(np.sort(branches.at(2.0).states.ravel()), [0, 0.5], atol=1e-12)
    np.testing.assert_allclose(np.sort(branches.at(0.8).states.ravel()), [-0.25, 0], atol=1e-12)


def test_the_delayed_logistic_map_has_its_neimark_sacker_bifurcation_at_two():
    branches = continue_fixed_points(delayed_logistic, [[1 / 3, 1 / 3]], 1.5, 2.5)
    (found,) = branches.bifurcations
    assert found.kind == "Neimark-Sacker"
    np.testing.assert_allclose(found.parameter, 2, atol=1e-10)
    np.testing.assert_allclose(found.state, [0.5, 0.5], atol=1e-10)
    np.testing.assert_allclose(found.eigenvalue, np.exp(1j * np.pi / 3), atol=1e-10)


@pytest.mark.parametrize(
    ("angle", "note"), [(1.0, ""), (np.pi / 2, "strong resonance 1:4"), (2 * np.pi / 3, "strong resonance 1:3")]
)
def test_a_planar_rotation_loses_stability_at_one(angle, note):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    branches = continue_fixed_points(lambda h, a: a * turn @ h / (1 + h @ h), np.zeros((1, 2)), 0.5, 1.5)
    (found,) = branches.bifurcations
    assert found.kind == "Neimark-Sacker"
    assert found.note == note
    np.testing.assert_allclose(found.parameter, 1, atol=1e-10)
    np.testing.assert_allclose(np.angle(found.eigenvalue), angle, atol=1e-10)
    assert branches.branches[0].n_unstable[[0, -1]].tolist() == [0, 2]


def test_two_real_eigenvalues_that_become_a_pair_are_no_bifurcation():
    # Eigenvalues 1.5 ± √p: two unstable real ones meet at p = 0 and become a pair, outside the circle throughout.
    def step(h, p):
        return jnp.array([[1.5, 0.0], [1.0, 1.5]]) @ h + jnp.stack([p * h[1], jnp.zeros(())])

    assert kinds_of(continue_fixed_points(step, np.zeros((1, 2)), 0.2, -0.2)) == []


def fold_of_bratu(n):
    """The fold of u'' + λ e^u = 0, u(0) = u(1) = 0, by finite differences at n inner points."""

    def step(u, strength):
        padded = jnp.pad(u, 1)
        return u + (padded[2:] - 2 * u + padded[:-2]) * (n + 1) ** 2 + strength * jnp.exp(u)

    branches = continue_fixed_points(step, np.zeros((1, n)), 0.0, 4.0, n_values=30, max_points=200)
    (fold,) = [each for each in branches.bifurcations if each.kind == "fold"]
    return fold.parameter


def test_the_fold_of_bratus_equation_is_the_published_one():
    # At 20 points SciPy finds 3.509682479821676, as the largest λ over amplitudes. (PyCont-Lite 0.6.0 reports 3.497.)
    coarse, fine = fold_of_bratu(20), fold_of_bratu(41)
    np.testing.assert_allclose(coarse, 3.509682479821676, atol=1e-9)
    # Without discretisation it is at 3.513830719, a known value; the error of the differences is of second order.
    np.testing.assert_allclose((4 * fine - coarse) / 3, 3.513830719, atol=2e-5)


def test_direction_and_scale_of_the_parameter_do_not_change_the_branches():
    def both(h, b):
        return jnp.tanh(2 * h + jnp.stack([b, 0.7 * b]) + 0.3 * h[::-1])

    low = iterated(lambda h, b: np.asarray(both(h, b)), np.array([-0.9, -0.9]), -2.0)
    high = iterated(lambda h, b: np.asarray(both(h, b)), np.array([0.9, 0.9]), 2.0)
    forward = continue_fixed_points(both, low, -2.0, 2.0, box=(-1, 1), tol=1e-12)
    backward = continue_fixed_points(both, high, 2.0, -2.0, box=(-1, 1), tol=1e-12)
    scaled = continue_fixed_points(lambda h, b: both(h, 1e-3 * b), low, -2e3, 2e3, box=(-1, 1), n_values=37, tol=1e-12)
    assert kinds_of(forward) == kinds_of(backward) == kinds_of(scaled) != []
    for b, other in ((forward, backward), (forward, scaled)):
        factor = other.stop / b.stop if other is scaled else 1
        np.testing.assert_allclose(
            [each.parameter * factor for each in b.bifurcations], [each.parameter for each in other.bifurcations],
            rtol=1e-9,
        )  # fmt: skip
    for parameter in (-1.0, 0.1, 1.5):
        one, other = forward.at(parameter).states, backward.at(parameter).states
        np.testing.assert_allclose(one[np.lexsort(one.T)], other[np.lexsort(other.T)], atol=1e-10)
    assert (forward.index_sums.sums == backward.index_sums.sums[::-1]).all()
    assert not forward.index_sums.is_wrong.any()


def test_every_point_is_a_root_and_tangents_lead_along_the_branch():
    state = iterated(lambda h, b: np.tanh(2 * h + b), -0.9, -1.0)
    (branch,) = continue_fixed_points(tanh_shifted, state, -1.0, 1.0).branches
    assert branch.q.max() < 1e-20
    with jax.enable_x64(True):
        moved = jax.vmap(tanh_shifted)(jnp.asarray(branch.states), jnp.asarray(branch.parameters))
    np.testing.assert_allclose(moved, branch.states, atol=1e-12)
    slopes = 2 * (1 - branch.states[:, 0] ** 2)
    np.testing.assert_allclose(branch.eigenvalues[:, 0].real, slopes, atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(branch.tangents, axis=1), 1)
    assert ((branch.tangents[1:] * branch.tangents[:-1]).sum(axis=1) > 0.9).all()


def test_the_tables_have_a_row_for_each_point_and_bifurcation():
    branches = continue_fixed_points(tanh_scaled, [[0.0]], 0.5, 2.0, box=(-1, 1))
    table = branches.to_dataframe()
    assert len(table) == sum(map(len, branches.branches))
    assert table["bifurcation"].isin(["", "pitchfork"]).all()
    assert branches.bifurcations_to_dataframe()["branches"].tolist() == ["0, 1, 2"]
    assert "1 pitchfork" in repr(branches)


def test_the_plot_marks_bifurcations():
    branches = continue_fixed_points(tanh_scaled, [[0.0]], 0.5, 2.0, box=(-1, 1))
    figure = branches.plot()
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"stable", "unstable", "pitchfork"}
    (axes,) = figure.axes
    lines = [line for line in axes.lines if line.get_linestyle() != "None"]
    assert len(lines) == 4  # the middle branch has a stable and an unstable part
    assert branches.plot([2.0]).axes[0].get_ylabel() == "readout"
    assert branches.plot(lambda states: states[:, 0]).axes
    with pytest.raises(ValueError, match="one weight for each of 1"):
        branches.plot([1.0, 2.0])
    with pytest.raises(ValueError, match="one value for each"):
        branches.plot(lambda states: states)
