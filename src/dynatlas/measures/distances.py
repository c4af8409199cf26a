"""Distances from activities: check and reduce each network once, then compare all pairs."""

import math
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas._util.cores import available_cores, single_threaded_algebra
from dynatlas.measures.activity import centred, checked, checked_trials, rows_of
from dynatlas.measures.measure import Measure
from dynatlas.measures.pairs import Reduced, all_pairs, labelled
from dynatlas.measures.registry import measure_of

# name → activity, pairs of a name and an activity, or activities alone
Activities = Mapping[str, object] | Iterable[object]


def distance(
    X: ArrayLike, Y: ArrayLike, measure: str = "svcca", *, inputs: ArrayLike | None = None, **options: Any
) -> float:
    """Compute the distance between two networks' activities; the classes in ``MEASURES`` state the equations.

    Args:
        X: [samples, units]; for a measure that sees time, such as dsa, [trials, time, units].
        Y: the same samples in the same order; the number of units may differ. dsa compares other trials, too.
        measure: a name in ``MEASURES``, such as "svcca", "cka" or "dsa", or a registered one (``register_measure``).
        inputs: of a measure that sees time, the inputs of the trials [trials, time, channels]. Activity [samples,
            units], trial by trial, is then divided into these trials.
        options: of the measure, such as ``variance`` or ``components`` for svcca.

    Returns:
        The distance; exactly 0 for an activity and itself.

    Raises:
        ValueError: unknown measure or option; activity that has not the shape that the measure takes, has NaN or
            infinity, fewer than 2 samples, or only constant units; different numbers of samples.

    Warns:
        UserWarning: so few samples that some canonical correlations (svcca, pwcca, cca) are 1 for any networks; or
            fewer samples than units, with which cka without ``debiased`` and procrustes are small for any networks.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(100, 5))
        >>> rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
        >>> round(distance(X, 3 * X @ rotation + 1, "cka"), 12)
        0.0
        >>> round(distance(X, X**2, "cka"), 2)
        0.85
    """
    return distance_by(chosen_measure(measure, options, inputs), X, Y, inputs, stacklevel=4)


def similarity(
    X: ArrayLike, Y: ArrayLike, measure: str = "svcca", *, inputs: ArrayLike | None = None, **options: Any
) -> float:
    """Compute the similarity of two networks' activities, from their distance d: 1 for an activity and itself.

    1 − d for svcca, pwcca, cca, cka, rbf_cka, rsa and predictivity: the mean canonical correlation, the alignment of
    kernels, the correlation of dissimilarities, the mean R². cos d for the angles of procrustes and of dsa and
    input_dsa with ``score_method="angular"``. 1 − d²/2 for soft_matching and ``score_method="euclidean"`` of dsa, which
    are chords between configurations of norm 1: again a cosine.

    Distances without an upper limit have none and are refused: procrustes with ``euclidean=True``, and dsa and
    input_dsa with ``score_method="wasserstein"``, their default.

    Args:
        X: as in ``distance``.
        Y: as in ``distance``.
        measure: as in ``distance``. A registered measure has a similarity if it defines ``Measure.similarity``.
        inputs: as in ``distance``.
        options: of the measure.

    Returns:
        The similarity, at most 1. At least 0 for svcca, pwcca, cka, rbf_cka and procrustes, and for cca without
        ``held_out``; at least −1 for the others, except predictivity and cka with ``debiased``, which have no lower
        limit.

    Raises:
        ValueError: as in ``distance``; the measure has no similarity.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(100, 5))
        >>> similarity(X, X, "cka"), round(similarity(X, X**2, "cka"), 2)
        (1.0, 0.15)
        >>> similarity(X, X, "procrustes", euclidean=True)
        Traceback (most recent call last):
        ...
        ValueError: Procrustes with euclidean=True has no similarity: its distances have no upper limit; ...
    """
    chosen = chosen_measure(measure, options, inputs)
    chosen.similarity(0.0)  # refuses a measure that has none before anything is computed
    return chosen.similarity(distance_by(chosen, X, Y, inputs, stacklevel=4))


def distance_by(
    measure: Measure, X: ArrayLike, Y: ArrayLike, inputs: ArrayLike | None = None, *, stacklevel: int = 3
) -> float:
    """Compute the distance between two activities by a measure; warnings point ``stacklevel`` − 1 calls up."""
    both, chosen = _agreed({"X": X, "Y": Y}, measure, stacklevel)
    (_, first), (_, second) = _reduced(both, chosen, inputs, stacklevel)
    if all(np.array_equal(first[name], second[name]) for name in first):
        return 0.0
    return max(chosen.between(first, second), 0.0)


