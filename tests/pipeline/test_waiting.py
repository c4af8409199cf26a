"""Which jobs can start, compared with a search through all of them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dynatlas.pipeline.waiting import Waiting


@st.composite
def graphs(draw):
    """Jobs, each of which needs some earlier ones, in any order."""
    count = draw(st.integers(1, 12))
    needs = {str(job): {str(need) for need in range(job) if draw(st.booleans())} for job in range(count)}
    order = draw(st.permutations(list(needs)))
    return {name: needs[name] for name in order}


@settings(deadline=None)
@given(graphs(), st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_first_job_that_can_start_is_started(needs, random, workers):
    waiting, left, running, done = Waiting(needs), dict(needs), [], set()
    while left or running:
        assert len(waiting) == len(left)
        while len(running) < workers:
            expected = next((name for name, of_job in left.items() if of_job <= done), None)
            assert waiting.start() == expected
            if expected is None:
                break
            del left[expected]
            running.append(expected)
        ended = running.pop(random.randrange(len(running)))
        waiting.end(ended)
        done.add(ended)
    assert not waiting
    assert waiting.start() is None


def test_jobs_that_need_each_other_never_start():
    waiting = Waiting({"a": ["b"], "b": ["a"], "c": []})
    assert waiting.start() == "c"
    waiting.end("c")
    assert waiting.start() is None
    assert len(waiting) == 2
