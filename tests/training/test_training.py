import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.architectures import GRU
from dynatlas.study.settings import Training
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.training.fit import begin, clip_by_global_norm, train
from dynatlas.training.loss import VALIDATION_SEED, explained_variance, mean_squared_error
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")
TASK = FlipFlop(steps=8, channels=1)


def study_of(seeds):
    return tiny_study(
        tasks=[{"kind": "flip_flop", "steps": 8, "channels": 1}],
        population={"architectures": ["gru"], "units": [5], "l2": [1e-4], "seeds": seeds},
        training={"iterations": 30, "batch_size": 4, "validation_interval": 10, "validation_trials": 8},
    )


STUDY = study_of(seeds=3)
BLOCK, MEMBERS = next(iter(STUDY.blocks.items()))


def with_settings(members, **changes):
    return [member._replace(training=member.training.model_copy(update=changes)) for member in members]


def new_cell(key):
    return STUDY.cell(BLOCK, key)


def trained(members, **options):
    start = begin(members, new_cell)
    return train(TASK, members, start, until=members[0].training.iterations, **options)


def weights_of(state, row):
    return jax.tree.map(lambda leaf: leaf[row], state.fits.cell)


def assert_same_bits(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_follows_the_update_rule_written_out_by_hand(optimizer):
    settings = Training(
        optimizer=optimizer,
        iterations=6,
        batch_size=4,
        learning_rate=0.05,
        decay_rate=0.5,
        decay_steps=3,
        momentum=0.8,
        clip_norm=0.2,
        validation_interval=6,
        validation_trials=4,
    )
    member = MEMBERS[0]._replace(training=settings)
    cell = STUDY.cell(BLOCK, member.key("weights"))
    l2 = np.float32(member.l2)

    def loss(cell, trials):
        penalty = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(cell))
        errors = [
            (cell.readout(state) - target) ** 2
            for inputs, targets in zip(*trials, strict=True)
            for state, target in zip(cell.run(inputs), targets, strict=True)
        ]
        return jnp.mean(jnp.stack(errors)) + l2 * penalty

    gradient_of_loss = jax.jit(jax.grad(loss))
    leaves, tree = jax.tree.flatten(cell)
    weights = [np.asarray(leaf, np.float64) for leaf in leaves]
    first = [np.zeros_like(leaf) for leaf in weights]
    second = [np.zeros_like(leaf) for leaf in weights]
    for s in range(6):
        trials = TASK.trials(jax.random.fold_in(member.key("trials"), s), 4)
        now = jax.tree.unflatten(tree, [jnp.asarray(leaf, jnp.float32) for leaf in weights])
        gradient = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(gradient_of_loss(now, trials))]
        norm = np.sqrt(sum((leaf**2).sum() for leaf in gradient))
        gradient = [leaf * min(1, 0.2 / norm) for leaf in gradient]
        rate = 0.05 * 0.5 ** (s / 3)
        for i, g in enumerate(gradient):
            if optimizer == "sgd":
                first[i] = 0.8 * first[i] + g
                weights[i] = weights[i] - rate * first[i]
            else:
                first[i] = 0.9 * first[i] + 0.1 * g
                second[i] = 0.999 * second[i] + 0.001 * g**2
                step = (first[i] / (1 - 0.9 ** (s + 1))) / (np.sqrt(second[i] / (1 - 0.999 ** (s + 1))) + 1e-8)
                weights[i] = weights[i] - rate * step
    result = trained([member])
    for leaf, expected in zip(jax.tree.leaves(weights_of(result, 0)), weights, strict=True):
        np.testing.assert_allclose(leaf, expected, atol=2e-5)


def test_a_member_does_not_depend_on_its_block():
    together = trained(MEMBERS)
    for row, member in enumerate(MEMBERS):
        assert_same_bits(weights_of(together, row), weights_of(trained([member]), 0))
    assert_same_bits(weights_of(together, 0), weights_of(trained(MEMBERS[::-1]), 2))


