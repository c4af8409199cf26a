"""What a measure of representational geometry is."""

from abc import abstractmethod
from collections.abc import Mapping
from math import inf
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from dynatlas.measures.pairs import Comparison, Reduced


class Measure(Comparison):
    """A distance between networks from their activity on the same samples.

    ``reduce`` does the work that one network needs, once; ``between`` or ``tile`` compare what it kept.
    """

    label: ClassVar[str] = ""  # of a measure of dynatlas, as people write it; others are written as they are named
    is_metric: ClassVar[bool] = False  # whether it satisfies the triangle inequality
    study_options: ClassVar[Mapping[str, Any]] = {}  # its defaults in a study, where they differ
    kept_components: ClassVar[float] = inf  # principal components that it usually keeps of a network, for plans

    @abstractmethod
    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """What has to be kept of one network's activity, which comes centred: arrays by name."""

    def dimension(self, reduced: Reduced) -> int:
        """How many dimensions are matched freely with the other network's; 0 if the match has no such freedom."""
        del reduced
        return 0


def expected(option: str, value: Any, what: str, holds: bool) -> None:
    """Refuse an option's value, unless what is expected of it holds."""
    if not holds:
        raise ValueError(f"{option} is {value!r}; expected {what}")
