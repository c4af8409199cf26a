"""A measure as an object with ``fit`` and ``score``, as scikit-learn has them."""

from dataclasses import fields
from typing import Any

import numpy as np
from jaxtyping import Float

from dynatlas._util.arrays import ArrayLike
from dynatlas.measures.alignment.fitted import CommonSpace, Fitted
from dynatlas.measures.distances import checked_activities, chosen_measure, distance_by
from dynatlas.measures.registry import measure_of


class Alignment:
    """A measure that is fitted to some samples of two networks and compares them on others.

    ``distance`` aligns two activities and compares them on the same samples, and with few samples the alignment alone
    brings any networks near each other. Here ``fit`` finds the alignment, and ``distance`` and ``score`` use it on
    samples that it has not seen:

    - procrustes: the means, the rotation and the partial whitening (``alpha``). Directions without activity in the
      fitted samples are aligned with nothing: their activity counts as a difference, times ``alpha``.
    - svcca, pwcca, cca: the canonical directions, and the weights of pwcca. The distance is 1 − the mean of the
      correlations along them; of cca that is the distance of its option ``held_out``.
    - soft_matching: the means, and the assignment of units.
    - predictivity: the regressions in both directions, with their ridges.
    - cka, rbf_cka, rsa, dsa, input_dsa and registered measures without ``Measure.align`` align nothing: ``fit`` checks
      its arguments and keeps the numbers of units, and a distance depends on the samples that are passed to it only.

    On the samples of the fit, ``distance`` returns what ``dynatlas.distance`` does, except for cca, which correlates
    directions, and predictivity, whose folds are then all samples. Fitted to the first part of the samples and passed
    the rest, these two return what ``dynatlas.distance`` does with that share ``held_out``.

    ``score`` is the similarity, not the distance: scikit-learn takes the larger score for the better one. ``clone``,
    ``cross_val_score`` and ``GridSearchCV`` of scikit-learn take an ``Alignment``, which does not need scikit-learn.

    Args:
        measure: a name in ``MEASURES``, or a registered one.
        options: of the measure.

    Attributes:
        measure: name of the measure.
        fitted_: what ``fit`` found; None for a measure that aligns nothing.
        n_units_: numbers of units of X and of Y.

    Raises:
        ValueError: unknown measure or option.

    Example:
        Y is a rotated X, with noise. In 40 samples of 20 units, unrelated activity looks alike where it is fitted:

        >>> random = np.random.default_rng(0)
        >>> X, noise = random.normal(size=(2, 60, 20))
        >>> Y = X @ np.linalg.qr(random.normal(size=(20, 20)))[0] + 0.1 * random.normal(size=(60, 20))
        >>> for other in (Y, noise):
        ...     found = Alignment("procrustes").fit(X[:40], other[:40])
        ...     print(round(found.score(X[:40], other[:40]), 2), round(found.score(X[40:], other[40:]), 2))
        1.0 0.99
        0.54 0.03

    Source: netrep (Williams et al. 2021), whose ``score`` is the distance; the interface is that of scikit-learn.
    """

    measure: str
    fitted_: Fitted | None
    n_units_: tuple[int, int]

    def __init__(self, measure: str = "svcca", **options: Any) -> None:
        self.measure = measure
        self._chosen = measure_of(measure, options)

    def fit(self, X: ArrayLike, Y: ArrayLike, *, inputs: ArrayLike | None = None) -> "Alignment":
        """Fit the alignment of two networks' activities on the same samples.

        Args:
            X: as in ``dynatlas.distance``.
            Y: the same samples in the same order.
            inputs: as in ``dynatlas.distance``.

        Returns:
            The object itself.

        Raises:
            ValueError: as in ``dynatlas.distance``; cca with ``held_out``.
        """
        first, second = self._both(X, Y, inputs)
        self.fitted_ = self._chosen.align(first, second)
        self.n_units_ = (first.shape[-1], second.shape[-1])
        return self

    def distance(self, X: ArrayLike, Y: ArrayLike, *, inputs: ArrayLike | None = None) -> float:
        """Return the distance between two activities on other samples, aligned as ``fit`` found.

        Args:
            X: as in ``fit``, on other samples.
            Y: the same samples in the same order.
            inputs: as in ``fit``.

        Raises:
            ValueError: as in ``fit``; ``fit`` was not called; other numbers of units than there.
        """
        fitted, first, second = self._compared(X, Y, inputs)
        if fitted is None:
            return distance_by(self._chosen, X, Y, inputs, stacklevel=4)
        return max(fitted.distance(first, second), 0.0)

    def score(self, X: ArrayLike, Y: ArrayLike, *, inputs: ArrayLike | None = None) -> float:
        """Return the similarity of two activities on other samples, as ``dynatlas.similarity`` has it of ``distance``.

        It can be negative: what was aligned may be opposite on other samples.

        Args:
            X: as in ``distance``.
            Y: as in ``distance``.
            inputs: as in ``distance``.

        Raises:
            ValueError: as in ``distance``; the measure has no similarity.
        """
        self._chosen.similarity(0.0)  # refuses a measure that has none before anything is computed
        return self._chosen.similarity(self.distance(X, Y, inputs=inputs))

    def transform(
        self, X: ArrayLike, Y: ArrayLike
    ) -> tuple[Float[np.ndarray, "samples k"], Float[np.ndarray, "samples k"]]:
        """Return both activities in the space in which they are aligned.

        Args:
            X: as in ``distance``.
            Y: as in ``distance``.

        Returns:
            Two arrays [samples, k]: for procrustes, activity after the rotation; for svcca, pwcca and cca, the
            canonical variables; for soft_matching, the matched units, times the square roots of their shares. In the
            samples of the fit each array of procrustes (unless ``euclidean``) and soft_matching has norm 1.

        Raises:
            ValueError: as in ``distance``; the measure has no common space, as predictivity and those that align
                nothing.
        """
        fitted, first, second = self._compared(X, Y, None)
        if not isinstance(fitted, CommonSpace):
            raise ValueError(f"{self.measure} maps activity into no common space; there is nothing to transform")
        return fitted.transform(first, second)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the measure and all its options by name, as scikit-learn asks for them.

        Args:
            deep: without effect, as no option is an estimator.
        """
        del deep
        return {"measure": self.measure, **self._options()}

    def set_params(self, **params: Any) -> "Alignment":
        """Set options, or another measure with its options; what was fitted is dropped.

        Args:
            params: by name.

        Raises:
            ValueError: unknown measure or option.
        """
        options = dict(params)
        measure = options.pop("measure", self.measure)
        if measure == self.measure:
            options = {**self._options(), **options}
        self._chosen = measure_of(measure, options)
        self.measure = measure
        self.__dict__.pop("fitted_", None)
        return self

    def __repr__(self) -> str:
        defaults = {field.name: field.default for field in fields(self._chosen)}  # type: ignore[arg-type]
        own = [f", {name}={value!r}" for name, value in self._options().items() if value != defaults[name]]
        return f"Alignment({self.measure!r}{''.join(own)})"

    def __sklearn_tags__(self) -> Any:  # only scikit-learn calls it, which is then imported
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=True, multi_output=True, single_output=False),
            input_tags=InputTags(three_d_array=self._chosen.needs_trials),
        )

    def _options(self) -> dict[str, Any]:
        return {field.name: getattr(self._chosen, field.name) for field in fields(self._chosen)}  # type: ignore[arg-type]

    def _both(self, X: ArrayLike, Y: ArrayLike, inputs: ArrayLike | None) -> tuple[Any, Any]:
        chosen = chosen_measure(self.measure, self._options(), inputs)
        # Centring each set of samples by itself would hide that their means differ.
        (_, first), (_, second) = checked_activities({"X": X, "Y": Y}, chosen, inputs, centre=False)
        return first, second

    def _compared(self, X: ArrayLike, Y: ArrayLike, inputs: ArrayLike | None) -> tuple[Fitted | None, Any, Any]:
        if not hasattr(self, "fitted_"):
            raise ValueError("this Alignment is not fitted; call fit(X, Y) first")
        first, second = self._both(X, Y, inputs)
        if (widths := (first.shape[-1], second.shape[-1])) != self.n_units_:
            raise ValueError(
                f"X and Y have {widths[0]} and {widths[1]} units; expected those of the fit, {self.n_units_[0]} and "
                f"{self.n_units_[1]}"
            )
        return self.fitted_, first, second
