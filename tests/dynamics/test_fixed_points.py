import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq, root

from dynatlas import find_fixed_points
from dynatlas.cells.architectures import GRU, LSTM, UGRNN, Vanilla
from dynatlas.cells.registry import CELLS
from support.known_networks import bistable_network, expected_unstable_counts

KEY = jax.random.key(0)
# Networks of one kind have this size, so that they share one compiled program.
UNITS = 16


def starts_for(cell, count=1024, scale=0.7, seed=0):
    return np.random.default_rng(seed).normal(size=(count, cell.initial_state.shape[0])) * scale


def search(cell, count=1024, **options):
    with jax.enable_x64(True):
        box = cell.box(jnp.zeros(1))
    return find_fixed_points(cell, starts_for(cell, count), np.zeros(1), box=box, key=KEY, **options)


@pytest.mark.parametrize("kind", [Vanilla, UGRNN, GRU, LSTM])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_finds_exactly_the_3_to_the_k_fixed_points_of_k_bistable_units(kind, k):
    points = search(bistable_network(kind, k, units=UNITS, seed=k))
    roots = points.roots()
    assert len(roots) == 3**k
    assert dict(zip(*np.unique(roots.n_unstable, return_counts=True), strict=True)) == expected_unstable_counts(k)
    assert points.index_sum == 1
    assert points.certificate == "complete"
    assert (roots.q <= 1e-20).all()


@pytest.mark.parametrize("kind", [Vanilla, UGRNN, GRU, LSTM])
def test_one_unit_alone(kind):
    """Its roots are 0 and ±r: r = tanh(2r), or for an LSTM h = tanh(c)/2 with c = tanh(2 tanh c)."""
    points = search(bistable_network(kind, 1, units=1, seed=0), count=64)
    expected = 0.9575040240772687
    if kind is LSTM:
        memory = brentq(lambda c: np.tanh(2 * np.tanh(c)) - c, 0.1, 1)
        expected = 0.5 * np.tanh(memory)
    np.testing.assert_allclose(points.roots().states[:, 0], [-expected, expected, 0], atol=1e-8)
    assert points.n_unstable.tolist() == [0, 0, 1]
    assert points.certificate == "complete"


def test_a_network_of_256_units():
    """One bistable unit drives a chain of contracting ones, which SciPy solves unit by unit."""
    units = 256
    random = np.random.default_rng(3)
    weights = np.tril(random.normal(size=(units, units)) / np.sqrt(units), -1)
    weights += np.diag([2.0, *random.uniform(-0.8, 0.8, units - 1)])
    expected = []
    for first in (-0.9575040240772687, 0.0, 0.9575040240772687):
        state = np.zeros(units)
        state[0] = first
        for unit in range(1, units):
            drive = weights[unit, :unit] @ state[:unit]
            state[unit] = brentq(lambda h, unit=unit, drive=drive: np.tanh(weights[unit, unit] * h + drive) - h, -1, 1)
        expected.append(state)
    shuffled = random.permutation(units)
    matrix = weights[np.ix_(shuffled, shuffled)]
    starts = np.repeat(np.array(expected)[:, shuffled], 3, axis=0) + 0.1 * random.normal(size=(9, units))
    cell = Vanilla(1, units, 1, key=KEY)
    with jax.enable_x64(True):
        cell = eqx.tree_at(lambda cell: cell.recurrent_weights, cell.astype(jnp.float64), jnp.asarray(matrix))
    points = find_fixed_points(cell, starts, np.zeros(1), box=(-1, 1), max_starts=96, key=KEY)
    assert points.certificate == "complete"
    assert points.n_unstable.tolist() == [0, 0, 1]
    found = points.states[np.argsort(points.states[:, np.argmin(shuffled)])]
    np.testing.assert_allclose(found, np.array(expected)[:, shuffled], atol=1e-8)


