"""Which jobs can start, compared with a search through all of them."""

from hypothesis import given
from hypothesis import strategies as st

from dynatlas.pipeline.pending import Pending


@st.composite
def graphs(draw):
    """Jobs, each of which needs some earlier ones, in any order."""
    count = draw(st.integers(1, 12))
    needs = {str(job): {str(need) for need in range(job) if draw(st.booleans())} for job in range(count)}
    order = draw(st.permutations(list(needs)))
    return {name: needs[name] for name in order}


@given(graphs(), st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_first_job_that_can_start_is_started(needs, random, workers):
    pending, left, running, done = Pending(needs), dict(needs), [], set()
    while left or running:
        assert len(pending) == len(left)
        while len(running) < workers:
            expected = next((name for name, of_job in left.items() if of_job <= done), None)
            assert pending.start() == expected
            if expected is None:
                break
            del left[expected]
            running.append(expected)
        ended = running.pop(random.randrange(len(running)))
        pending.end(ended)
        done.add(ended)
    assert not pending
    assert pending.start() is None


def test_jobs_that_need_each_other_never_start():
    pending = Pending({"a": ["b"], "b": ["a"], "c": []})
    assert pending.start() == "c"
    pending.end("c")
    assert pending.start() is None
    assert len(pending) == 2
