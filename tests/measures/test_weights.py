"""The distance of weights: the laws of a distance, and all reorderings of small networks tried in turn."""

import itertools

import numpy as np
import pytest

from dynatlas.measures.pairs import all_pairs
from dynatlas.measures.weights.distance import Weights
from support.weight_networks import (
    least_distance,
    moved,
    noisy,
    padded,
    random_network,
    shuffled,
    weights_only,
    with_flips,
)

GATES = [("candidate",), ("candidate", "update")]
gates_of = pytest.mark.parametrize("gates", GATES, ids=["vanilla", "gated"])
signed_or_not = pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])


@gates_of
@signed_or_not
@pytest.mark.parametrize("units", [1, 2, 7, 30])
def test_a_reordered_network_is_at_0_and_so_is_the_bound(gates, signed, units):
    for seed in range(3):
        network = random_network(units, seed, gates=gates, signed=signed)
        other, order, signs = shuffled(network, seed)
        assert Weights().between(network, other) < 1e-7
        assert Weights().lower_bound(network, other) == 0
        assert Weights().between(network, {name: 3 * block for name, block in weights_only(other).items()}) < 1e-7
        # ``other`` moved by what is found is the network itself.
        found, distance, _ = Weights().match(network, other)
        back = moved(other, found.order, found.signs)
        assert all(np.allclose(back[name], block, atol=1e-12) for name, block in network.items())
        np.testing.assert_array_equal(order[found.order], np.arange(units))
        np.testing.assert_array_equal(signs[found.order], found.signs)
        assert distance < 1e-7


@gates_of
@signed_or_not
def test_symmetric_to_the_last_bit_and_the_same_in_any_tile(gates, signed):
    networks = [random_network(units, units, gates=gates, signed=signed) for units in (5, 9, 9, 12)]
    networks += [noisy(networks[2], 0.5, 1), random_network(9, 7, gates=GATES[1], signed=not signed)]
    table = Weights().tile(networks, networks)
    np.testing.assert_array_equal(table, table.T)
    np.testing.assert_array_equal(np.diag(table), 0)
    for (i, first), (j, second) in itertools.combinations(enumerate(networks), 2):
        assert Weights().between(first, second) == table[i, j]
        assert 0 <= Weights().lower_bound(first, second) <= table[i, j]
        assert Weights().lower_bound(second, first) == Weights().lower_bound(first, second)
    np.testing.assert_array_equal(all_pairs(networks, Weights(), threads=2), table)


@gates_of
@signed_or_not
@pytest.mark.parametrize("units", [1, 2, 3, 4])
def test_all_reorderings_of_small_networks(gates, signed, units):
    for seed in range(6):
        first, second = (random_network(units, 10 * seed + k, gates=gates, signed=signed) for k in range(2))
        if seed % 2:
            second = noisy(shuffled(first, seed)[0], 0.6, seed)
        least = least_distance(first, second)
        assert Weights(starts=20).between(first, second) == pytest.approx(least, abs=1e-12)
        assert Weights().between(first, second) >= least - 1e-12
        assert Weights().lower_bound(first, second) <= least + 1e-12


@signed_or_not
def test_all_reorderings_of_five_units(signed):
    first, second = (random_network(5, seed, gates=GATES[1], signed=signed) for seed in range(2))
    least = least_distance(first, second)
    assert Weights(starts=20).between(first, second) == pytest.approx(least, abs=1e-12)


@gates_of
@signed_or_not
def test_the_minimum_is_a_metric(gates, signed):
    networks = [random_network(3, seed, gates=gates, signed=signed) for seed in range(4)]
    networks += [noisy(networks[0], size, 1) for size in (0.2, 0.4)]
    least = np.array([[least_distance(first, second) for second in networks] for first in networks])
    np.testing.assert_allclose(Weights(starts=20).tile(networks, networks), least, atol=1e-7)
    for i, j, k in itertools.product(range(len(networks)), repeat=3):
        assert least[i, j] <= least[i, k] + least[k, j] + 1e-12