def test_a_defective_jacobian_stops_neither_the_search_nor_the_certificate():
    """At 0 of tanh(A h), A a Jordan block, both eigenvectors are one; from there two saddles and two attractors."""
    matrix = np.array([[2.0, 1.0], [0.0, 2.0]])
    points = find_fixed_points(
        lambda h, _: jnp.tanh(matrix @ h), np.random.default_rng(0).normal(size=(64, 2)), box=(-1, 1), key=KEY
    )
    second = 0.9575040240772687  # = tanh(2 · it)
    first = brentq(lambda h: np.tanh(2 * h + second) - h, -1, 1)
    expected = [[-first, -second], [first, second], [-second, 0], [second, 0], [0, 0]]
    np.testing.assert_allclose(points.states, expected, atol=1e-8)
    assert points.n_unstable.tolist() == [0, 0, 1, 1, 2]
    assert points.index.tolist() == [1, 1, -1, -1, 1]
    assert points.certificate == "complete"
    np.testing.assert_allclose(points.eigenvalues[-1], [2, 2], atol=1e-7)


def test_every_root_is_a_fixed_point_of_the_equations_written_out_by_hand():
    cell = bistable_network(UGRNN, 3, units=UNITS, seed=5)
    roots = search(cell).roots()
    candidate, update = np.split(np.asarray(cell.recurrent_weights), 2)
    for state in roots.states:
        gate = 1 / (1 + np.exp(-update @ state))
        np.testing.assert_allclose(gate * state + (1 - gate) * np.tanh(candidate @ state), state, atol=1e-10)


def test_eigenvalues_q_and_index_belong_to_the_point_returned():
    cell = bistable_network(GRU, 2, units=UNITS, seed=3)
    points = search(cell)
    with jax.enable_x64(True):
        for i, state in enumerate(points.states):
            jacobian = np.asarray(jax.jacfwd(lambda h: cell(h, jnp.zeros(1)))(jnp.asarray(state)))
            residual = np.asarray(cell(jnp.asarray(state), jnp.zeros(1))) - state
            assert points.q[i] == pytest.approx(0.5 * residual @ residual, abs=1e-30)
            expected = np.linalg.eigvals(jacobian)
            np.testing.assert_allclose(np.sort(np.abs(points.eigenvalues[i])), np.sort(np.abs(expected)), atol=1e-9)
            assert (np.diff(np.abs(points.eigenvalues[i])) <= 1e-12).all()
            assert points.index[i] == np.sign(np.linalg.det(np.eye(len(state)) - jacobian))
            assert points.n_unstable[i] == (np.abs(expected) > 1).sum()


def test_has_every_root_that_scipy_finds_from_the_same_starts():
    cell = bistable_network(Vanilla, 3, units=UNITS, seed=7)
    points = search(cell)
    weights = np.asarray(cell.recurrent_weights)
    found = 0
    for start in starts_for(cell)[:200]:
        solution = root(lambda h: np.tanh(weights @ h) - h, start, tol=1e-13)
        if solution.success and np.abs(solution.x).max() <= 1:
            found += 1
            assert np.linalg.norm(points.states - solution.x, axis=1).min() < 1e-6
    assert found > 100


def test_the_order_of_the_starts_does_not_matter():
    cell = bistable_network(UGRNN, 3, units=UNITS, seed=9)
    starts = starts_for(cell)
    shuffled = np.random.default_rng(1).permutation(starts)
    first, second = (find_fixed_points(cell, given, np.zeros(1), box=(-1, 1), key=KEY) for given in (starts, shuffled))
    np.testing.assert_allclose(first.states, second.states, atol=1e-9)


def test_searches_on_where_the_given_starts_miss_roots():
    cell = bistable_network(GRU, 3, units=UNITS, seed=11)
    lone = np.zeros((1, 16))  # the saddle in the middle: index −1
    alone = find_fixed_points(cell, lone, np.zeros(1), box=(-1, 1), max_starts=1, key=KEY)
    assert (len(alone), alone.index_sum, alone.certificate) == (1, -1, "incomplete")
    more = find_fixed_points(cell, lone, np.zeros(1), box=(-1, 1), key=KEY)
    assert len(more) == 27
    assert more.certificate == "complete"
    assert more.n_starts > 1


