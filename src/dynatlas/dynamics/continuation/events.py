"""Bifurcations between two points of a branch: which there are, and where.

Between two points, det [G_x; tᵀ] changes sign at a branch point, the tangent's parameter at a fold, det(J + I) at a
flip. A change in the number of unstable eigenvalues that these do not explain is a pair that crosses the unit circle.
Where two of them meet in one segment it is halved until each has its own. A located point counts only if it lies in its
segment; a segment that was halved to nothing holds a jump of the Jacobian (a kink) or several events at one point.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dynatlas._util.messages import count_of
from dynatlas.dynamics.continuation.augmented import BranchPoint, locate_branch_point, locate_critical
from dynatlas.dynamics.continuation.corrector import correct, evaluate
from dynatlas.dynamics.continuation.curve import Curve, CurvePoint, curve_points

Kind = Literal[
    "fold", "pitchfork", "transcritical", "flip", "Neimark-Sacker", "border collision", "degenerate", "unresolved"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
_Suspect = Literal["branch point", "fold", "flip", "pair"]

MOST_HALVINGS = 40
# Segments are not halved below this length, relative to that of typical states.
SHORTEST = 2e-9
# A Jacobian that changes by this share within a segment of that length jumps.
JUMP = 1e-4
# A tangent with a smaller component along the parameter is that of a fold, or of the arms of a pitchfork.
VERTICAL = 1e-7
# Eigenvalues this close to the unit circle are on it, where no event could be isolated.
ON_CIRCLE = 1e-4
# A pair with a smaller angle, in radians, from 0 or π is no simple Neimark–Sacker bifurcation.
REAL = 1e-5
RESONANCE = 1e-3
# Resonant pairs: cycles per step of the eigenvalue e^{2πi/q} for which the normal form differs.
RESONANCES = {1 / 3: "1:3", 1 / 4: "1:4"}


@dataclass(frozen=True, eq=False)
class Event:
    """A bifurcation.

    Attributes:
        kind: its kind.
        point: where it is.
        multiplier: the critical eigenvalue; that of a pair has a positive imaginary part.
        residual: norm of the equations that define it, at the point.
        uncertainty: of its place: length of the last Newton step, or of the segment that holds it.
        note: what is special about it.
        tangents: of the two branches, at a branch point; otherwise empty [k, n + 1].
    """

    kind: Kind
    point: CurvePoint
    multiplier: complex
    residual: float
    uncertainty: float
    note: str
    tangents: NDArray[np.float64]


def find_events(curve: Curve, first: CurvePoint, second: CurvePoint, depth: int = 0) -> list[Event | CurvePoint]:
    """Return the bifurcations between two neighbouring points of a branch, in order, and points between them."""
    suspects = _suspects(first, second)
    if not suspects:
        return []
    if len(suspects) == 1:
        event = _locate(curve, first, second, suspects[0])
        if event is not None:
            return [event]
    gap = float(np.linalg.norm(second.x - first.x))
    middle = _middle(curve, first, second) if depth < MOST_HALVINGS and gap > SHORTEST * float(curve.length) else None
    if middle is None:
        return [_unlocated(first, second, suspects, gap)]
    before, after = find_events(curve, first, middle, depth + 1), find_events(curve, middle, second, depth + 1)
    return [*before, *([middle] if before and after else []), *after]


def _suspects(first: CurvePoint, second: CurvePoint) -> list[_Suspect]:
    """Return what must lie between two points."""
    found: list[_Suspect] = []
    if first.border_sign * second.border_sign < 0:
        found.append("branch point")
    elif first.slope * second.slope < 0 and max(abs(first.slope), abs(second.slope)) > VERTICAL:
        found.append("fold")
    flips = first.flip_sign * second.flip_sign < 0
    if flips:
        found.append("flip")
    # Each real eigenvalue that crosses at 1 or −1 changes the number by 1, each pair by 2.
    crossings = int(flips) + int(first.index * second.index < 0)
    change = abs(second.n_unstable - first.n_unstable)
    if change > crossings or (change - crossings) % 2:
        found += ["pair"] * max(1, (change - crossings) // 2)
    return found


def _middle(curve: Curve, first: CurvePoint, second: CurvePoint) -> CurvePoint | None:
    """Return the point of the branch halfway, or None if the corrector fails there."""
    border = second.x - first.x
    border /= np.linalg.norm(border)
    guess = 0.5 * (first.x + second.x)
    found = correct(curve, guess[None], border[None], np.array([border @ guess]))
    if not found.converged[0]:
        return None
    return curve_points(found.points, found.tangents, found.matrices, found.residuals)[0]


def _locate(curve: Curve, first: CurvePoint, second: CurvePoint, suspect: _Suspect) -> Event | None:
    """Locate the one event of a segment, or return None if Newton's method does not lead to a point in it."""
    gap = second.x - first.x
    if suspect == "branch point":
        return _locate_branch_point(curve, first, second)
    if suspect == "fold":
        share = first.slope / (first.slope - second.slope)
        found = locate_critical(curve, first.x + share * gap, 0.0, is_complex=False)
    elif suspect == "flip":
        found = locate_critical(curve, first.x + 0.5 * gap, np.pi, is_complex=False)
    else:
        angle = _crossing_angle(first, second)
        if angle is None:
            return None
        found = locate_critical(curve, first.x + 0.5 * gap, angle, is_complex=True)
    angle = abs((found.angle + np.pi) % (2 * np.pi) - np.pi)
    if not found.is_located or not _is_between(found.x, first, second):
        return None
    if suspect == "pair" and min(angle, np.pi - angle) < REAL:
        return None
    point = evaluate(curve, found.x, gap)
    # Elsewhere Newton's method may converge to a point that only looks critical.
    multiplier = np.exp(1j * angle) if suspect == "pair" else complex(np.cos(angle))
    if np.abs(point.eigenvalues - multiplier).min() > ON_CIRCLE:
        return None
    kind: Kind = "fold" if suspect == "fold" else "flip" if suspect == "flip" else "Neimark-Sacker"
    note = ""
    for cycles, name in RESONANCES.items():
        if suspect == "pair" and abs(angle / (2 * np.pi) - cycles) < RESONANCE:
            note = f"strong resonance {name}"
    return Event(
        kind, replace(point, event=kind, index=0 if kind == "fold" else point.index), complex(multiplier),
        found.residual, found.step, note, np.zeros((0, len(gap))),
    )  # fmt: skip