def test_where_validation_cuts_the_training_does_not_matter():
    whole = trained(MEMBERS)
    cut = trained(with_settings(MEMBERS, validation_interval=7))
    assert cut.iterations.tolist() == [7, 14, 21, 28, 30]
    assert_same_bits(whole.fits.cell, cut.fits.cell)


def test_a_member_that_diverges_is_frozen_and_the_other_fifteen_do_not_change_by_a_bit():
    many = study_of(seeds=16).members
    poisoned = list(many)
    poisoned[5:6] = with_settings(many[5:6], learning_rate=1e30, clip_norm=1e30)
    clean, mixed = trained(many), trained(poisoned)
    assert (clean.fits.diverged_at == -1).all()
    assert mixed.fits.diverged_at[5] >= 0
    assert np.delete(mixed.fits.diverged_at, 5).tolist() == [-1] * 15
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(weights_of(mixed, 5)))
    for row in range(16):
        if row != 5:
            assert_same_bits(weights_of(clean, row), weights_of(mixed, row))
            np.testing.assert_array_equal(clean.training_loss[row], mixed.training_loss[row])


def test_a_diverged_member_stays_at_its_last_finite_state():
    poisoned = with_settings(MEMBERS[:1], learning_rate=1e30, clip_norm=1e30)
    at = int(trained(poisoned).fits.diverged_at[0])
    before = train(TASK, poisoned, begin(poisoned, new_cell), until=at) if at else begin(poisoned, new_cell)
    assert_same_bits(weights_of(before, 0), weights_of(trained(poisoned), 0))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_that_was_left_and_taken_up_ends_the_same(optimizer):
    members = with_settings(MEMBERS, optimizer=optimizer)
    whole = trained(members)
    for cut in (1, 10, 17, 29):
        part = train(TASK, members, begin(members, new_cell), until=cut)
        leaves, structure = jax.tree.flatten(part)
        stored = jax.tree.unflatten(structure, [np.array(leaf) for leaf in leaves])
        again = train(TASK, members, stored, until=30)
        assert_same_bits(whole.fits.cell, again.fits.cell)
        assert_same_bits(whole.fits.optimizer, again.fits.optimizer)


def test_a_stop_between_two_validations_leaves_no_trace_in_the_curves(monkeypatch):
    monkeypatch.setattr("dynatlas.training.fit.SEGMENT_SECONDS", 1e-9)  # looks up after every iteration
    whole, kept = trained(MEMBERS), []

    def stop(state):
        if state.done == 14:
            kept.append(state)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trained(MEMBERS, between=stop)
    assert_same_bits(train(TASK, MEMBERS, kept[0], until=30), whole)


def test_lanes_agree_with_one_after_the_other_and_keep_members_independent():
    alone, two_lanes = trained(MEMBERS), trained(MEMBERS, lanes=2)
    for first, second in zip(jax.tree.leaves(alone.fits.cell), jax.tree.leaves(two_lanes.fits.cell), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)
    # Among lanes of the same width a member's bits depend on itself alone; the third is filled up with its own copy.
    reordered = trained(MEMBERS[::-1], lanes=2)
    for row in range(3):
        assert_same_bits(weights_of(two_lanes, row), weights_of(reordered, 2 - row))


def test_training_learns_and_reports_the_held_out_error():
    seen = []
    members = with_settings(MEMBERS[:1], optimizer="adam", iterations=600, learning_rate=0.02, validation_interval=200)
    result = trained(members, between=lambda state: seen.append(state.done))
    assert seen == sorted(set(seen))
    assert seen[-1] == 600
    assert result.iterations.tolist() == [200, 400, 600]
    assert result.validation_mse[0, -1] < 0.1 * result.validation_mse[0, 0]
    held_out = TASK.trials(jax.random.key(VALIDATION_SEED), members[0].training.validation_trials)
    mse = float(mean_squared_error(jax.tree.map(jnp.asarray, weights_of(result, 0)), held_out))
    assert result.validation_mse[0, -1] == pytest.approx(mse, rel=1e-5)
    r2 = explained_variance(TASK, members[0].training, result.validation_mse[:, -1])[0]
    assert r2 == pytest.approx(1 - mse / float(np.var(held_out.targets)), rel=1e-5)


