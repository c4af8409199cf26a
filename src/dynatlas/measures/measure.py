"""Base class of the measures of representational geometry."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from math import inf
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from dynatlas.measures.alignment.fitted import Fitted
from dynatlas.measures.aspects import Aspect
from dynatlas.measures.pairs import Comparison, Reduced


class Measure(Comparison):
    """A distance between networks from their activity on the same samples.

    ``reduce`` does the work per network, once; ``between`` or ``tile`` compares reduced networks.

    ``reduce`` takes activity [samples, units]. A measure that sees time sets ``needs_trials`` and takes [trials, time,
    units]; with ``needs_inputs`` also the inputs of these trials, as a second argument [trials, time, channels].
    """

    label: ClassVar[str] = ""  # of a measure of dynatlas, as people write it; others are written as they are named
    is_metric: ClassVar[bool] = False  # whether it satisfies the triangle inequality
    study_options: ClassVar[Mapping[str, object]] = {}  # its defaults in a study, where they differ
    kept_components: ClassVar[float] = inf  # principal components that it usually keeps of a network, for plans
    aspect: ClassVar[Aspect] = "geometry"  # what it compares
    needs_trials: ClassVar[bool] = False  # whether it takes [trials, time, units]
    needs_inputs: ClassVar[bool] = False  # whether it also takes the inputs of these trials
    needs_same_samples: ClassVar[bool] = True  # whether sample i of one network is compared with that of the other

    @property
    def unit_bias(self) -> str:
        """What fewer samples than units do to the distance, as a sentence; "" if nothing is known."""
        return ""

    @abstractmethod
    def reduce(self, activity: Float[np.ndarray, "*samples units"]) -> Reduced:
        """Reduce one network's activity, centred unless ``is_centred`` is False, to arrays by name."""

    def similarity(self, distance: float) -> float:
        """Return the similarity that a distance stands for: 1 at a distance of 0, and less at larger ones.

        Raises:
            ValueError: the measure has none.
        """
        del distance
        raise ValueError(
            f"{self.title} has no similarity: its class defines none (Measure.similarity); use dynatlas.distance"
        )

    def align(
        self, X: Float[np.ndarray, "*samples units"], Y: Float[np.ndarray, "*samples other_units"]
    ) -> Fitted | None:
        """Fit what aligns two networks' activity, to compare them on other samples; None if nothing is aligned.

        Activity is not centred.
        """
        del X, Y
        return None

    def dimension(self, reduced: Reduced) -> int:
        """Return the number of dimensions that are matched freely with the other network's; 0 without such freedom."""
        del reduced
        return 0

    @property
    def title(self) -> str:
        """Name in messages."""
        return self.label or type(self).__name__

    @property
    def is_centred(self) -> bool:
        """Whether each unit's mean over samples is subtracted first."""
        return True

    @property
    def needs_agreement(self) -> bool:
        """Whether all networks of a comparison have to be reduced to the same number of components."""
        return False

    def components_of(self, activity: Float[np.ndarray, "samples units"]) -> int:
        """Return the number of components that one network's centred activity needs."""
        raise NotImplementedError(f"{type(self).__name__} does not agree on a number of components")

    def agreed(self, components: Iterable[int]) -> "Measure":
        """Return the measure for a comparison of networks that need these numbers of components."""
        del components
        return self

    def doubt(self, reduced: Reduced) -> str:
        """What makes the distances of one reduced network unreliable, as a sentence; "" if nothing is known."""
        del reduced
        return ""

    @property
    def caution(self) -> str:
        """What the distance must not be read as, as a sentence; "" if nothing is known."""
        return ""


def no_similarity(title: str, option: str, instead: str) -> ValueError:
    """Return the error of a distance that has no upper limit with an option."""
    return ValueError(
        f"{title} with {option} has no similarity: its distances have no upper limit; use {instead}, or "
        "dynatlas.distance"
    )


def expected(option: str, value: object, what: str, holds: bool) -> None:
    """Raise a ValueError that names the option and its value unless ``holds``."""
    if not holds:
        raise ValueError(f"{option} is {value!r}; expected {what}")
