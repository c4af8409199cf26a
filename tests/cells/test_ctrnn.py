"""The leaky rate network: its equations, what constrains its weights, and what is known of its fixed points."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import brentq

from dynatlas import find_fixed_points
from dynatlas.cells import connectivity
from dynatlas.cells.architectures import Vanilla
from dynatlas.cells.backpropagation import batch_outputs, batch_responses
from dynatlas.cells.cell import leaf_name, map_fixed
from dynatlas.cells.checks import check_cell
from dynatlas.cells.connectivity import areas_of
from dynatlas.cells.ctrnn import CTRNN
from dynatlas.dynamics.completeness.reduction import find_reduction

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(4)
SETTINGS = {
    "plain": {},
    "tau of each unit": {"tau": [25.0, 200.0]},
    "learned tau": {"tau": [25.0, 200.0], "learn_tau": True},
    "rank": {"rank": 2},
    "rank and full rank": {"rank": 1, "full_rank_part": True, "gain": 0.8},
    "signs": {"excitatory": 0.7},
    "mask": {"density": 0.4},
    "areas and signs": {"density": 0.7, "areas": 2, "excitatory": 0.6, "initialization": "spectral_radius"},
}
every = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
forms = pytest.mark.parametrize("form", ["rates", "currents"])
PHI = {"tanh": np.tanh, "softplus": lambda a: np.log1p(np.exp(a)), "relu": lambda a: np.maximum(a, 0)}


def network(form, activation="tanh", units=8, **settings):
    """A network with biases and an initial state that are not 0, in the precision that is enabled."""
    cell = CTRNN(3, units, 2, activation, form=form, key=KEY, **settings)
    moved = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf + 0.1 if leaf_name(path) in ("bias", "initial_state", "readout_bias") else leaf, cell
    )
    return moved.astype(jnp.float64 if jax.config.jax_enable_x64 else jnp.float32)


def weights_by_hand(cell):
    """W, by the definition of each of its parts."""
    units = cell.units
    weights = np.zeros((units, units)) if cell.recurrent_weights is None else np.array(cell.recurrent_weights)
    for i in range(units):
        for j in range(units):
            if cell.left is not None:
                weights[i, j] += float(np.dot(cell.left[i], cell.right[j])) / units
            if cell.signs is not None:
                weights[i, j] = abs(weights[i, j]) * float(cell.signs[j])
            if cell.mask is not None and cell.mask[i, j] == 0:
                weights[i, j] = 0
    return weights


def by_hand(cell, inputs, noise=None):
    """States, rates and outputs of one trial."""
    phi, weights = PHI[cell.activation], weights_by_hand(cell)
    alpha = 1 / (1 + np.exp(-np.asarray(cell.leak))) if cell.learn_tau else np.asarray(cell.leak)
    state, found = np.asarray(cell.initial_state), []
    for step, given in enumerate(np.asarray(inputs)):
        drive = np.asarray(cell.input_weights) @ given + np.asarray(cell.bias)
        drive = drive if noise is None else drive + noise[step]
        if cell.form == "rates":
            state = rates = (1 - alpha) * state + alpha * phi(weights @ state + drive)
        else:
            state = (1 - alpha) * state + alpha * (weights @ phi(state) + drive)
            rates = phi(state)
        found.append((state, rates, np.asarray(cell.readout_weights) @ rates + np.asarray(cell.readout_bias)))
    return tuple(np.array(part) for part in zip(*found, strict=True))


@every
@forms
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_steps_are_those_of_the_equations(x64, form, settings, activation):
    cell = network(form, activation, **settings)
    inputs = np.random.default_rng(0).normal(size=(7, 3))
    states, rates, outputs = by_hand(cell, inputs)
    seen, shown = cell.respond(jnp.asarray(inputs))
    np.testing.assert_allclose(seen, states, atol=1e-13)
    np.testing.assert_allclose(shown, outputs, atol=1e-13)
    np.testing.assert_allclose(jax.vmap(cell.rates)(seen), rates, atol=1e-13)
    held = cell.under(jnp.asarray(inputs[0]))
    state = jnp.asarray(states[0])
    np.testing.assert_allclose(held(state, jnp.zeros(0)), cell(state, jnp.asarray(inputs[0])), atol=1e-13)


@every
@forms
def test_noise_is_added_inside_the_sums_by_the_fast_loop_too(x64, form, settings):
    cell = network(form, **settings)
    random = np.random.default_rng(1)
    inputs, noise = random.normal(size=(4, 10, 3)), random.normal(size=(10, 4, 8))
    rates, outputs = batch_responses(cell, jnp.asarray(inputs), jnp.asarray(noise))
    np.testing.assert_array_equal(batch_outputs(cell, jnp.asarray(inputs), jnp.asarray(noise)), outputs)
    for trial in range(4):
        _, expected_rates, expected = by_hand(cell, inputs[trial], noise[:, trial])
        np.testing.assert_allclose(rates[:, trial], expected_rates, atol=1e-13)
        np.testing.assert_allclose(outputs[:, trial], expected, atol=1e-13)


@every
@forms
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_gradients_are_finite_differences(x64, form, settings, activation):
    """Of a loss of rates and outputs, with noise, along random directions and along each leaf alone."""
    cell = network(form, activation, **settings)
    random = np.random.default_rng(2)
    inputs, noise = jnp.asarray(random.normal(size=(3, 10, 3))), jnp.asarray(0.5 * random.normal(size=(10, 3, 8)))

    @jax.jit
    def loss(cell):
        rates, outputs = batch_responses(map_fixed(jax.lax.stop_gradient, cell), inputs, noise)
        return jnp.sum(jnp.sin(outputs)) + jnp.sum(rates**2 * jnp.cos(jnp.arange(8.0)))

    gradient = jax.jit(jax.grad(loss))(cell)
    leaves, structure = jax.tree.flatten(cell)
    for number, leaf in enumerate(leaves):
        name = leaf_name(jax.tree_util.tree_flatten_with_path(cell)[0][number][0])
        by_leaf = np.asarray(jax.tree.leaves(gradient)[number])
        if name in cell.fixed_leaves:
            np.testing.assert_array_equal(by_leaf, 0)
            continue
        direction = random.normal(size=leaf.shape)
        if name == "recurrent_weights" and cell.mask is not None:
            direction = direction * np.asarray(cell.mask)  # |V| has a kink at 0
        ends = [
            loss(jax.tree.unflatten(structure, [*leaves[:number], leaf + step * direction, *leaves[number + 1 :]]))
            for step in (1e-6, -1e-6)
        ]
        expected = (float(ends[0]) - float(ends[1])) / 2e-6
        assert float((by_leaf * direction).sum()) == pytest.approx(expected, rel=1e-6, abs=1e-7), name
        assert np.abs(by_leaf).max() > 1e-3, name


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_without_a_leak_it_is_vanilla(activation):
    """Bit for bit step by step; compiled, the leak's product is fused, and the last digit may differ."""
    cell, vanilla = CTRNN(3, 8, 2, activation, dt=5.0, tau=5.0, key=KEY), Vanilla(3, 8, 2, activation, key=KEY)
    inputs = jax.random.normal(jax.random.key(1), (4, 9, 3))

    def loss(cell):
        return jnp.sum(jnp.sin(batch_outputs(cell, inputs)))

    for name in ("recurrent_weights", "input_weights", "bias", "initial_state", "readout_weights", "readout_bias"):
        np.testing.assert_array_equal(getattr(cell, name), getattr(vanilla, name))
    np.testing.assert_array_equal(cell.respond(inputs[0])[0], vanilla.respond(inputs[0])[0])
    with jax.enable_x64(True):
        wide = [jax.jit(batch_outputs)(one.astype(jnp.float64), inputs.astype(jnp.float64)) for one in (cell, vanilla)]
        np.testing.assert_allclose(*wide, rtol=1e-12, atol=1e-14)
    seen, expected = jax.jit(jax.grad(loss))(cell), jax.jit(jax.grad(loss))(vanilla)
    for name in ("recurrent_weights", "input_weights", "bias", "initial_state", "readout_weights", "readout_bias"):
        np.testing.assert_allclose(getattr(seen, name), getattr(expected, name), rtol=1e-6, atol=1e-6)
    with jax.enable_x64(True):
        box = zip(cell.box(inputs[0, 0]) or (), vanilla.box(inputs[0, 0]) or (), strict=True)
        assert all(np.array_equal(one, other) for one, other in box)


