"""Register of the measures of activity: built-in ones, and those that a user registers."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, TypeVar

from dynatlas._util.messages import did_you_mean
from dynatlas.measures.dynamics.dsa import DSA, InputDSA
from dynatlas.measures.findings import FINDING_MEASURES, OF_STUDIES
from dynatlas.measures.geometry.cca import CCA, PWCCA, SVCCA
from dynatlas.measures.geometry.cka import CKA
from dynatlas.measures.geometry.predictivity import Predictivity
from dynatlas.measures.geometry.procrustes import Procrustes
from dynatlas.measures.geometry.rbf_cka import RBFCKA
from dynatlas.measures.geometry.rsa import RSA
from dynatlas.measures.geometry.soft_matching import SoftMatching
from dynatlas.measures.measure import Measure
from dynatlas.registry import check_name, enter

MEASURES: dict[str, type[Measure]] = {
    "svcca": SVCCA,
    "pwcca": PWCCA,
    "cca": CCA,
    "cka": CKA,
    "procrustes": Procrustes,
    "rsa": RSA,
    "rbf_cka": RBFCKA,
    "soft_matching": SoftMatching,
    "predictivity": Predictivity,
    "dsa": DSA,
    "input_dsa": InputDSA,
}

BUILT_IN: Final = frozenset(MEASURES)
Class = TypeVar("Class", bound=type[Measure])


def register_measure(name: str) -> Callable[[Class], Class]:
    """Register a measure under a name, for ``distance``, ``distance_matrix`` and study files.

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
        >>> del MEASURES["total_variance"]  # unregister it
    """

    def register(measure: Any) -> Any:
        check_name("measure", name)
        if name in FINDING_MEASURES:
            raise ValueError(f"dynatlas has a measure {name!r} already; choose another name")
        if not (isinstance(measure, type) and issubclass(measure, Measure) and is_dataclass(measure)):
            raise ValueError(f"{measure!r} is not a dataclass that derives from dynatlas.geometry.Measure")
        enter(MEASURES, "measures", name, measure)
        return measure

    return register


def measure_of(name: str, options: Mapping[str, Any]) -> Measure:
    """Return the measure of this name with options; a ValueError lists the valid names and options."""
    if name in FINDING_MEASURES:
        functions = {
            "behavior": "profile_distance",
            "robustness": "smallest_perturbations",
            "spectrum": "spectrum_distance",
            "weights": "weight_distance",
        }
        use = f"; use dynatlas.{functions[name]}" if name in functions else ""
        raise ValueError(f"the measure {name!r} compares {FINDING_MEASURES[name].finding.name}, not activity{use}")
    if name not in MEASURES:
        names = sorted([*MEASURES, *OF_STUDIES])
        hint = did_you_mean(str(name).lower(), names, f"expected one of {', '.join(names)}")
        raise ValueError(f"unknown measure {name!r}; {hint}")
    known = [field.name for field in fields(MEASURES[name])]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; it has: {', '.join(known) or 'none'}")
    return MEASURES[name](**options)


def measure_label(name: str) -> str:
    """Return a measure's label; of a registered measure whose code is not loaded, its name.

    Example:
        >>> measure_label("svcca"), measure_label("neighbor_graph"), measure_label("my_measure")
        ('SVCCA', 'neighbour graph', 'my_measure')
    """
    if name in FINDING_MEASURES:
        return FINDING_MEASURES[name].label
    return MEASURES[name].label if name in BUILT_IN else name
