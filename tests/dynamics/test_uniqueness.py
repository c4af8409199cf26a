import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import find_fixed_points
from dynatlas.cells.architectures import GRU, LSTM, UGRNN, Vanilla
from dynatlas.dynamics.intervals.uniqueness import uniqueness
from dynatlas.dynamics.points import coverage
from support.known_networks import bistable_network

KEY = jax.random.key(0)


@pytest.mark.parametrize("kind", [Vanilla, UGRNN, GRU, LSTM])
def test_no_other_root_lies_within_the_radius_and_the_radii_are_of_use(kind):
    cell = bistable_network(kind, 3, units=16, seed=2)
    size = cell.initial_state.shape[0]
    starts = np.random.default_rng(0).normal(size=(1024, size)) * 0.7
    with jax.enable_x64(True):
        box = cell.box(jnp.zeros(1))
    roots = find_fixed_points(cell, starts, np.zeros(1), box=box, key=KEY).roots()
    assert len(roots) == 27
    proof = uniqueness(cell, roots.states, np.zeros(1))
    apart = np.abs(roots.states[:, None] - roots.states[None]).max(axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert (proof.radius < apart.min(axis=1)).all()
    assert (proof.radius > 1e-3).all()
    assert (proof.error < 1e-9).all()


def test_the_radius_is_exact_where_it_is_known():
    """h/2 is a contraction everywhere; h + h² has its two roots 1 apart, and I − J is singular half-way."""
    assert uniqueness(lambda h, _: 0.5 * h, np.zeros((1, 2))).radius == pytest.approx(10, rel=0.02)
    # At 0: M = 2ρ[−1, 1] − 1 ... the condition 2ρ < 1 gives ½, where the derivative of the difference vanishes.
    radius = uniqueness(lambda h, _: h + h * (1 - h), np.zeros((1, 1))).radius
    assert radius == pytest.approx(0.5, rel=0.02)


def test_the_radius_of_a_tanh_is_the_one_that_exact_derivatives_give():
    """At 0 of tanh(2h) C is 1, and J − I between 2/cosh²(2ρ) − 1 and 1: so I − C M is within 2 tanh²(2ρ), to be < 1."""
    radius = uniqueness(lambda h, _: jnp.tanh(2 * h), np.zeros((1, 1))).radius
    assert radius == pytest.approx(np.arctanh(np.sqrt(0.5)) / 2, rel=0.02)


def test_the_error_bounds_the_distance_to_the_root():
    for off in (0.0, 1e-10, 1e-4, 1e-2):
        proof = uniqueness(lambda h, x: jnp.tanh(2 * h) + x, np.full((1, 1), off), np.zeros(1))
        assert off <= proof.error[0] < 1.5 * off + 1e-12
        assert proof.error[0] < proof.radius[0]


@pytest.mark.parametrize(
    ("step", "state"),
    [
        (lambda h, _: h + h**2, 0.0),  # a double root
        (lambda h, _: h, 0.3),  # a line of roots
        (lambda h, _: 2 * jax.nn.relu(h), 0.0),  # on the kink
        (lambda h, _: h + 1.0, 0.0),  # no root at all
        (lambda h, _: h * jnp.nan, 0.0),
    ],
)
def test_nothing_is_proven_where_nothing_holds(step, state):
    proof = uniqueness(step, np.full((1, 1), state))
    assert proof.radius.tolist() == [0]
    assert proof.error.tolist() == [np.inf]


def test_beside_a_kink_the_radius_ends_there():
    # Slope 3 above 0.25, 0 below: the root 0 is unique up to the kink, and the next root is at 0.375.
    radius = uniqueness(lambda h, _: 3 * jax.nn.relu(h - 0.25), np.zeros((1, 1))).radius
    assert 0.24 < radius[0] <= 0.251


def test_a_step_without_bounds_is_refused_and_no_points_are_an_empty_answer():
    def looping(h, _):
        return jax.lax.fori_loop(0, 3, lambda _, now: now / 2, h)

    with pytest.raises(ValueError, match="no bounds can be computed"):
        uniqueness(looping, np.zeros((1, 2)))
    assert len(uniqueness(lambda h, _: h / 2, np.zeros((0, 2))).radius) == 0


def test_coverage_estimates_what_a_uniform_sample_has_not_seen():
    """Sampling 50 equally likely roots: the share found is estimated within its error, and Chao's bound is near 50."""
    random = np.random.default_rng(0)
    shares, expected = [], []
    for _ in range(200):
        hits = np.bincount(random.integers(50, size=80), minlength=50)
        estimate = coverage(hits[hits > 0])
        shares.append(estimate.share - (hits > 0).mean())
        expected.append(estimate.expected)
    assert abs(np.mean(shares)) < 0.02
    assert 45 < np.mean(expected) < 55


def test_coverage_of_nothing_and_of_what_was_seen_often():
    assert coverage([]) == (0.0, 0.0)
    assert coverage([5, 9, 2]) == (1.0, 3.0)