def test_the_first_weights_do_not_depend_on_what_constrains_them():
    plain, masked, ranked = (network("rates", **one) for one in ({}, {"density": 0.5}, {"rank": 1}))
    for name in ("input_weights", "readout_weights", "bias"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(masked, name))
        np.testing.assert_array_equal(getattr(plain, name), getattr(ranked, name))
    scale = 1 / np.sqrt(0.5)
    np.testing.assert_allclose(masked.recurrent_weights, scale * plain.recurrent_weights * masked.mask, rtol=1e-6)


@pytest.mark.parametrize("optimizer", [optax.adam(1e-2), optax.sgd(1e-2, momentum=0.9)])
@forms
def test_signs_and_masks_hold_while_the_weights_are_trained_and_decay(form, optimizer):
    cell = network(form, units=20, excitatory=0.75, density=0.5, areas=2)
    inputs = jax.random.normal(jax.random.key(1), (4, 9, 3))

    def loss(cell):
        cell = map_fixed(jax.lax.stop_gradient, cell)
        decay = 0.1 * optax.tree.norm(map_fixed(jnp.zeros_like, cell), squared=True)
        return jnp.mean((batch_outputs(cell, inputs) - 1) ** 2) + decay

    @jax.jit
    def improve(cell, state):
        updates, state = optimizer.update(jax.grad(loss)(cell), state, cell)
        return map_fixed(lambda _, before: before, optax.apply_updates(cell, updates), cell), state

    before, state = cell, optimizer.init(cell)
    for _ in range(30):
        cell, state = improve(cell, state)
    weights, mask, signs = (np.asarray(part) for part in (cell.connectivity(), cell.mask, cell.signs))
    assert np.abs(np.asarray(cell.recurrent_weights) - np.asarray(before.recurrent_weights)).max() > 0.05
    np.testing.assert_array_equal(mask, before.mask)
    assert (np.asarray(cell.recurrent_weights)[mask == 0] == 0).all()
    assert (weights[mask == 0] == 0).all()
    assert (weights * signs >= 0).all()
    assert (weights[:, signs > 0] > 0).any()
    assert (weights[:, signs < 0] < 0).any()
    np.testing.assert_array_equal(signs, [1] * 8 + [-1] * 2 + [1] * 8 + [-1] * 2)  # round(7.5) is 8
    assert (np.asarray(cell.readout_weights)[:, signs < 0] == 0).all()


