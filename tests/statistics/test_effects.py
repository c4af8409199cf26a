import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import silhouette_score

from dynatlas import permanova
from dynatlas.statistics.effects import decomposition, factor_effects, holm
from dynatlas.statistics.permanova import nearest_neighbour_accuracy


def study(seeds=4, architecture=2.0, activation=1.0, seed=0):
    """A balanced population in the plane: architectures along x, activations along y, seeds around."""
    random = np.random.default_rng(seed)
    labels = [(a, b) for a in ("gru", "lstm", "vanilla") for b in ("relu", "tanh") for _ in range(seeds)]
    places = [
        (architecture * ("gru", "lstm", "vanilla").index(a), activation * ("relu", "tanh").index(b)) for a, b in labels
    ]
    points = np.array(places) + 0.5 * random.normal(size=(len(labels), 2))
    names = {"architecture": [a for a, _ in labels], "activation": [b for _, b in labels], "units": [64] * len(labels)}
    return points, names


def test_each_number_is_that_of_its_own_function():
    points, labels = study()
    distances = squareform(pdist(points))
    rows = {row["factor"]: row for row in factor_effects(distances, labels, 199, 199)}
    assert list(rows) == ["architecture", "activation"]  # all have 64 units
    for factor, other in (("architecture", "activation"), ("activation", "architecture")):
        row = rows[factor]
        assert (row["r2"], row["p"]) == pytest.approx(permanova(distances, labels[factor], labels[other], 199))
        accuracy = nearest_neighbour_accuracy(distances, labels[factor], 199, strata=labels[other])
        assert (row["accuracy"], row["accuracy_p"]) == pytest.approx(accuracy)
        assert row["silhouette"] == pytest.approx(silhouette_score(distances, labels[factor], metric="precomputed"))
        for number in ("r2", "silhouette", "accuracy"):
            assert row[f"{number}_low"] <= row[number] <= row[f"{number}_high"]
        assert row["n_networks"] == 24
    assert rows["architecture"]["r2_chance"] == pytest.approx(2 / 23)
    assert rows["architecture"]["accuracy_chance"] == pytest.approx(7 / 23)
    assert rows["architecture"]["p_adjusted"] == max(2 * min(row["p"] for row in rows.values()), 0.01)


def test_chance_is_what_labels_at_random_give():
    points, labels = study()
    distances = squareform(pdist(points))
    row = factor_effects(distances, labels, 1, 2)[0]
    random = np.random.default_rng(0)
    shuffled = [random.permutation(labels["architecture"]) for _ in range(2000)]
    assert np.mean([permanova(distances, one, None, 1).r2 for one in shuffled]) == pytest.approx(
        row["r2_chance"], abs=0.004
    )
    accuracies = [nearest_neighbour_accuracy(distances, one, 1).accuracy for one in shuffled]
    assert np.mean(accuracies) == pytest.approx(row["accuracy_chance"], abs=0.01)


def test_parts_of_a_balanced_population_are_those_of_an_analysis_of_variance():
    points, labels = study(architecture=1.0)
    points[:4] += 0.7  # an interaction
    parts = {part["factor"]: part["r2"] for part in decomposition(squareform(pdist(points)), labels, 9)}
    assert list(parts) == ["architecture", "activation", "interactions", "seed"]
    assert sum(parts.values()) == pytest.approx(1)

    def explained(groups):
        """Sum of squares between the means of groups, over that of all."""
        means = np.array([points[[one == group for one in groups]].mean(axis=0) for group in groups])
        return ((means - points.mean(axis=0)) ** 2).sum() / ((points - points.mean(axis=0)) ** 2).sum()

    cells = list(zip(labels["architecture"], labels["activation"], strict=True))
    first, second = explained(labels["architecture"]), explained(labels["activation"])
    assert parts["architecture"] == pytest.approx(first)
    assert parts["activation"] == pytest.approx(second)
    assert parts["interactions"] == pytest.approx(explained(cells) - first - second)
    assert parts["seed"] == pytest.approx(1 - explained(cells))


def test_without_seeds_the_rest_is_put_down_to_them():
    points, labels = study(seeds=1)
    parts = {part["factor"]: part["r2"] for part in decomposition(squareform(pdist(points)), labels, 9)}
    assert list(parts) == ["architecture", "activation", "seed"]
    assert sum(parts.values()) == pytest.approx(1)


def test_nothing_to_explain():
    assert decomposition(np.zeros((4, 4)), {"architecture": list("aabb")}) == []
    assert decomposition(np.ones((2, 2)) - np.eye(2), {"architecture": list("aa")}) == []
    assert factor_effects(np.zeros((4, 4)), {"architecture": list("aabb")}) == []


def test_a_factor_that_another_one_tells_has_no_row():
    """Activation goes along with architecture: within an architecture there is nothing to exchange."""
    points, _ = study()
    labels = {"architecture": ["a"] * 12 + ["b"] * 12, "activation": ["x"] * 12 + ["y"] * 12}
    assert factor_effects(squareform(pdist(points)), labels, 9, 9) == []


@pytest.mark.parametrize(
    ("given", "corrected"),
    [([], []), ([0.2], [0.2]), ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]), ([0.6, 0.9], [1.0, 1.0])],
)
def test_holm_by_hand(given, corrected):
    assert holm(given) == pytest.approx(corrected)
