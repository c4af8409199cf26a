"""What a measure of representational geometry is, and how one is registered under a name."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Final, TypeVar

import numpy as np
from jaxtyping import Float

from dynatlas._util.messages import did_you_mean
from dynatlas.measures.aspects import OF_TOPOLOGY
from dynatlas.measures.pairs import Comparison, Reduced
from dynatlas.registry import check_name, enter


class Measure(Comparison):
    """A distance between networks from their activity on the same samples.

    ``reduce`` does the work that one network needs, once; ``between`` or ``tile`` compare what it kept.
    """

    is_metric: ClassVar[bool] = False  # whether it satisfies the triangle inequality

    @abstractmethod
    def reduce(self, activity: Float[np.ndarray, "samples units"]) -> Reduced:
        """What has to be kept of one network's activity, which comes centred: arrays by name."""

    def dimension(self, reduced: Reduced) -> int:
        """How many dimensions are matched freely with the other network's; 0 if the match has no such freedom."""
        del reduced
        return 0


MEASURES: dict[str, type[Measure]] = {}


BUILT_IN: Final = frozenset(["svcca", "pwcca", "cca", "cka", "procrustes", "rsa"])


Class = TypeVar("Class", bound=type[Measure])


def register_measure(name: str) -> Callable[[Class], Class]:
    """Make a measure known under a name, to ``distance``, ``distance_matrix`` and study files.

    Raises:
        ValueError: the name is taken or cannot be one; the class is no frozen dataclass of ``Measure``.

    Example:
        >>> from dataclasses import dataclass
        >>> import numpy as np
        >>> from dynatlas import distance
        >>> @register_measure("total_variance")
        ... @dataclass(frozen=True)
        ... class TotalVariance(Measure):
        ...     def reduce(self, activity):
        ...         return {"variance": np.asarray(activity.var(axis=0).sum())}
        ...
        ...     def between(self, first, second):
        ...         return float(abs(first["variance"] - second["variance"]))
        >>> X = np.array([[0.0, 1.0], [2.0, 3.0]])
        >>> distance(X, 2 * X, "total_variance")
        6.0
        >>> del MEASURES["total_variance"]  # and forgotten again
    """

    def register(measure: Any) -> Any:
        check_name("measure", name)
        if name in OF_TOPOLOGY:
            raise ValueError(f"the measure {name!r} is one of topology already; choose another name")
        if not (isinstance(measure, type) and issubclass(measure, Measure) and is_dataclass(measure)):
            raise ValueError(f"{measure!r} is not a dataclass that derives from dynatlas.geometry.Measure")
        enter(MEASURES, "measures", name, measure)
        return measure

    return register


def measure_of(name: str, options: Mapping[str, Any]) -> Measure:
    """The measure of a name with some options, or a ValueError that says what there is."""
    if name not in MEASURES:
        hint = did_you_mean(str(name).lower(), MEASURES, f"expected one of {', '.join(sorted(MEASURES))}")
        raise ValueError(f"unknown measure {name!r}; {hint}")
    known = [field.name for field in fields(MEASURES[name])]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; it has: {', '.join(known) or 'none'}")
    return MEASURES[name](**options)


def expected(option: str, value: Any, what: str, holds: bool) -> None:
    """Refuse an option's value, unless what is expected of it holds."""
    if not holds:
        raise ValueError(f"{option} is {value!r}; expected {what}")