def test_masks_have_the_densities_and_signs_the_balance_asked_for():
    cell = CTRNN(1, 400, 1, excitatory=0.8, density=0.6, areas=4, area_density=0.05, key=KEY)
    area = areas_of(400, 4)
    within = area[:, None] == area[None]
    mask, weights = np.asarray(cell.mask), np.asarray(cell.connectivity())
    assert mask[within].mean() == pytest.approx(0.6, abs=0.01)
    assert mask[~within].mean() == pytest.approx(0.05, abs=0.005)
    np.testing.assert_array_equal(np.bincount(area[np.asarray(cell.signs) > 0]), 80)
    # Each row sums to 0 up to the spread of its entries.
    sums, spread = weights.sum(axis=1), np.sqrt((weights**2).sum(axis=1))
    assert abs(sums.mean()) < 0.1 * spread.mean()
    assert (weights**2).sum(axis=1).mean() == pytest.approx(1, rel=0.1)


def test_the_spectral_radius_is_the_same_where_jax_has_no_eigenvalues():
    """As on accelerators, where the host computes them; inside of vmap, as for the networks of a block."""
    matrices = jax.random.normal(KEY, (3, 2, 5, 5), jnp.float32)
    on_host = jax.jit(jax.vmap(connectivity._radius_on_host))(matrices)
    np.testing.assert_allclose(on_host, connectivity.spectral_radius(matrices), rtol=1e-5)


