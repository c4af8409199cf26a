import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynatlas.measures.pairs import all_pairs
from dynatlas.measures.spectra import DIRECTIONS, Spectrum, pack, spectrum_distance


def pairs(n, seed):
    """n conjugate pairs."""
    random = np.random.default_rng(seed)
    values = random.normal(size=n) + 1j * random.normal(size=n)
    return np.concatenate([values, values.conj()])


@pytest.mark.parametrize(("n", "m"), [(64, 64), (64, 96), (5, 7), (1, 864)])
def test_agrees_with_an_independent_computation(n, m):
    """By POT's one-dimensional solver, direction by direction, around the whole circle."""
    first, second = pairs(n, 0), 0.7 * pairs(m, 1)
    angles = (np.arange(4 * DIRECTIONS) + 0.5) * np.pi / (2 * DIRECTIONS)
    squares = [
        ot.wasserstein_1d(np.real(first * np.exp(-1j * a)), np.real(second * np.exp(-1j * a)), p=2) for a in angles
    ]
    assert spectrum_distance(first, second) == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-9)


@pytest.mark.parametrize("moved", [1.0, 1.5, 100.0])
def test_one_eigenvalue_among_many_is_seen(moved):
    """Of n eigenvalues one moves by s along the real axis, where it is the largest: W₂² is s² cos²θ / n."""
    values = np.linspace(-0.5, 0.5, 1728).astype(complex)
    other = np.append(values[:-1], moved)
    assert spectrum_distance(values, other) == pytest.approx((moved - 0.5) / np.sqrt(2 * 1728), rel=1e-9)


def test_a_shift_along_the_real_axis_costs_its_projections():
    # W₂ of a shift by s is s |cos θ|; the mean of cos² over (0, π/2) is ½.
    spectrum = pairs(20, 0)
    assert spectrum_distance(spectrum, spectrum + 0.3) == pytest.approx(0.3 / np.sqrt(2), abs=1e-12)


def test_number_and_order_do_not_matter():
    spectrum = pairs(16, 0)
    assert spectrum_distance(spectrum, np.random.default_rng(1).permutation(np.tile(spectrum, 4))) < 1e-12
    upper = spectrum[spectrum.imag > 0]
    assert spectrum_distance(spectrum, upper) < 1e-12  # the conjugates are added


@given(st.integers(0, 10_000), st.lists(st.integers(1, 40), min_size=3, max_size=3))
@settings(max_examples=40)
def test_triangle_inequality(seed, sizes):
    a, b, c = (pairs(n, seed + k) for k, n in enumerate(sizes))
    assert spectrum_distance(a, c) <= spectrum_distance(a, b) + spectrum_distance(b, c) + 1e-12


def test_over_conditions_it_is_the_root_mean_square():
    sets = [[pairs(8, 10 * network + condition) for condition in range(3)] for network in range(4)]
    reduced = [pack(conditions) for conditions in sets]
    matrix = all_pairs(reduced, Spectrum())
    expected = np.sqrt(np.mean([spectrum_distance(sets[3][k], sets[1][k]) ** 2 for k in range(3)]))
    assert matrix[3, 1] == pytest.approx(expected, abs=1e-12)
    assert Spectrum().between(reduced[3], reduced[1]) == pytest.approx(expected, abs=1e-12)


def test_quantiles_that_earlier_versions_stored_are_compared_with_eigenvalues():
    """They are the projections of a set of 256 values, divided by √(directions × values)."""
    spectra = [pairs(128, seed) for seed in range(2)]
    angles = (np.arange(DIRECTIONS) + 0.5) * (np.pi / 2) / DIRECTIONS
    sorted_values = [np.sort(np.real(one * np.exp(-1j * angles[:, None])), axis=1) for one in spectra]
    stored = [{"quantiles": one.ravel()[None] / np.sqrt(one.size)} for one in sorted_values]
    expected = spectrum_distance(*spectra)
    assert Spectrum().between(*stored) == pytest.approx(expected, rel=1e-12)
    assert Spectrum().between(stored[0], pack([spectra[1]])) == pytest.approx(expected, rel=1e-12)


def test_what_is_no_spectrum():
    with pytest.raises(ValueError, match="there are no eigenvalues"):
        spectrum_distance([], [1.0])
    with pytest.raises(ValueError, match="1 of 2 eigenvalues are not finite"):
        spectrum_distance([1.0, np.nan], [1.0])
