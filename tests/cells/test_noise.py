"""The fast Gaussian generator, against the normal distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from dynatlas.cells.architectures import LSTM, UGRNN, Vanilla
from dynatlas.cells.backpropagation import batch_outputs, batch_responses
from dynatlas.cells.cell import Cell
from dynatlas.cells.noise import COEFFICIENTS, gaussian
from dynatlas.cells.registry import CELLS

COUNT = 2_000_000
draw = jax.jit(gaussian, static_argnums=1)


@pytest.fixture(scope="module")
def samples():
    """Numbers of several keys [keys, count], in float64."""
    keys = [jax.random.key(seed) for seed in (0, 1)] + list(jax.random.split(jax.random.key(7), 2))
    return np.stack([np.asarray(draw(key, (COUNT,)), np.float64) for key in keys])


def test_the_map_from_sums_of_uniform_numbers_is_monotone_and_its_distribution_normal():
    """Exactly, by the distribution function of a sum of four uniform numbers."""
    sums = (np.arange(400_000) + 0.5) / 200_000
    above = np.maximum(2 - sums, 0)
    tail = (above**4 - 4 * np.maximum(above - 1, 0) ** 4) / 24
    values = sum(c * sums ** (2 * k + 1) for k, c in enumerate(COEFFICIENTS))
    assert (np.diff(values) > 0).all()
    assert np.abs(ndtr(values) - (1 - tail)).max() < 1.6e-4
    density = (above**3 - 4 * np.maximum(above - 1, 0) ** 3) / 6
    weights = density / density.sum()
    for power, moment, tolerance in ((2, 1, 1e-9), (4, 3, 1e-9), (6, 15, 1e-9), (8, 105, 2e-3)):
        assert (weights * values**power).sum() == pytest.approx(moment, rel=tolerance)


def test_moments_up_to_the_sixth_are_within_their_sampling_error(samples):
    variances = {1: 1, 2: 2, 3: 15, 4: 96, 5: 945, 6: 10170}  # of powers of a normal number
    moments = {1: 0, 2: 1, 3: 0, 4: 3, 5: 0, 6: 15}
    for values in samples:
        for power, variance in variances.items():
            score = (np.mean(values**power) - moments[power]) / np.sqrt(variance / COUNT)
            assert abs(score) < 4, power


def test_the_distribution_is_normal(samples):
    for values in samples:
        assert stats.kstest(values, "norm").pvalue > 1e-4


def test_numbers_at_any_lag_and_their_squares_are_uncorrelated(samples):
    for values in samples:
        squares = (values**2 - 1) / np.sqrt(2)
        for lag in (1, 2, 3, 4, 7, 8, 16, 32, 64, 100, 128, 4096, 6400, 65536, 409_600):
            for series in (values, squares):
                assert abs(np.mean(series[:-lag] * series[lag:])) * np.sqrt(COUNT - lag) < 4.5, lag


def test_pairs_of_neighbours_fill_the_plane_evenly(samples):
    """χ² of 32 × 32 equally likely cells of two neighbours, and of three in 8 × 8 × 8."""
    for values in samples:
        uniform = ndtr(values)
        for size, bins in ((2, 32), (3, 8)):
            place = (uniform[: COUNT // size * size].reshape(-1, size) * bins).astype(int)
            counts = np.bincount(np.ravel_multi_index(place.T, (bins,) * size), minlength=bins**size)
            expected = len(place) / bins**size
            assert stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), bins**size - 1) > 1e-4


def test_different_keys_give_independent_numbers(samples):
    products = samples @ samples.T / np.sqrt(COUNT)
    assert np.abs(products[~np.eye(len(samples), dtype=bool)]).max() < 4.5
    # Keys that follow each other, as iterations of a training do.
    keys = [jax.random.fold_in(jax.random.key(3), number) for number in range(200)]
    drawn = np.stack([np.asarray(draw(key, (1000,))) for key in keys]).astype(np.float64)
    scores = (drawn @ drawn.T / np.sqrt(1000))[~np.eye(200, dtype=bool)]
    assert abs(scores.std() - 1) < 0.05
    assert np.abs(scores).max() < 6
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 1e-4
    assert abs((drawn[:-1] * drawn[1:]).mean()) * np.sqrt(199_000) < 4.5


def test_bits_of_the_key_change_every_number():
    """Keys that differ in one bit are as independent as any."""
    base = np.asarray(jax.random.key_data(jax.random.key(5, impl="threefry2x32")))
    seen = []
    for bit in range(64):
        data = base.copy()
        data[bit // 32] ^= np.uint32(1 << (bit % 32))
        key = jax.random.wrap_key_data(jnp.asarray(data), impl="threefry2x32")
        seen.append(np.asarray(draw(key, (4096,)), np.float64))
    drawn = np.stack(seen)
    scores = (drawn @ drawn.T / 64)[~np.eye(64, dtype=bool)]
    assert np.abs(scores).max() < 5.5


def test_the_numbers_depend_on_the_key_and_not_on_what_is_drawn_beside_them():
    keys = jax.random.split(jax.random.key(1), 5)
    together = jax.jit(jax.vmap(lambda key: gaussian(key, (7, 3, 2))))(keys)
    one_by_one = jax.lax.map(lambda key: gaussian(key, (7, 3, 2)), keys)
    last_bit = {"rtol": 3e-7, "atol": 1e-9}  # products and sums may be fused
    np.testing.assert_allclose(together, one_by_one, **last_bit)
    for key, drawn in zip(keys, together, strict=True):
        np.testing.assert_allclose(gaussian(key, (7, 3, 2)), drawn, **last_bit)
        np.testing.assert_allclose(gaussian(key, (42,)), drawn.ravel(), **last_bit)
    with jax.enable_x64(True):
        wide = gaussian(keys[0], (7, 3, 2))
        assert wide.dtype == jnp.float32
        np.testing.assert_allclose(wide, together[0], **last_bit)


def test_one_key_has_a_limit():
    with pytest.raises(ValueError, match=r"shape is \(65536, 65537\), 4,295,032,832 numbers; expected at most"):
        gaussian(jax.random.key(0), (65536, 65537))


class Halved(Vanilla):
    """A user's cell without a registered derivative."""

    def combine(self, state, sums):
        return 0.5 * state + 0.5 * super().combine(state, sums)