@pytest.mark.parametrize(
    "settings", [{}, {"rank": 2}, {"excitatory": 0.8}, {"density": 0.3}, {"excitatory": 0.8, "areas": 2}]
)
def test_the_spectral_radius_is_exactly_the_gain(settings):
    cell = CTRNN(1, 60, 1, gain=1.3, initialization="spectral_radius", key=KEY, **settings)
    radius = np.abs(np.linalg.eigvals(np.asarray(cell.connectivity(), np.float64))).max()
    assert radius == pytest.approx(1.3, rel=2e-5)


def test_an_isolated_linear_unit_has_the_noises_standard_deviation_whatever_dt(x64):
    """Its variance is α² s²/(1 − (1 − α)²) with s the noise's scale: the recursion of v' = (1 − α)v + αsξ."""
    for form in ("rates", "currents"):
        for tau in (10.0, 40.0, 400.0):
            cell = CTRNN(1, 1, 1, "identity", dt=10.0, tau=tau, form=form, key=KEY).astype(jnp.float64)
            cell = eqx.tree_at(lambda cell: cell.recurrent_weights, cell, jnp.zeros((1, 1)))
            noise = np.asarray(cell.noise_scale) * np.random.default_rng(0).normal(size=(2000, 200, 1))
            rates, _ = jax.jit(batch_responses)(cell, jnp.zeros((200, 2000, 1)), jnp.asarray(noise))
            assert float(rates[1000:].std()) == pytest.approx(1, rel=0.02)
    assert float(cell.noise_scale[0]) == pytest.approx(np.sqrt((2 - 0.025) / 0.025), rel=1e-6)
    assert Vanilla(1, 1, 1, key=KEY).noise_scale == 1


@forms
def test_fixed_points_do_not_depend_on_dt(x64, form):
    """The roots by Newton's method of one α, and of another, from the same starts."""
    cells = [CTRNN(1, 12, 1, form=form, dt=dt, gain=2.0, key=KEY).astype(jnp.float64) for dt in (2.0, 90.0)]
    starts = np.random.default_rng(0).normal(size=(256, 12))
    found = [find_fixed_points(cell, starts, np.zeros(1), box=cell.box(jnp.zeros(1)), key=KEY) for cell in cells]
    one, other = (points.roots().states[np.lexsort(points.roots().states.round(6).T)] for points in found)
    assert len(one) > 1
    np.testing.assert_allclose(one, other, atol=1e-8)


@pytest.mark.parametrize(
    ("settings", "activation", "roots"),
    [
        ({"gain": 2.0, "initialization": "identity"}, "tanh", 27),  # three bistable units
        ({"gain": 2.0, "initialization": "identity", "tau": [25.0, 100.0]}, "tanh", 27),
        ({"gain": 0.4, "excitatory": 0.6}, "tanh", 1),
        ({"gain": 0.4, "density": 0.6}, "tanh", 1),
        ({"gain": 1.8, "rank": 1}, "sigmoid", 1),
    ],
)
@forms
def test_a_small_bounded_network_gets_a_complete_certificate(x64, form, settings, activation, roots):
    cell = CTRNN(1, 3, 1, activation, form=form, key=KEY, **settings).astype(jnp.float64)
    starts = np.random.default_rng(0).normal(size=(256, 3))
    points = find_fixed_points(cell.under(jnp.zeros(1)), starts, np.zeros(0), box=cell.box(jnp.zeros(1)), key=KEY)
    assert points.certificate == "complete"
    assert (len(points.roots()), points.index_sum) == (roots, 1)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "retanh"])
@pytest.mark.parametrize("settings", [{}, {"excitatory": 0.5}, {"rank": 2}])
@forms
def test_a_bounded_network_maps_its_box_into_itself(x64, form, settings, activation):
    random = np.random.default_rng(3)
    for gain in (0.1, 1.0, 10.0):
        cell = CTRNN(2, 6, 1, activation, form=form, gain=gain, dt=100.0, key=KEY, **settings).astype(jnp.float64)
        inputs = jnp.asarray(random.normal(size=2))
        low, high = map(np.asarray, cell.box(inputs))
        states = np.where(random.random((500, 6)) < 0.5, low, high)
        states[:200] = random.uniform(low, high, (200, 6))
        after = np.asarray(jax.vmap(cell, (0, None))(jnp.asarray(states), inputs))
        assert ((after >= low - 1e-12) & (after <= high + 1e-12)).all()
    unbounded = CTRNN(2, 6, 1, "softplus", form=form, key=KEY).astype(jnp.float64)
    assert unbounded.box(inputs) is None