def _locate_branch_point(curve: Curve, first: CurvePoint, second: CurvePoint) -> Event | None:
    found: BranchPoint = locate_branch_point(curve, 0.5 * (first.x + second.x))
    if not found.is_located or not _is_between(found.x, first, second):
        return None
    gap = second.x - first.x
    point = evaluate(curve, found.x, gap)
    values = np.linalg.svd(point.matrix, compute_uv=False)
    if len(values) > 1 and values[-2] < ON_CIRCLE * max(values[0], 1):
        return None  # several eigenvalues at once
    tangents = found.tangents
    if not len(tangents):
        return None
    # The branch that is followed is the one whose tangent is along the segment; the other one is the new branch.
    along = np.abs(tangents @ gap)
    tangents = tangents[np.argsort(-along)]
    own = tangents[0] * np.sign(tangents[0] @ gap)
    # A fold in the same segment is no part of this point: the segment must be halved.
    own_is_vertical = abs(own[-1]) < VERTICAL**0.5
    if (first.slope * second.slope < 0) and not own_is_vertical:
        return None
    is_pitchfork = bool((np.abs(tangents[:, -1]) < VERTICAL**0.5).any())
    kind: Kind = "pitchfork" if is_pitchfork else "transcritical"
    return Event(
        kind, replace(point, event=kind, index=0, tangent=own), 1 + 0j, found.residual, found.step, "", tangents
    )  # fmt: skip


def _crossing_angle(first: CurvePoint, second: CurvePoint) -> float | None:
    """Return the angle of the complex eigenvalue that is nearest to the unit circle at either end."""
    both = np.concatenate([first.eigenvalues, second.eigenvalues])
    pairs = both[both.imag > REAL]
    return float(np.angle(pairs[np.abs(np.abs(pairs) - 1).argmin()])) if len(pairs) else None


def _is_between(x: NDArray[np.float64], first: CurvePoint, second: CurvePoint) -> bool:
    """Whether a point lies on the piece of the branch between two points."""
    gap = second.x - first.x
    length = float(np.linalg.norm(gap))
    along = float((x - first.x) @ gap) / length**2
    slack = 1e-9 / length
    off = float(np.linalg.norm(x - first.x - along * gap))
    return -0.01 - slack <= along <= 1.01 + slack and off <= 0.5 * length + 1e-9


def _unlocated(first: CurvePoint, second: CurvePoint, suspects: list[_Suspect], gap: float) -> Event:
    """Return the event of a segment that could not be halved further."""
    size = max(1.0, float(np.linalg.norm(first.matrix)))
    nearest = first.eigenvalues[np.abs(np.abs(first.eigenvalues) - 1).argmin()]
    on_circle = int((np.abs(np.abs(first.eigenvalues) - 1) < ON_CIRCLE).sum())
    kind: Kind
    if float(np.linalg.norm(first.matrix - second.matrix)) > JUMP * size:
        kind, note = "border collision", f"the Jacobian jumps: {first.n_unstable} → {second.n_unstable} unstable"
    elif on_circle > 1:
        kind, note = "degenerate", f"{count_of(on_circle, 'eigenvalue')} on the unit circle at once"
    else:
        kind, note = "unresolved", f"expected {' and '.join(suspects)}"
    point = replace(first, event=kind, index=0 if first.index != second.index else first.index)
    return Event(
        kind, point, complex(nearest.real, abs(nearest.imag)), first.residual, gap, note,
        np.zeros((0, len(first.x))),
    )  # fmt: skip