def test_a_false_root_of_a_saturated_gate_is_rejected_by_the_box():
    # Update gate σ(100·h): far out, F(h) = h to the last digit. The only true roots are 0 and ±root of h = tanh(2h).
    def step(h, _):
        gate = jax.nn.sigmoid(100 * jnp.abs(h) - 50)
        return gate * h + (1 - gate) * jnp.tanh(2 * h)

    starts = np.concatenate([np.linspace(-0.4, 0.4, 20), np.linspace(30, 40, 20)])[:, None]
    boxed = find_fixed_points(step, starts, box=(-1, 1), key=KEY)
    assert boxed.rejected["outside the box"] >= 20
    assert (np.abs(boxed.states) <= 1).all()


def test_a_gate_that_saturates_beyond_the_starts_gives_no_false_roots_where_no_box_is_known():
    """A relu unit whose gate is 1 to the last digit above 1.5, beside a unit with roots at ±0.2 (index sum 0)."""

    def step(state, inputs):
        gate = jax.nn.sigmoid(25 * state[0])
        return jnp.stack(
            [gate * state[0] + (1 - gate) * 0.5 * jax.nn.relu(state[0]), state[1] + 0.1 * (state[1] ** 2 - 0.04)]
        )

    assert step(jnp.array([3.0, 0.2]), None)[0] == 3.0
    starts = np.random.default_rng(0).uniform(-0.5, 0.5, size=(256, 2))
    points = find_fixed_points(step, starts, key=KEY, max_starts=4096)
    np.testing.assert_allclose(points.roots().states, [[0, -0.2], [0, 0.2]], atol=1e-9)
    assert points.rejected["shut gate"] > 0
    assert points.n_starts < 1500
    assert points.index_sum == 0


def test_roots_and_slow_points_are_kept_apart():
    # A saddle-node's ghost: h + ε + h² has no root, and q has its minimum ½ε² at 0.
    epsilon = 1e-5
    ghost = find_fixed_points(
        lambda h, _: h + epsilon + h**2, np.linspace(-0.2, 0.2, 50)[:, None], key=KEY, max_starts=50
    )
    assert ghost.is_slow.tolist() == [True]
    assert ghost.q[0] == pytest.approx(0.5 * epsilon**2, rel=1e-6)
    assert abs(ghost.states[0, 0]) < 1e-4
    assert ghost.index.tolist() == [0]
    assert len(ghost.roots()) == 0
    strict = find_fixed_points(
        lambda h, _: h + epsilon + h**2, np.linspace(-0.2, 0.2, 50)[:, None], slow_tol=1e-12, key=KEY, max_starts=50
    )
    assert len(strict) == 0
    assert strict.rejected["local minimum of q above slow_tol"] >= 40


def test_relu_network_with_hand_computed_points():
    # h1 = relu(2 h1 − 1) has the roots 0 (slope 0) and 1 (slope 2); h2 = relu(h1 − h2/2) then is 0 or 2/3.
    weights = jnp.array([[2.0, 0.0], [1.0, -0.5]])
    points = find_fixed_points(
        lambda h, x: jax.nn.relu(weights @ h + x),
        np.random.default_rng(0).uniform(0, 2, size=(200, 2)),
        np.array([-1.0, 0.0]),
        key=KEY,
    )
    np.testing.assert_allclose(points.states, [[0, 0], [1, 2 / 3]], atol=1e-12)
    assert points.n_unstable.tolist() == [0, 1]
    assert points.on_kink.tolist() == [
        True,
        False,
    ]  # at the first, h2 is on its kink: slope −½ on one side, 0 on the other
    assert points.index.tolist() == [1, -1]
    assert points.index_sum == 0  # for h1 → ∞ the map grows
    assert points.certificate == "complete"  # by enumeration


def test_a_root_on_a_kink_where_the_index_changes_has_none():
    # relu(2h): slope 2 above, 0 below; det(I − J) is −1 and 1.
    points = find_fixed_points(lambda h, _: 2 * jax.nn.relu(h), np.linspace(-1, 1, 20)[:, None], key=KEY)
    np.testing.assert_allclose(points.states, [[0]], atol=1e-12)
    assert points.on_kink.tolist() == [True]
    assert points.index.tolist() == [0]