@forms
def test_a_network_of_rank_one_has_the_roots_of_one_scalar_equation(x64, form):
    """κ = Nᵀφ(Mκ)/units with h = φ(Mκ), or v = Mκ; and the search finds the reduction by itself."""
    units = 96
    cell = CTRNN(1, units, 1, form=form, rank=1, key=KEY).astype(jnp.float64)
    left = np.asarray(cell.left)
    right = 1.8 * left + 0.3 * np.random.default_rng(0).normal(size=(units, 1))
    cell = eqx.tree_at(lambda cell: cell.right, cell, jnp.asarray(right))
    root = brentq(lambda kappa: (right[:, 0] * np.tanh(left[:, 0] * kappa)).mean() - kappa, 1e-3, 10)
    step, box = cell.under(jnp.zeros(1)), cell.box(jnp.zeros(1))
    starts = np.random.default_rng(1).normal(size=(64, units))
    reduction = find_reduction(step, starts, jnp.zeros(0), tuple(map(np.asarray, box)))
    assert reduction.basis.shape == (units, 1)
    assert float(reduction.rate) == pytest.approx(0.8, abs=1e-6)
    points = find_fixed_points(step, starts, np.zeros(0), box=box, key=KEY)
    assert points.certificate == "complete"
    assert points.n_unstable.tolist() == [0, 0, 1]
    expected = left[:, 0] * root if form == "currents" else np.tanh(left[:, 0] * root)
    seen = points.states[:2] * np.sign(points.states[:2] @ expected)[:, None]
    np.testing.assert_allclose(seen, np.stack([expected, expected]), atol=1e-8)


@every
@forms
def test_it_meets_what_is_asked_of_every_cell(form, settings):
    check_cell("ctrnn", partial(CTRNN, form=form, **settings), 3, 8, 2, "tanh")
    cell = network(form, **settings)
    names = {leaf_name(path) for path, _ in jax.tree_util.tree_flatten_with_path(cell)[0]}
    assert set(cell.fixed_leaves) <= names


def test_its_fast_gradient_meets_what_is_asked_of_a_registered_one():
    check_cell("ctrnn", CTRNN, 3, 8, 2, "softplus")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dt": 200.0}, "dt is 200 and tau 100: the Euler step overshoots"),
        ({"tau": [10.0, 50.0]}, "dt is 20 and tau 10: the Euler step overshoots"),
        ({"tau": [50.0, 30.0]}, r"tau is \[50.0, 30.0\]; expected \[low, high\], the smaller number first"),
        ({"tau": 20.0, "learn_tau": True}, "dt and tau are 20: a learned tau begins above dt"),
        ({"form": "voltage"}, "form is 'voltage'; expected rates or currents"),
        ({"rank": 9}, "rank is 9; expected 0 to 8"),
        ({"full_rank_part": True}, "full_rank_part is true and rank 0"),
        ({"rank": 1, "excitatory": 0.5}, "rank is 1 and excitatory set"),
        ({"rank": 1, "density": 0.5}, "rank is 1 and density set"),
        ({"excitatory": 0.99}, "excitatory is 0.99: of the 8 units of an area, 8 would be excitatory"),
        ({"density": 0.0}, "density is 0"),
        ({"areas": 9}, "areas is 9; expected 1 to 8"),
        ({"gain": -1.0}, "gain is -1.0; expected a positive number"),
        ({"initialization": "xavier"}, "initialization is 'xavier'; expected one of normal, orthogonal"),
        ({"initialization": "identity", "density": 0.5}, "initialization is 'identity', which a matrix with"),
    ],
)
def test_settings_that_make_no_network_are_refused(without_type_checks, settings, message):
    with pytest.raises(ValueError, match=message):
        CTRNN(3, 8, 2, key=KEY, **settings)