def distance_matrix(
    activities: Activities, measure: str = "svcca", *, inputs: ArrayLike | None = None, **options: Any
) -> xr.DataArray:
    """Compute the distances between all pairs of networks or recordings.

    Args:
        activities: name → [samples, units], or as the measure takes it (``distance``); or an iterable of (name, array)
            pairs; or of arrays, which are then named "0", "1", …. One network is read at a time, and only its reduced
            form stays in memory: [samples, components] for svcca and cka, all pairs of samples for rsa, else about as
            much as the activity. Without ``components`` or ``per_network``, svcca reads the activities twice; an
            iterator, which can be read once, is then kept whole.
        measure: as in ``distance``.
        inputs: as in ``distance``.
        options: of the measure.

    Returns:
        Distances with dimensions ("network", "other_network"), exactly symmetric and exactly 0 on the diagonal, named
        after the measure, with the measure, its options and the number of networks in ``attrs``; for svcca also the
        number of ``components`` that all networks share.

    Raises:
        ValueError: as in ``distance``, naming the network; also if two networks have the same name.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(100, 5))
        >>> distances = distance_matrix({"a": X, "b": 2 * X + 1, "c": X**2}, "cka")
        >>> distances.sel(network="a").round(2).values.tolist()
        [0.0, 0.0, 0.85]
    """
    activities, chosen = _agreed(activities, chosen_measure(measure, options, inputs), stacklevel=3)
    reduced = _reduced(activities, chosen, inputs, stacklevel=3)
    matrix = all_pairs([one for _, one in reduced], chosen)
    about = {"long_name": f"{measure} distance between networks", "n_networks": len(reduced)}
    return labelled(matrix, [name for name, _ in reduced], measure, **settings_of(chosen)).assign_attrs(about)


def settings_of(measure: Measure) -> dict[str, Any]:
    """Return a measure's options as stored in the ``attrs`` of its distances."""
    options = asdict(measure)  # type: ignore[call-overload]
    return {
        option: int(value) if value is True or value is False else value
        for option, value in options.items()
        if value is not None
    }


def reduced(activity: object, name: str, measure: Measure, inputs: ArrayLike | None = None) -> Reduced:
    """Reduce one network's activity; a ValueError names the network.

    A measure that sees time takes [trials, time, units], or [samples, units] with the ``inputs`` of the trials [trials,
    time, channels].
    """
    return _of_checked(_checked(activity, name, measure, inputs), name, measure, inputs)


def chosen_measure(name: str, options: Mapping[str, Any], inputs: ArrayLike | None = None) -> Measure:
    """Return the measure of this name with options, for activity with or without ``inputs``."""
    measure = measure_of(name, options)
    if inputs is not None and not measure.needs_trials:
        raise ValueError(f"{name} compares activity without its inputs; leave out inputs=")
    if inputs is None and measure.needs_inputs:
        raise ValueError(f"{name} also takes the inputs of the trials; pass inputs= as [trials, time, channels]")
    return measure


def _checked(
    activity: Any, name: str, measure: Measure, inputs: ArrayLike | None, *, centre: bool = True
) -> Float[np.ndarray, "*samples units"]:
    """Check one network's activity, in the shape that the measure takes."""
    is_centred = centre and measure.is_centred
    if not measure.needs_trials:
        return checked(activity, name, is_centred=is_centred)
    if inputs is None:
        return checked_trials(activity, name, measure.title, is_centred=is_centred)
    shape = np.asarray(inputs).shape
    if len(shape) != 3:
        raise ValueError(f"inputs have the shape {shape}; expected [trials, time, channels]")
    if np.ndim(activity) == 2 and len(activity) == shape[0] * shape[1]:
        activity = checked(activity, name).reshape(*shape[:2], -1)
    one = checked_trials(activity, name, measure.title, is_centred=is_centred)
    if one.shape[:2] != shape[:2]:
        raise ValueError(
            f"network {name} has {_extent(one)}, and the inputs have {shape[0]} trials of {shape[1]} times; expected "
            "the inputs of the same trials"
        )
    return one


def _of_checked(
    activity: Float[np.ndarray, "*samples units"], name: str, measure: Measure, inputs: ArrayLike | None
) -> Reduced:
    reduce: Any = measure.reduce
    try:
        return reduce(activity, np.asarray(inputs, np.float64)) if measure.needs_inputs else reduce(activity)  # type: ignore[no-any-return]
    except ValueError as error:
        raise ValueError(f"network {name}: {error}") from error


def _extent(activity: Float[np.ndarray, "*samples units"]) -> str:
    if activity.ndim == 2:
        return f"{len(activity)} samples"
    return f"{activity.shape[0]} trials of {activity.shape[1]} times"


