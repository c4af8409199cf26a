import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.randomness import uniform


@pytest.mark.parametrize("shape", [(), (1,), (7,), (100, 3), (3, 1, 5)])
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_it_is_jaxs_uniform_bit_by_bit(shape, seed):
    key = jax.random.key(seed, impl="threefry2x32")
    np.testing.assert_array_equal(uniform(key, shape), jax.random.uniform(key, shape, jnp.float32))


def test_also_over_a_batch_of_keys_and_under_x64():
    keys = jax.random.split(jax.random.key(3, impl="threefry2x32"), 16)
    expected = jax.vmap(lambda key: jax.random.uniform(key, (50, 2), jnp.float32))(keys)
    np.testing.assert_array_equal(jax.jit(jax.vmap(lambda key: uniform(key, (50, 2))))(keys), expected)
    with jax.enable_x64(True):
        wide = jax.vmap(lambda key: uniform(key, (50, 2)))(keys)
    assert wide.dtype == jnp.float32
    np.testing.assert_array_equal(wide, expected)


def test_keys_of_another_generator_are_left_to_jax():
    key = jax.random.key(0, impl="rbg")
    np.testing.assert_array_equal(uniform(key, (4,)), jax.random.uniform(key, (4,), jnp.float32))
