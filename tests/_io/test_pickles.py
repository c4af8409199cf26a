"""Pickles are looked at, and never unpickled."""

import pickle

import numpy as np
import pytest

from dynatlas._io.pickles import is_pickled_none


@pytest.mark.parametrize("protocol", range(1, 6))
def test_none_is_recognised_and_nothing_else(protocol):
    assert is_pickled_none(pickle.dumps(np.array(None), protocol))
    for other in (np.array(1, object), np.array([None, None], object), np.array("None", object), None, [None]):
        assert not is_pickled_none(pickle.dumps(other, protocol))
    assert not is_pickled_none(pickle.dumps(np.array(None), protocol)[:-1])