def checked_activities(
    activities: Activities, measure: Measure, inputs: ArrayLike | None = None, *, centre: bool = True
) -> Iterator[tuple[str, Float[np.ndarray, "*samples units"]]]:
    """Check the networks' activities one by one, and that all have the same samples if the measure compares these.

    They are centred if the measure centres them, and ``centre``.

    Raises:
        ValueError: as in ``distance_matrix``.
    """
    first, extent = "", ""
    names: set[str] = set()
    labelled_rows: tuple[str, NDArray[Any]] | None = None
    for name, activity in _named(activities):
        if name in names:
            raise ValueError(f"two networks are named {name}; names must differ")
        one = _checked(activity, name, measure, inputs, centre=centre)
        if names and measure.needs_same_samples and _extent(one) != extent:
            raise ValueError(
                f"network {name} has {_extent(one)} and network {first} has {extent.removesuffix(' samples')}; show "
                "all networks the same samples in the same order"
            )
        rows = rows_of(activity) if measure.needs_same_samples else None
        if rows is not None and labelled_rows is not None and not np.array_equal(rows, labelled_rows[1]):
            raise ValueError(
                f"the samples of networks {labelled_rows[0]} and {name} have different labels; show all networks "
                "the same samples in the same order (pandas: reindex, xarray: align), or pass arrays without labels"
            )
        labelled_rows = (name, rows) if rows is not None else labelled_rows
        first, extent = first or name, _extent(one)
        names.add(name)
        yield name, one


def _agreed(activities: Activities, measure: Measure, stacklevel: int) -> tuple[Activities, Measure]:
    """Return the measure that all networks share, and activities that can be read again."""
    if measure.caution:
        warnings.warn(measure.caution, UserWarning, stacklevel=stacklevel)
    if not measure.needs_agreement:
        return activities, measure
    if iter(activities) is activities:
        # Copies, because an iterator may reuse its buffer.
        activities = [(name, deepcopy(activity)) for name, activity in _named(activities)]
    with single_threaded_algebra(), ThreadPoolExecutor(available_cores()) as pool:
        centres = (centred(activity, name) for name, activity in _named(activities))
        counts = [
            count
            for group in iter(lambda: list(islice(centres, available_cores())), [])
            for count in pool.map(measure.components_of, group)
        ]
    return activities, measure.agreed(counts)


def _reduced(
    activities: Activities, measure: Measure, inputs: ArrayLike | None, stacklevel: int
) -> list[tuple[str, Reduced]]:
    """Reduce every network, by name; warnings point ``stacklevel`` calls up."""
    futures: dict[str, Future[Reduced]] = {}
    running: deque[Future[Reduced]] = deque()
    few: list[str] = []
    samples = 0
    # The iterable may reuse its buffer, so each activity is copied (by centring) before a thread takes it.
    with single_threaded_algebra(), ThreadPoolExecutor(available_cores()) as pool:
        for name, one in checked_activities(activities, measure, inputs):
            samples = math.prod(one.shape[:-1])
            if measure.unit_bias and samples < one.shape[-1]:
                few.append(name)
            futures[name] = pool.submit(_of_checked, one, name, measure, inputs)
            running.append(futures[name])
            # No more activities in memory than there are threads to reduce them.
            if len(running) > available_cores():
                running.popleft().result()
        kept = {name: future.result() for name, future in futures.items()}
    _warn_of_few_samples(kept, samples, measure, stacklevel + 1)
    if few:
        warnings.warn(
            f"{samples} samples are fewer than the units of {_networks(few)}: {measure.unit_bias}",
            UserWarning,
            stacklevel=stacklevel,
        )
    doubts: dict[str, list[str]] = {}
    for name, one_reduced in kept.items():
        doubts.setdefault(measure.doubt(one_reduced), []).append(name)
    for doubt, names in doubts.items():
        if doubt:
            warnings.warn(f"{_networks(names)}: {doubt}", UserWarning, stacklevel=stacklevel)
    return list(kept.items())


def _networks(names: list[str]) -> str:
    return f"network{'s' * (len(names) > 1)} {', '.join(names[:3])}{', …' * (len(names) > 3)}"


def _warn_of_few_samples(kept: Mapping[str, Reduced], samples: int, measure: Measure, stacklevel: int) -> None:
    """Warn if two subspaces must intersect: centred activity has only samples − 1 dimensions."""
    wide = sorted(kept, key=lambda name: measure.dimension(kept[name]))[-2:]
    dimensions = sum(measure.dimension(kept[name]) for name in wide)
    if len(wide) == 2 and dimensions >= samples:
        warnings.warn(
            f"{samples} samples are few for networks {wide[0]} and {wide[1]}, which have {dimensions} dimensions "
            f"together: {dimensions - samples + 1} of their canonical correlations are 1 whatever the networks do. "
            "Give more samples, keep fewer components with svcca, or correlate on held-out samples: measure='cca', "
            "held_out=0.5",
            UserWarning,
            stacklevel=stacklevel,
        )


def _named(activities: Activities) -> Iterator[tuple[str, object]]:
    if isinstance(activities, Mapping):
        yield from ((str(name), activity) for name, activity in activities.items())
        return
    for position, item in enumerate(activities):
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
            yield item[0], item[1]
        else:
            yield str(position), item
