import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.architectures import GRU
from dynatlas.dynamics.attractors import find_attractors, rotation_number

GOLDEN = (np.sqrt(5) - 1) / 2 * 0.1  # turns per step, as irrational as can be


def attractor_of(step, start, **options):
    (attractor,) = find_attractors(step, np.atleast_2d(np.asarray(start, float)), **options)
    return attractor


def spiral(turn, pull=0.5):
    """Turns by ``turn`` per step and is drawn to the circle of radius 1; multiplier across it 1 − 2·pull."""
    cosine, sine = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)

    def step(h, _):
        turned = jnp.stack([h[0] * cosine - h[1] * sine, h[0] * sine + h[1] * cosine])
        return turned * (1 + pull - pull * jnp.sum(h**2))

    return step


def test_a_contraction_ends_at_its_fixed_point():
    attractor = attractor_of(lambda h, _: jnp.cos(h), [0.3])
    assert (attractor.kind, attractor.period, attractor.amplitude) == ("fixed point", 1, 0)
    assert attractor.states[0, 0] == pytest.approx(0.7390851332151607, abs=1e-12)
    assert attractor.multipliers[0].real == pytest.approx(-np.sin(0.7390851332151607), abs=1e-12)
    assert attractor.exponents[0] == pytest.approx(np.log(np.sin(0.7390851332151607)), abs=1e-12)
    assert np.isnan(attractor.rotation_number)


@pytest.mark.parametrize("turn", [GOLDEN, 0.01 + np.sqrt(2) / 1000, 0.3 + np.pi / 1000])
def test_an_invariant_curves_rotation_number_radius_and_exponents_are_exact(turn):
    attractor = attractor_of(spiral(turn), [0.1, 0.0])
    assert attractor.kind == "invariant curve"
    assert attractor.rotation_number == pytest.approx(turn, abs=1e-8)
    assert attractor.amplitude == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(np.linalg.norm(attractor.states, axis=1), 1, atol=1e-8)
    assert attractor.exponents[0] == pytest.approx(0, abs=1e-8)


def test_a_curves_second_exponent_is_the_rate_at_which_it_attracts():
    attractor = attractor_of(spiral(GOLDEN, pull=0.2), [0.1, 0.0])
    np.testing.assert_allclose(attractor.exponents, [0, np.log(0.6)], atol=1e-8)


def test_a_resonant_rotation_is_a_closed_orbit_with_multipliers():
    attractor = attractor_of(spiral(3 / 40, pull=0.2), [0.1, 0.0])
    assert (attractor.kind, attractor.period) == ("closed orbit", 40)
    assert attractor.rotation_number == pytest.approx(3 / 40, abs=1e-15)
    np.testing.assert_allclose(np.abs(attractor.multipliers), [1, 0.6**40], atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(attractor.states, axis=1), 1, atol=1e-8)


@pytest.mark.parametrize(("rate", "period"), [(2.5, 1), (3.2, 2), (3.5, 4), (3.83, 3), (3.739, 5)])
def test_the_logistic_maps_periods_and_multipliers(rate, period):
    attractor = attractor_of(lambda h, _: rate * h * (1 - h), [0.37])
    assert attractor.period == period
    assert attractor.kind == ("fixed point" if period == 1 else "closed orbit")
    slopes = rate * (1 - 2 * attractor.states[:, 0])
    assert attractor.multipliers[0].real == pytest.approx(np.prod(slopes), abs=1e-8)
    images = rate * attractor.states * (1 - attractor.states)
    np.testing.assert_allclose(np.roll(images, 1, axis=0), attractor.states, atol=1e-10)
    if rate == 3.2:  # both points solve a quadratic equation
        exact = np.sort((1 + rate + np.array([-1, 1]) * np.sqrt((rate - 3) * (rate + 1))) / (2 * rate))
        np.testing.assert_allclose(np.sort(attractor.states[:, 0]), exact, atol=1e-12)


