"""Selections are even, and as small as they are asked to be."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dynatlas._util.selection import even_selection


@given(st.integers(0, 400), st.integers(1, 400))
def test_a_selection_is_in_order_even_and_has_both_ends(count, most):
    chosen = even_selection(range(count), most)
    assert len(chosen) == min(count, most)
    assert chosen == sorted(set(chosen))
    if most >= count:
        assert chosen == list(range(count))
    elif most > 1:
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        assert np.ptp(np.diff(chosen)) <= 1


def test_members_are_selected_by_their_places():
    letters = "abcdefghij"
    assert even_selection(letters, 4) == [letters[place] for place in even_selection(range(10), 4)]
    assert even_selection([], 3) == []
