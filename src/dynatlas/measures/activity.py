"""One network's activity: checked, centred, and along its principal axes."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas._util.names import role_of

# A principal component with less than this share of the largest one's variance is rounding, not activity: the
# covariance squares the singular values, and its eigenvalues are known to about 1e-15 of the largest.
NEGLIGIBLE_VARIANCE = 1e-13
Array = NDArray[np.float64]


def centred(activity: object, name: str) -> Float[np.ndarray, "samples units"]:
    """Check one network's activity as ``checked`` does, and subtract each unit's mean."""
    return checked(activity, name, is_centred=True)


def checked(activity: object, name: str, *, is_centred: bool = False) -> Float[np.ndarray, "samples units"]:
    """Check one network's activity, and centre it if asked; dimensions of xarray are put in order by their names.

    Raises:
        ValueError: the activity is not [samples, units], masked, not finite, or constant.
    """
    named = _by_names(activity, name)
    try:
        array = np.asarray(named)
        array = array.astype(np.float64, casting="same_kind" if array.dtype.kind == "c" else "unsafe")
    except (TypeError, ValueError, RuntimeError) as error:  # PyTorch: a tensor that requires a gradient
        raise ValueError(f"network {name} has activity that is not an array of real numbers: {error}") from error
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"network {name} has activity of shape {array.shape}; expected [samples, units]")
    if len(array) < 2:
        raise ValueError(f"network {name} has {len(array)} samples; expected at least 2")
    if not np.isfinite(array).all():
        units = np.flatnonzero(~np.isfinite(array).all(axis=0))
        raise ValueError(
            f"network {name} has NaN or infinity in {len(units)} of {array.shape[1]} units (first: unit {units[0]}); "
            "leave the network out"
        )
    # A power of two rounds nothing, and the mean of huge numbers does not overflow.
    exponent = np.frexp(np.abs(array).max())[1]
    scaled = np.ldexp(array, -exponent)
    centre: Array = scaled - scaled.mean(axis=0)
    # The mean of a constant is off by rounding; the remainder is not activity.
    centre[:, np.abs(centre).max(axis=0) <= 1e-14 * np.abs(scaled).max(axis=0)] = 0
    if not centre.any():
        raise ValueError(f"network {name} has constant activity in all {array.shape[1]} units; leave the network out")
    return np.asarray(np.ldexp(centre if is_centred else scaled, exponent))


def checked_trials(
    activity: object, name: str, measure: str, *, is_centred: bool = False
) -> Float[np.ndarray, "trials steps units"]:
    """Check one network's activity over time; dimensions of xarray are put in order by their names.

    Args:
        activity: [trials, time, units].
        name: of the network, for messages.
        measure: title of the measure, for messages.
        is_centred: whether to subtract each unit's mean over all trials and times.

    Raises:
        ValueError: as in ``checked``, or the activity is not [trials, time, units].
    """
    given: Any = activity
    axes = [role_of(str(axis)) for axis in getattr(given, "dims", ())]
    if sorted(axes) == ["time", "trial", "unit"]:
        given = given.transpose(*(given.dims[axes.index(role)] for role in ("trial", "time", "unit")))
    try:
        array = given if isinstance(given, np.ndarray) else np.asarray(given)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"network {name} has activity that is not an array of real numbers: {error}") from error
    if array.ndim != 3 or 0 in array.shape:
        one = "; reshape joined trials to that, and pass a single one as activity[None]" if array.ndim == 2 else ""
        raise ValueError(
            f"network {name} has activity of shape {array.shape}; {measure} compares activity over time and expects "
            f"[trials, time, units]{one}"
        )
    flat = checked(array.reshape(-1, array.shape[-1]), name, is_centred=is_centred)
    return flat.reshape(array.shape)


def _by_names(activity: Any, name: str) -> Any:
    """Honour masks and the names of axes, or refuse them: NumPy would drop both."""
    if isinstance(activity, np.ma.MaskedArray) and activity.mask.any():
        samples = int(activity.mask.reshape(len(activity), -1).any(axis=1).sum())
        raise ValueError(
            f"network {name} has masked values in {samples} of {len(activity)} samples; leave these samples out of all "
            "networks"
        )
    axes = [str(axis) for axis in getattr(activity, "dims", ())]
    if isinstance(getattr(activity, "index", None), Iterable) and getattr(activity, "ndim", 0) == 2:  # a DataFrame
        axes = [str(activity.index.name or ""), str(activity.columns.name or "")]
    roles = [role_of(axis) for axis in axes]
    return activity.T if len(roles) == 2 and roles[0] == "unit" and roles[1] != "unit" else activity


def rows_of(activity: Any) -> NDArray[Any] | None:
    """Return the labels of the samples, if a DataFrame's index or a coordinate of xarray has any; else None."""
    if hasattr(activity, "dims") and hasattr(activity, "coords"):
        sample = next((axis for axis in activity.dims if role_of(str(axis)) != "unit"), None)
        return np.asarray(activity.coords[sample]) if sample in activity.coords else None
    index: Any = getattr(activity, "index", None)
    if getattr(activity, "ndim", 0) != 2 or not hasattr(index, "equals"):
        return None
    if getattr(index, "start", None) == 0 and getattr(index, "step", None) == 1:  # a RangeIndex: no labels
        return None
    if role_of(str(index.name or "")) == "unit":
        index = activity.columns
    return np.asarray(index, dtype=object)


def on_unit_scale(activity: Float[np.ndarray, "samples units"]) -> Float[np.ndarray, "samples units"]:
    """Scale activity by a power of two to entries of at most 1, so that squares neither overflow nor vanish."""
    return np.asarray(np.ldexp(activity, -np.frexp(np.abs(activity).max())[1]))


def principal_axes(
    activity: Float[np.ndarray, "samples units"],
) -> tuple[Float[np.ndarray, " kept"], Float[np.ndarray, "units kept"]]:
    """Return variances and axes of the components above rounding, largest first, from the covariance of units."""
    variances, axes = np.linalg.eigh(activity.T @ activity)
    variances, axes = variances[::-1], axes[:, ::-1]
    kept = variances > NEGLIGIBLE_VARIANCE * variances[0]
    return variances[kept], axes[:, kept]


def orthonormal(projections: Float[np.ndarray, "samples kept"]) -> Float[np.ndarray, "samples kept"]:
    """Orthonormalise projections on principal axes, which are orthogonal only up to the covariance's rounding."""
    return np.linalg.qr(projections)[0]