def test_chaos_has_the_exponent_of_theory():
    """The logistic map at 4: ln 2. A tent map has the same slope everywhere, so that its exponent is exact."""
    logistic = attractor_of(lambda h, _: 4 * h * (1 - h), [0.37])
    assert logistic.kind == "chaos"
    assert logistic.exponents[0] == pytest.approx(np.log(2), abs=0.03)
    tent = attractor_of(lambda h, _: 1.9 * jnp.minimum(h, 1 - h), [0.37])
    assert tent.kind == "chaos"
    assert tent.exponents[0] == pytest.approx(np.log(1.9), abs=1e-10)


def test_the_henon_maps_exponents_add_up_to_its_contraction():
    attractor = attractor_of(lambda h, _: jnp.stack([1 - 1.4 * h[0] ** 2 + h[1], 0.3 * h[0]]), [0.1, 0.1])
    assert attractor.kind == "chaos"
    assert attractor.exponents.sum() == pytest.approx(np.log(0.3), abs=1e-8)
    assert attractor.exponents[0] == pytest.approx(0.419, abs=0.03)


def test_a_drift_without_end_is_unsettled_and_an_explosion_diverges():
    drifting = attractor_of(lambda h, _: h + 1e-3, [0.0], max_steps=4096)
    assert drifting.kind == "unsettled"
    exploding = attractor_of(lambda h, _: 2 * h + 1, [0.0], max_steps=4096)
    assert exploding.kind == "diverges"


def test_each_run_has_its_own_input_and_does_not_know_of_the_others():
    def step(h, x):
        cosine, sine = jnp.cos(2 * jnp.pi * x[0]), jnp.sin(2 * jnp.pi * x[0])
        turned = jnp.stack([h[0] * cosine - h[1] * sine, h[0] * sine + h[1] * cosine])
        return turned * (1.5 - 0.5 * jnp.sum(h**2))

    turns = GOLDEN * np.linspace(0.2, 1, 20)
    starts = np.tile([0.3, 0.1], (20, 1))
    together = find_attractors(step, starts, turns[:, None])
    np.testing.assert_allclose([attractor.rotation_number for attractor in together], turns, atol=1e-8)
    alone = find_attractors(step, starts[7:8], turns[7:8, None])[0]
    assert alone.rotation_number == pytest.approx(together[7].rotation_number, abs=1e-12)


def test_a_trained_kind_of_cell_is_classified_too():
    import jax

    cell = GRU(1, 8, 1, key=jax.random.key(0))
    with jax.enable_x64(True):
        cell = cell.astype(jnp.float64)
    attractors = find_attractors(cell, np.zeros((3, 8)), np.array([[0.0], [0.5], [1.0]]))
    assert [attractor.kind for attractor in attractors] == ["fixed point"] * 3
    with jax.enable_x64(True):
        for attractor, x in zip(attractors, (0.0, 0.5, 1.0), strict=True):
            state = jnp.asarray(attractor.states[0])
            np.testing.assert_allclose(cell(state, jnp.array([x])), state, atol=1e-10)


@pytest.mark.parametrize("harmonics", [[1.0], [1.0, 2.0], [0.2, 1.0, 0.5], [0.5, 0.0, 1.0]])
def test_the_rotation_number_is_the_curves_and_not_a_stronger_harmonics(harmonics):
    time = np.arange(2048)[:, None]
    states = sum(
        strength * np.cos(2 * np.pi * (k + 1) * (GOLDEN * time + [0.0, 0.17, 0.55, 0.71]))
        for k, strength in enumerate(harmonics)
    )
    assert rotation_number(states) == pytest.approx(GOLDEN, abs=1e-8)
    assert rotation_number(states + 5) == pytest.approx(GOLDEN, abs=1e-8)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2,\); expected \[runs, n\]"):
        find_attractors(lambda h, _: h, np.zeros(2))
    with pytest.raises(ValueError, match="NaN or infinity"):
        find_attractors(lambda h, _: h, np.full((1, 2), np.nan))
    with pytest.raises(ValueError, match=r"inputs has shape \(1, 1\); expected \[2, m\]"):
        find_attractors(lambda h, x: h, np.zeros((2, 2)), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="max_steps is 0"):
        find_attractors(lambda h, _: h, np.zeros((1, 2)), max_steps=0)
