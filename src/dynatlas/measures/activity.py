"""One network's activity: checked, centred, and along its principal axes."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

# A principal component with less than this share of the largest one's variance is rounding, not activity: the
# covariance squares the singular values, and its eigenvalues are known to about 1e-15 of the largest.
NEGLIGIBLE_VARIANCE = 1e-13
Array = NDArray[np.float64]


def centred(activity: object, name: str) -> Float[np.ndarray, "samples units"]:
    """Check and centre one network's activity.

    Raises:
        ValueError: the activity is not [samples, units], not finite, or constant.
    """
    try:
        array = np.asarray(activity)
        array = array.astype(np.float64, casting="same_kind" if array.dtype.kind == "c" else "unsafe")
    except (TypeError, ValueError) as error:
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
    return np.asarray(np.ldexp(centre, exponent))


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