@signed_or_not
def test_units_that_a_network_does_not_have_are_silent(signed):
    narrow, wide = random_network(3, 0, signed=signed), random_network(4, 1, signed=signed)
    assert Weights(starts=20).between(narrow, wide) == pytest.approx(least_distance(padded(narrow, 4), wide), abs=1e-12)
    assert Weights().between(padded(narrow, 6), narrow) < 1e-7
    assert Weights().lower_bound(narrow, wide) <= Weights().between(narrow, wide)
    found = Weights().match(narrow, padded(shuffled(narrow, 3)[0], 6))
    assert found[1] < 1e-7
    assert set(found[0].order[:3]) == {0, 1, 2}


def test_blocks_that_a_network_does_not_have_are_zeros():
    gated = random_network(4, 0, gates=GATES[1])
    plain = {name: block for name, block in gated.items() if "update" not in name}
    size, rest = (np.sqrt(sum((b**2).sum() for b in weights_only(one).values())) for one in (gated, plain))
    # The unit vectors of both have the product rest / size in the right order, and no reordering has a larger one.
    assert Weights().between(gated, shuffled(plain, 1)[0]) == pytest.approx(np.sqrt(2 - 2 * rest / size), abs=1e-9)
    first, second = {"units one": np.ones((3, 1))}, {"units two": np.ones((3, 1))}
    assert Weights().between(first, second) == pytest.approx(np.sqrt(2))
    # Another number of channels: the channels that are not there.
    wide = {"units one": np.array([[1.0, 2.0], [0.0, 2.0], [0.0, 0.0]])}
    narrow = {"units one": np.array([[0.0], [1.0], [0.0]])}
    assert Weights().between(wide, narrow) == pytest.approx(np.sqrt(2 - 2 / 3))


def test_signs_are_free_if_they_are_in_one_of_both_networks():
    rectified = random_network(4, 0, signed=False)
    odd = with_flips(random_network(4, 1, signed=False))
    other, _, signs = shuffled(with_flips(rectified), 2)
    assert (signs < 0).any()
    assert Weights().between(rectified, other) < 1e-7
    assert Weights().between(rectified, weights_only(other)) > 0.1
    assert Weights(starts=20).between(odd, rectified) == pytest.approx(least_distance(rectified, odd), abs=1e-12)


def test_blocks_of_one_name_that_change_sign_differently_are_two():
    block = np.array([[1.0], [2.0]])
    first = {"units a": block, "flips units a": np.array([1.0]), "units b": block, "flips units b": np.array([1.0])}
    second = first | {"flips units a": np.array([0.0])}
    # Half of the squared weights are shared.
    assert Weights().between(first, second) == pytest.approx(1)
    assert Weights().between(second, first) == Weights().between(first, second)


@signed_or_not
def test_a_planted_reordering_is_found_under_noise(signed):
    for seed in range(5):
        network = random_network(24, seed, signed=signed)
        other, order, _ = shuffled(network, seed)
        found, distance, bound = Weights().match(network, noisy(other, 0.5, seed))
        np.testing.assert_array_equal(order[found.order], np.arange(24))
        # √(2 − 2 cos) of the angle that the noise turns the weights by.
        assert distance == pytest.approx(np.sqrt(2 - 2 / np.sqrt(1.25)), abs=0.05)
        assert bound < distance


def test_more_starts_are_never_worse():
    for seed in range(4):
        first, second = (random_network(12, 2 * seed + k) for k in range(2))
        distances = [Weights(starts=starts).between(first, second) for starts in (1, 3, 10)]
        assert distances == sorted(distances, reverse=True)


def test_bad_options_and_weights():
    for option in ("starts", "steps"):
        for value in (0, 1.5, True, "2"):
            with pytest.raises(ValueError, match=rf"{option} is .*; expected a whole number of at least 1"):
                Weights(**{option: value})
    network = random_network(3, 0)
    with pytest.raises(ValueError, match="the weights have norm 0; expected a positive number"):
        Weights().between(network, {name: 0 * block for name, block in network.items()})