@pytest.mark.parametrize("kind", [*CELLS.values(), Halved])
@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_noise_of_every_cell_is_that_of_a_loop_over_its_steps(kind, activation):
    """Here it is added to the drive U x + b of the candidate, and the gradient is that of JAX through the loop."""
    cell = kind(3, 6, 2, activation, key=jax.random.key(1))
    inputs, noise = jax.random.normal(jax.random.key(2), (5, 9, 3)), gaussian(jax.random.key(3), (9, 5, 6))

    def by_hand(cell):
        cell = cell.dense()
        states = jnp.broadcast_to(cell.initial_state, (5, len(cell.initial_state)))
        rates, outputs = [], []
        for step in range(9):
            drives = jax.vmap(cell.project)(inputs[:, step])
            drives = drives.at[:, cell.rows_of("candidate", 6)].add(noise[step])
            states = jax.vmap(cell.advance)(states, drives)
            rates.append(jax.vmap(cell.rates)(states))
            outputs.append(jax.vmap(cell.readout)(states))
        return jnp.stack(rates), jnp.stack(outputs)

    def loss(responses):
        return lambda cell: sum(jnp.sum(jnp.sin(part)) for part in responses(cell))

    def ours(cell):
        return batch_responses(cell, inputs, noise)

    for seen, expected in zip(ours(cell), by_hand(cell), strict=True):
        np.testing.assert_allclose(seen, expected, atol=2e-6)
    np.testing.assert_allclose(batch_outputs(cell, inputs, noise), by_hand(cell)[1], atol=2e-6)
    seen, expected = (jax.jit(jax.grad(loss(responses)))(cell) for responses in (ours, by_hand))
    for name in ("recurrent_weights", "input_weights", "bias", "initial_state", "readout_weights", "readout_bias"):
        wanted = np.asarray(getattr(expected, name))
        np.testing.assert_allclose(getattr(seen, name), wanted, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", CELLS.values())
def test_no_noise_is_the_program_without_noise(kind):
    cell, inputs = kind(3, 6, 2, key=jax.random.key(1)), jnp.ones((5, 9, 3))
    without = jax.make_jaxpr(lambda cell: batch_outputs(cell, inputs))(cell)
    assert str(jax.make_jaxpr(lambda cell: batch_outputs(cell, inputs, None))(cell)) == str(without)
    silent = batch_outputs(cell, inputs, jnp.zeros((9, 5, 6)))
    np.testing.assert_allclose(silent, batch_outputs(cell, inputs), atol=1e-6)


class Other(Cell):
    """Not a staged cell."""

    weights: jax.Array
    initial_state: jax.Array

    @property
    def units(self):
        return 2

    def __call__(self, state, inputs):
        return jnp.tanh(self.weights @ state)

    def readout(self, state):
        return state


class Driven(UGRNN):
    """A cell with a projection of its own."""

    def project(self, inputs):
        return 2 * super().project(inputs)


def test_noise_that_a_cell_cannot_take_is_refused():
    inputs, noise = jnp.zeros((4, 5, 3)), jnp.zeros((5, 4, 2))
    with pytest.raises(ValueError, match="noise for a Other, which does not derive from StagedCell; expected none"):
        batch_outputs(Other(jnp.eye(2), jnp.zeros(2)), inputs, noise)
    with pytest.raises(ValueError, match="noise for a Driven, whose step is not known to take it"):
        batch_outputs(Driven(3, 2, 1, key=jax.random.key(0)), inputs, noise)
    with pytest.raises(ValueError, match=r"noise has the shape \(5, 4, 2\); expected .*, here \(5, 4, 6\)"):
        batch_responses(LSTM(3, 6, 2, key=jax.random.key(0)), inputs, noise)