def test_the_penalty_is_in_the_training_loss_and_not_in_the_error():
    light, heavy = trained(MEMBERS[:1]), trained([MEMBERS[0]._replace(l2=0.1)])
    assert heavy.training_loss[0, 0] > light.training_loss[0, 0] + 0.1
    assert heavy.validation_mse[0, 0] < light.training_loss[0, 0] + 0.5


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e10, 1e25, 1e37])
def test_clipping_keeps_the_direction_of_gradients_of_any_size(size):
    gradient = {"a": jnp.full(3, size, jnp.float32), "b": jnp.full((2, 2), -size, jnp.float32)}
    clipped, _ = clip_by_global_norm(jnp.float32(0.5)).update(gradient, None)
    expected = min(0.5, size * np.sqrt(7)) / np.sqrt(7)
    np.testing.assert_allclose(clipped["a"], expected, rtol=1e-5)
    np.testing.assert_allclose(clipped["b"], -expected, rtol=1e-5)


def test_clipping_a_zero_gradient_gives_zero():
    clipped, _ = clip_by_global_norm(jnp.float32(0.5)).update({"a": jnp.zeros(3)}, None)
    assert clipped["a"].tolist() == [0, 0, 0]


def test_gradient_of_the_loss_matches_finite_differences():
    with jax.enable_x64(True):
        cell = GRU(1, 4, 1, key=jax.random.key(0)).astype(jnp.float64)
        trials = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), TASK.trials(jax.random.key(1), 3))
        error = jax.jit(mean_squared_error)
        gradient = jax.jit(jax.grad(mean_squared_error))(cell, trials)
        random = np.random.default_rng(0)
        direction = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), cell)

        def moved(step):
            return float(error(jax.tree.map(lambda w, d: w + step * d, cell, direction), trials))

        along = sum(jax.tree.leaves(jax.tree.map(lambda g, d: float(jnp.sum(g * d)), gradient, direction)))
        assert along == pytest.approx((moved(1e-6) - moved(-1e-6)) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("lanes", [1, 2])
def test_snapshots_are_the_weights_of_a_shorter_training_and_change_nothing(lanes):
    plain = trained(MEMBERS, lanes=lanes)
    followed = trained(MEMBERS, lanes=lanes, snapshots=(0, 1, 7, 10, 30))
    assert_same_bits(followed.fits, plain.fits)
    np.testing.assert_array_equal(followed.validation_mse, plain.validation_mse)
    np.testing.assert_array_equal(followed.training_loss, plain.training_loss)
    for place, iteration in enumerate((0, 1, 7, 10, 30)):
        shorter = begin(MEMBERS, new_cell)
        if iteration:
            shorter = train(TASK, MEMBERS, shorter, until=iteration, lanes=lanes)
        assert_same_bits(jax.tree.map(lambda leaf, at=place: leaf[:, at], followed.snapshots), shorter.fits.cell)


def test_snapshots_of_a_resumed_training_are_those_of_an_uninterrupted_one():
    class StoppedError(Exception):
        pass

    whole = trained(MEMBERS, snapshots=(0, 3, 12, 20))
    kept = []

    def between(state):
        kept.append(state)
        if state.done >= 12:
            raise StoppedError

    with pytest.raises(StoppedError):
        trained(MEMBERS, snapshots=(0, 3, 12, 20), between=between)
    resumed = train(TASK, MEMBERS, kept[-1], until=30, snapshots=(0, 3, 12, 20))
    assert_same_bits(resumed.snapshots, whole.snapshots)
    assert_same_bits(resumed.fits, whole.fits)