def test_a_relu_network_in_which_excitation_dies_out_has_a_certificate():
    weights = np.array([[0.5, 0.0], [1.0, -0.5]])
    cell = Vanilla(1, 2, 1, "relu", key=KEY)
    with jax.enable_x64(True):
        cell = eqx.tree_at(
            lambda cell: (cell.recurrent_weights, cell.input_weights, cell.bias),
            cell.astype(jnp.float64),
            (jnp.asarray(weights), jnp.zeros((2, 1)), jnp.array([1.0, -1.0])),
        )
        box = cell.box(jnp.zeros(1))
    # h1 = h1/2 + 1 = 2; h2 = relu(2 − h2/2 − 1) = 2/3.
    points = find_fixed_points(cell, np.zeros((8, 2)), np.zeros(1), box=box, key=KEY)
    np.testing.assert_allclose(points.states, [[2, 2 / 3]], atol=1e-12)
    assert points.certificate == "complete"


def test_the_newton_step_sees_through_a_gate_that_is_all_but_shut():
    """F(h) − h = (1 − g)(tanh 2h − h) with 1 − g = 1e-9: a tiny q says nothing, the Newton step gives the distance."""

    def step(h, _):
        return h + 1e-9 * (jnp.tanh(2 * h) - h)

    points = find_fixed_points(step, np.linspace(-1, 1, 40)[:, None], box=(-1, 1), key=KEY)
    assert len(points.roots()) == 3
    assert (points.roots().newton_step < 1e-3).all()
    root = 0.957504024
    np.testing.assert_allclose(np.sort(points.roots().states[:, 0]), [-root, 0, root], atol=2e-3)


def test_gates_near_1_at_different_rates_hide_no_root():
    """Units that forget over 1 to 100,000 steps, mixed by a rotation: 27 roots, and the search reaches all of them."""
    rates = jnp.array([1.0, 1e-3, 1e-5])
    mix = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]

    def step(h, _):
        return h + rates * (mix @ jnp.tanh(3 * mix.T @ h) - h)

    starts = np.random.default_rng(1).normal(size=(256, 3))
    points = find_fixed_points(step, starts, key=KEY)
    assert len(points.roots()) == 27
    assert points.roots().index.sum() == 1
    assert (points.roots().hits > 1).all()


def test_coverage_counts_hits_of_roots():
    points = search(bistable_network(Vanilla, 2, units=UNITS, seed=1))
    assert points.coverage.share > 0.99
    assert points.coverage.expected == 9


def test_static_inputs_move_the_fixed_point():
    points = find_fixed_points(lambda h, x: 0.5 * h + x, np.zeros((4, 2)), np.array([1.0, -2.0]), key=KEY)
    np.testing.assert_allclose(points.states, [[2.0, -4.0]], atol=1e-12)
    np.testing.assert_allclose(points.eigenvalues, [[0.5, 0.5]])


def test_no_fixed_point_at_all_is_an_empty_answer():
    points = find_fixed_points(lambda h, _: h + 1.0, np.zeros((10, 3)), key=KEY, max_starts=100)
    assert len(points) == 0
    assert points.index_sum == 0
    assert points.certificate == "not certifiable"
    assert sum(points.rejected.values()) == points.n_starts


def test_a_nan_in_the_weights_is_counted_and_never_returned():
    points = find_fixed_points(lambda h, _: h * jnp.nan, np.zeros((10, 3)), key=KEY, max_starts=10)
    assert len(points) == 0
    assert points.rejected == {"not finite": 10}


def test_a_continuum_does_not_hold_up_the_search():
    project = jnp.array([[1.0, 0.0], [0.0, 0.5]])
    starts = np.random.default_rng(0).uniform(-0.5, 0.5, size=(300, 2))
    points = find_fixed_points(lambda h, _: project @ h, starts, box=(-1, 1), key=KEY)
    assert points.n_starts < 1000
    assert (points.roots().index == 0).all()
    assert points.certificate == "incomplete"


def test_a_continuum_is_known_by_few_roots_with_an_eigenvalue_of_1():
    """Closed in one direction, bistable in another: saddles between two lines of roots."""

    def step(h, _):
        return jnp.array([h[0], jnp.tanh(2 * h[1]), 0.5 * h[2]])

    starts = np.random.default_rng(0).normal(size=(64, 3))
    points = find_fixed_points(step, starts, key=KEY)
    assert len(points.roots()) >= 16
    assert points.n_starts < 1500
    assert points.cut == "a continuum of roots"
    assert "there are more roots than starts can count, as on a continuum" in points.reason


