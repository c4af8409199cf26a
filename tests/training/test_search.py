"""The search: what is drawn, who is kept, and that halving trains the beginnings of what random search trains."""

import jax
import numpy as np
import pytest
from scipy import stats

from dynatlas.study.settings import SEARCHED, Search
from dynatlas.training.search import run_search, samples, start_search
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")
STUDY = tiny_study(
    population={"seeds": 1},
    training={"iterations": 36, "batch_size": 8, "validation_interval": 5, "validation_trials": 16},
)
MEMBER = STUDY.members[0]
TASK = STUDY.tasks[0]
HALVING = Search(samples=9, factor=3)


def new_cell(key):
    return STUDY.cell(MEMBER.shape, key)


def searched(search, **options):
    return run_search(TASK, search, MEMBER, start_search(search, MEMBER, new_cell), **options)


@pytest.fixture(scope="module")
def halved():
    return searched(HALVING)


def assert_same_bits(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize(
    ("search", "iterations", "rungs"),
    [
        (Search(samples=16, factor=4), 4000, ((16, 250), (4, 1000), (1, 4000))),
        (Search(samples=9, factor=3), 36, ((9, 4), (3, 12), (1, 36))),
        (Search(samples=10, factor=4), 100, ((10, 6), (2, 25), (1, 100))),
        (Search(samples=7, method="random"), 100, ((7, 100),)),
        (Search(samples=64, factor=2), 3, ((64, 1), (32, 1), (16, 1), (8, 1), (4, 1), (2, 1), (1, 3))),
    ],
)
def test_rungs(search, iterations, rungs):
    assert search.rungs(iterations) == rungs


def test_samples_follow_their_distributions_and_do_not_depend_on_how_many_follow():
    many = samples(Search(samples=2000), MEMBER)
    assert many[:5] == samples(Search(samples=5), MEMBER)
    drawn = {name: np.array([getattr(sample, name) for sample in many]) for name in SEARCHED}
    uniforms = {
        "learning_rate": np.log(drawn["learning_rate"] / 1e-5) / np.log(0.1 / 1e-5),
        "decay_rate": (drawn["decay_rate"] - 0.1) / 0.8,
        "momentum": drawn["momentum"],
        "clip_norm": np.log(drawn["clip_norm"] / 0.1) / np.log(10 / 0.1),
    }
    for name, uniform in uniforms.items():
        assert stats.kstest(uniform, "uniform").pvalue > 0.01, name
    correlations = np.corrcoef(np.stack(list(uniforms.values())))
    assert np.abs(correlations - np.eye(4)).max() < 0.08


def test_every_configuration_has_samples_of_its_own():
    other = MEMBER._replace(id="0123456789abcdef")
    assert samples(HALVING, MEMBER)[0] != samples(HALVING, other)[0]


def test_the_worst_are_dropped_and_the_best_of_the_last_is_chosen(halved):
    at = {done: column for column, done in enumerate(halved.iterations)}
    assert set(at) >= {4, 12, 36}
    first, second = halved.validation_mse[:, at[4]], halved.validation_mse[:, at[12]]
    kept = np.argsort(first)[:3]
    assert set(np.flatnonzero(~np.isnan(second))) == set(kept)
    assert halved.chosen == kept[np.argmin(second[kept])]
    assert halved.alive.tolist() == [halved.chosen]
    trained = halved.iterations[halved.points - 1]
    assert sorted(trained.tolist()) == [4] * 6 + [12] * 2 + [36]


def test_halving_trains_the_beginning_of_what_random_search_trains_bit_for_bit(halved):
    whole = searched(HALVING.model_copy(update={"method": "random"}))
    assert whole.alive.tolist() == list(range(9))
    row = whole.alive.tolist().index(halved.chosen)
    assert_same_bits(
        jax.tree.map(lambda leaf: leaf[0], halved.block.fits.cell),
        jax.tree.map(lambda leaf: leaf[row], whole.block.fits.cell),
    )
    shared = np.intersect1d(halved.iterations, whole.iterations)
    halved_at = np.searchsorted(halved.iterations, shared)
    whole_at = np.searchsorted(whole.iterations, shared)
    seen, expected = halved.validation_mse[:, halved_at], whole.validation_mse[:, whole_at]
    alive = ~np.isnan(seen)
    assert alive.sum() > 9
    np.testing.assert_array_equal(seen[alive], expected[alive])


def test_a_search_that_was_cut_short_ends_the_same(halved):
    for stop_after in (4, 9, 12, 30):
        kept = []

        def stop(state, stop_after=stop_after, kept=kept):
            if state.block.done >= stop_after:
                kept.append(state)
                raise InterruptedError

        with pytest.raises(InterruptedError):
            searched(HALVING, between=stop)
        assert_same_bits(run_search(TASK, HALVING, MEMBER, kept[0]), halved)


def test_a_sample_that_diverged_is_not_chosen_however_small_its_error(halved):
    state = searched(Search(samples=3, method="random"))
    best = state.chosen
    fits = state.block.fits._replace(diverged_at=np.where(np.arange(3) == best, 7, -1).astype(np.int32))
    assert state._replace(block=state.block._replace(fits=fits)).chosen != best
