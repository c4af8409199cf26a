"""Fixtures of this folder."""

from collections.abc import Iterator

import jax
import jaxtyping
import pytest


@pytest.fixture
def x64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture
def without_type_checks() -> Iterator[None]:
    """As a user runs the library: the test run's own checks would refuse the name before the library does."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