def test_many_isolated_roots_are_no_continuum():
    """Each of 81 roots is reached from few of 81 starts; none has an eigenvalue near 1."""
    starts = np.random.default_rng(0).uniform(-1, 1, size=(81, 4))
    points = find_fixed_points(lambda h, _: jnp.tanh(1.5 * h), starts, box=(-1, 1), key=KEY)
    assert len(points.roots()) == 81
    assert points.certificate == "complete"
    assert points.cut == ""


def test_a_line_of_fixed_points_has_no_certificate():
    project = jnp.array([[1.0, 0.0], [0.0, 0.5]])
    starts = np.random.default_rng(0).uniform(-0.5, 0.5, size=(30, 2))
    points = find_fixed_points(lambda h, _: project @ h, starts, box=(-1, 1), key=KEY, max_starts=60)
    assert len(points.roots()) > 10
    assert (points.q <= 1e-20).all()
    np.testing.assert_allclose(points.states[:, 1], 0, atol=1e-9)
    assert points.certificate == "incomplete"


def test_it_is_float64_whatever_jax_is_set_to():
    assert not jax.config.jax_enable_x64
    points = find_fixed_points(lambda h, _: jnp.cos(h), np.zeros((1, 1)), key=KEY)
    assert points.states.dtype == np.float64
    assert points.states[0, 0] == pytest.approx(0.7390851332151607, abs=1e-14)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((lambda h, _: h, np.zeros(3)), {}, r"initial_states has shape \(3,\); expected \[starts, n\]"),
        ((lambda h, _: h, np.zeros((0, 3))), {}, r"shape \(0, 3\)"),
        ((lambda h, _: h, np.full((2, 2), np.nan)), {}, "NaN or infinity in 2 of 2 rows"),
        ((lambda h, _: h[:1], np.zeros((2, 2))), {}, r"step returns shape \(1,\) for a state of shape \(2,\)"),
        ((lambda h, _: h.astype(jnp.float32), np.zeros((2, 2))), {}, "step returns float32 for a float64 state"),
        ((lambda h: h, np.zeros((2, 2))), {}, "could not be traced"),
        ((lambda h, _: h, np.zeros((2, 2))), {"box": (1, -1)}, "low ≥ high in 2 of 2 dimensions"),
        ((lambda h, _: 3 * h, np.ones((2, 2))), {"box": (-1, 1)}, "box is not invariant"),
        ((lambda h, _: h, np.zeros((2, 2))), {"tol": 1e-3}, "expected 0 < tol ≤ slow_tol"),
    ],
)
def test_bad_input_is_refused_with_what_was_seen(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        find_fixed_points(*arguments, key=KEY, **options)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("kind", ["vanilla", "ugrnn", "gru", "lstm"])
def test_a_network_with_nan_among_its_weights_has_no_roots_and_says_why(kind, activation):
    with jax.enable_x64(True):
        cell = CELLS[kind](1, UNITS, 1, activation, key=jax.random.key(0)).astype(float)
        cell = eqx.tree_at(lambda cell: cell.recurrent_weights, cell, cell.recurrent_weights.at[-1, 0].set(jnp.nan))
    points = search(cell, max_starts=1028)
    assert len(points) == 0
    assert points.rejected == {"not finite": points.n_starts}
    assert points.certificate != "complete"


@pytest.mark.parametrize(("n", "noise"), [(2, 0.05), (3, 0.05), (3, 0.2)])
def test_starts_on_a_face_that_the_map_keeps_to_do_not_hide_the_rest(n, noise):
    """With the last unit near its positive root, its face has an index sum and a Morse graph of its own."""
    random = np.random.default_rng(0)
    starts = random.uniform(-1, 1, (200, n))
    starts[:, -1] = np.clip(0.9575 + noise * random.normal(size=200), -1, 1)
    points = find_fixed_points(lambda h, x: jnp.tanh(2 * h), starts, box=(-1, 1), key=jax.random.key(0))
    assert len(points.roots()) == 3**n
    assert points.certificate == "complete"
