"""Linear predictivity: how well each network's activity predicts the other's, on samples held out."""

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Final

import numpy as np
from jaxtyping import Float, Int

from dynatlas.measures.activity import on_unit_scale, principal_axes
from dynatlas.measures.alignment.fitted import Predictions
from dynatlas.measures.alignment.side import Side
from dynatlas.measures.measure import Measure, expected
from dynatlas.measures.pairs import Reduced

RIDGES: Final = 10.0 ** np.arange(-8, 3)  # times the largest eigenvalue of the predictor's XᵀX


@dataclass(frozen=True)
class Predictivity(Measure):
    """1 − (R²(X → Y) + R²(Y → X)) / 2, with R² of linear predictions on samples held out.

    R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)², summed over the units and the last share ``held_out`` of the samples. ŷ is the
    ridge regression, with an intercept, on the other samples. The ridge is the one of ``RIDGES`` with the least error
    under cross-validation over ``folds`` blocks of successive samples, so that neighbours in time are seldom on both
    sides. Each direction has its own.

    A distance from about 0, no metric; above 1 where predictions are worse than the mean. Unchanged by rotation and a
    common scale. It depends on the order of samples, as ``held_out`` of cca does.

    Source: Yamins et al. 2014 (linear predictivity); the mean over both directions makes it symmetric.
    """

    label: ClassVar[str] = "linear predictivity"
    held_out: Any = 0.2
    folds: Any = 5

    def __post_init__(self) -> None:
        is_share = isinstance(self.held_out, Real) and 0 < float(self.held_out) < 1
        expected("held_out", self.held_out, "a share in (0, 1)", is_share)
        is_count = isinstance(self.folds, Integral) and not isinstance(self.folds, bool) and int(self.folds) >= 2
        expected("folds", self.folds, "a whole number of at least 2", is_count)

    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """Return the activity along its principal axes, and what regressions on it need.

        The parts are the folds and, last, the samples held out; the regression of number s leaves out part s, and if it
        is a fold also the samples held out.

        - scores [samples, k]: centred in every part; means [parts, k]; counts [parts]
        - bases [parts, k, k], eigenvalues [parts, k]: of XᵀX of the samples of each regression
        - held [parts, k, k]: XᵀX of the samples that it predicts, in that basis; sizes [parts]: its trace
        """
        n_held = round(float(self.held_out) * len(activity))
        if n_held < 2 or len(activity) - n_held < 2 * int(self.folds):
            raise ValueError(
                f"held_out={self.held_out} and folds={self.folds} of {len(activity)} samples leave parts of less than "
                "2 samples"
            )
        scaled = on_unit_scale(activity)
        scores = scaled @ principal_axes(scaled)[1]
        scores = scores / np.linalg.norm(scores)
        parts = [*np.array_split(scores[: len(scores) - n_held], int(self.folds)), scores[len(scores) - n_held :]]
        means = np.stack([part.mean(axis=0) for part in parts])
        counts = np.array([len(part) for part in parts])
        parts = [part - mean for part, mean in zip(parts, means, strict=True)]
        own = np.stack([part.T @ part for part in parts])
        if np.trace(own[-1]) <= 1e-20 or np.trace(own[:-1].sum(axis=0)) <= 1e-20:
            raise ValueError("activity is constant over the samples that are held out, or over all others")
        bases, eigenvalues, held = [], [], []
        for fitted, predicted in _regressions(own, means, means, counts):
            values, basis = np.linalg.eigh(fitted)
            bases.append(basis)
            eigenvalues.append(np.maximum(values, 0))
            held.append(basis.T @ predicted @ basis)
        return {
            "scores": np.concatenate(parts),
            "means": means,
            "counts": counts,
            "bases": np.stack(bases),
            "eigenvalues": np.stack(eigenvalues),
            "held": np.stack(held),
            "sizes": np.trace(np.stack(held), axis1=1, axis2=2),
            "spread": np.asarray(np.trace(own[-1])),
        }

    def similarity(self, distance: float) -> float:
        """Return the mean R²."""
        return 1 - distance

    def align(self, X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"]) -> Predictions:
        """Fit the regressions in both directions, each with its ridge; all samples are folds."""
        if len(X) < 2 * int(self.folds):
            raise ValueError(f"folds={self.folds} of {len(X)} samples leave parts of less than 2 samples")
        first, second = Side.of(X), Side.of(Y)
        folds = int(self.folds)
        maps = (_weights(first.scaled, second.scaled, folds), _weights(second.scaled, first.scaled, folds))
        return Predictions((first.mean, second.mean), (first.scale, second.scale), maps)

    def between(self, first: Reduced, second: Reduced) -> float:
        """Predict each network from the other."""
        ends = np.cumsum(first["counts"])[:-1]
        pairs = zip(np.split(first["scores"], ends), np.split(second["scores"], ends), strict=True)
        crossed = np.stack([one.T @ other for one, other in pairs])
        forward = _explained(first, second, crossed)
        return float(1 - (forward + _explained(second, first, crossed.swapaxes(1, 2))) / 2)


def _weights(
    X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"], folds: int
) -> Float[np.ndarray, "units other_units"]:
    """Return the weights of the regression of Y on X, both centred, with the ridge that cross-validation chooses."""
    ridges = RIDGES * np.linalg.eigvalsh(X.T @ X)[-1]
    errors = np.zeros(len(ridges))
    for held in np.array_split(np.arange(len(X)), folds):
        fitted_X, fitted_Y = np.delete(X, held, axis=0), np.delete(Y, held, axis=0)
        mean, target = fitted_X.mean(axis=0), fitted_Y.mean(axis=0)
        for number, ridge in enumerate(ridges):
            weights = _ridge_regression(fitted_X - mean, fitted_Y - target, ridge)
            errors[number] += ((Y[held] - target - (X[held] - mean) @ weights) ** 2).sum()
    return _ridge_regression(X, Y, float(ridges[errors.argmin()]))


def _ridge_regression(
    X: Float[np.ndarray, "samples units"], Y: Float[np.ndarray, "samples other_units"], ridge: float
) -> Float[np.ndarray, "units other_units"]:
    return np.asarray(np.linalg.solve(X.T @ X + ridge * np.eye(X.shape[1]), X.T @ Y))


def _regressions(
    crossed: Float[np.ndarray, "parts k m"],
    means: Float[np.ndarray, "parts k"],
    other_means: Float[np.ndarray, "parts m"],
    counts: Int[np.ndarray, " parts"],
) -> Iterator[tuple[Float[np.ndarray, "k m"], Float[np.ndarray, "k m"]]]:
    """Yield XᵀY of the samples of each regression and of those that it predicts, both about the means of the former."""
    last = len(counts) - 1
    for part in range(last + 1):
        fitted = [other for other in range(last) if other != part]
        weights = counts[fitted][:, None]
        away, other_away = (
            of_parts - (weights * of_parts[fitted]).sum(axis=0) / weights.sum() for of_parts in (means, other_means)
        )
        yield (
            crossed[fitted].sum(axis=0) + (weights * away[fitted]).T @ other_away[fitted],
            crossed[part] + counts[part] * np.outer(away[part], other_away[part]),
        )


def _explained(predictor: Reduced, target: Reduced, crossed: Float[np.ndarray, "parts k m"]) -> float:
    """Compute R² on the samples held out, with the ridge that cross-validation chooses."""
    ridges = RIDGES * predictor["eigenvalues"][-1].max()
    errors = []
    regressions = _regressions(crossed, predictor["means"], target["means"], predictor["counts"])
    for part, (fitted, predicted) in enumerate(regressions):
        basis = predictor["bases"][part]
        # The weights are basis · diag(shrink) · along.
        along, beyond = basis.T @ fitted, basis.T @ predicted
        shrink = 1 / (predictor["eigenvalues"][part] + ridges[:, None])
        shared = (along * beyond).sum(axis=1)
        squares = predictor["held"][part] * (along @ along.T)
        errors.append(target["sizes"][part] - 2 * shrink @ shared + np.einsum("ri,ij,rj->r", shrink, squares, shrink))
    chosen = int(np.argmin(np.sum(errors[:-1], axis=0)))
    return float(1 - errors[-1][chosen] / target["spread"])
