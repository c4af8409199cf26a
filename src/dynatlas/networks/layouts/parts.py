"""The matrices and vectors of a layer without gates, in the orientation W h.

Each array's shape is squeezed to what its role needs: MATLAB stores vectors as [n, 1] and numbers as [1, 1], and a
network with one input may have its weights as a vector. Where a matrix is square, its shape does not show whether it
multiplies columns, W h, or rows, h W: the layout's convention decides, then the other matrices, then the caller.
"""

import numpy as np

from dynatlas.errors import NetworkError
from dynatlas.networks.layers import Matrix
from dynatlas.networks.layouts.ledger import Ledger
from dynatlas.networks.layouts.recognition import Roles
from dynatlas.networks.layouts.table import Layout
from dynatlas.networks.options import Options


class Parts:
    """The matrices of a layer in the orientation W h, and what was found of their orientation."""

    def __init__(self, ledger: Ledger, layout: Layout, roles: Roles, options: Options) -> None:
        self.ledger, self.layout, self.roles, self.options = ledger, layout, roles, options
        self.facts: list[str] = []
        self.scale = 1.0
        stored = self._product() if "m" in roles and "n" in roles else self._matrix("recurrent")
        stored = stored.reshape([size for size in stored.shape if size != 1] or [1, 1]) if stored.ndim != 2 else stored
        if stored.ndim != 2 or stored.shape[0] != stored.shape[1]:
            name = roles["recurrent"][0]
            raise NetworkError(
                f"{name!r} has the shape {ledger.arrays[name].shape}; expected [units, units]{self._other_way_round()}"
            )
        self.units = len(stored)
        given = self._given()
        named = [roles.get(role, [""])[0].lower() for role in ("recurrent", "input")]
        if named == ["w", "u"] and given.shape == stored.shape and not options.parts:  # Theano's are the reverse
            self.facts.append(ledger.assume("W is recurrent, U of the input", "--part recurrent=U --part input=W"))
        self.is_rows = self._orientation(given)
        self.recurrent = self._masked(stored.T if self.is_rows else stored, "recurrent", "sign")
        self.given = self._oriented(given, "input")
        if "input_scale" in roles:
            self.given = self.given * self.vector(roles["input_scale"][0], self.given.shape[1])
        self.given = self._masked(self.given, "input", "")

    def _matrix(self, role: str) -> Matrix:
        return self.floats(self.roles[role][0])

    def floats(self, name: str) -> Matrix:
        """Return an array of real numbers in float64."""
        values = self.ledger.use(name)
        if values.dtype.kind not in "fiu":
            raise NetworkError(f"{name!r} is {values.dtype} with the shape {values.shape}; expected numbers")
        return np.asarray(values, np.float64)

    def vector(self, name: str, size: int) -> Matrix:
        """Return an array as a vector of this size; one number counts for all."""
        values = self.floats(name)
        if values.size not in (1, size) or values.size != max(values.shape, default=1):
            raise NetworkError(f"{name!r} has the shape {values.shape}; expected a vector of {size} numbers")
        return np.broadcast_to(values.reshape(-1), (size,))

    def number(self, role: str) -> float | None:
        """Return the number that has this role, or None."""
        if role not in self.roles:
            return None
        values = self.floats(self.roles[role][0])
        if values.size != 1:
            raise NetworkError(f"{self.roles[role][0]!r} has the shape {values.shape}; expected a number")
        return float(values.reshape(()))

    def _product(self) -> Matrix:
        """Return m nᵀ over the number of units."""
        m, n = (self.floats(self.roles[role][0]) for role in ("m", "n"))
        m, n = (one[:, None] if one.ndim == 1 else one for one in (m, n))
        if m.shape != n.shape or m.ndim != 2:
            raise NetworkError(f"m has the shape {m.shape} and n {n.shape}; expected [units, rank] for both")
        self.scale = 1 / len(m)
        self.facts.append(f"the recurrent matrix is m nᵀ/{len(m)}, of rank {m.shape[1]} at most")
        return m @ n.T * self.scale

    def _other_way_round(self) -> str:
        """Return what to do if the matrix with the name of the input's is the recurrent one."""
        given = self.roles.get("input", [""])[0]
        shape = self.ledger.arrays[given].shape if given else ()
        if len(shape) != 2 or shape[0] != shape[1]:
            return ""
        return (
            f". {given!r} is square: if it is the recurrent matrix, name both with --part recurrent={given} --part "
            f"input={self.roles['recurrent'][0]}"
        )

    def _given(self) -> Matrix:
        if "input" not in self.roles:
            return np.zeros((self.units, 0))
        values = self._matrix("input")
        if values.ndim == 1:
            values = values[:, None] if len(values) == self.units else values[None]
        if values.ndim != 2 or self.units not in values.shape:
            raise NetworkError(
                f"{self.roles['input'][0]!r} has the shape {values.shape}; expected [{self.units}, inputs], or "
                f"[inputs, {self.units}]"
            )
        return values

    def _orientation(self, given: Matrix) -> bool:
        """Return whether the recurrent matrix multiplies rows, h W."""
        wanted = self.options.orientation
        if wanted is not None:
            self.facts.append(f"{_said(wanted == 'rows')}, as requested")
            return wanted == "rows"
        by_input, by_readout = self._shown("input", given.shape), self._shown("readout")
        if self.layout.rows is not None:
            self._refuse_transposed("input", by_input)
            self._refuse_transposed("readout", by_readout)
            return "recurrent" in self.layout.rows
        shown = by_input if by_input is not None else by_readout
        if shown is None:
            self.facts.append(self.ledger.assume(_said(False), "no matrix shows it; --orientation rows for h W"))
            return False
        if by_input is None:
            why = f"the readout is {_stored('outputs', shown)}"
        else:
            why = f"the input matrix is {_stored('1' if 1 in given.shape else 'inputs', not shown)}"
        if by_input is not None and by_readout not in (None, by_input):
            why += f", although the readout is {_stored('outputs', by_readout)}"
        elif by_input is not None and 1 not in given.shape:
            self.facts.append(f"{_said(shown)}: {why}")
            return shown
        self.facts.append(self.ledger.assume(_said(shown), why))
        return shown

    def _shown(self, role: str, shape: tuple[int, ...] | None = None) -> bool | None:
        """Return whether the shape of a matrix shows that it multiplies rows, x U; None if it does not show it.

        A readout to one output does not: it may be stored as a vector.
        """
        if role not in self.roles or self.ledger.arrays[self.roles[role][0]].ndim != 2:
            return None
        first, last = shape or self.ledger.arrays[self.roles[role][0]].shape
        if role == "readout" and 1 in (first, last):
            return None
        if (first == self.units) == (last == self.units):
            return None
        return (last == self.units) if role == "input" else (first == self.units)

    def _refuse_transposed(self, role: str, shown: bool | None) -> None:
        """Check that a matrix is stored as its layout stores it: if one is transposed, so may be the square ones."""
        if shown is None or shown == (role in (self.layout.rows or ())):
            return
        name = self.roles[role][0]
        raise NetworkError(
            f"{name!r} has the shape {self.ledger.arrays[name].shape}, the transpose of {self.layout.label}'s; so the "
            "recurrent matrix may be transposed, too, and its shape does not show it: set orientation "
            "(--orientation columns for W h, rows for h W)"
        )

    def _oriented(self, values: Matrix, role: str) -> Matrix:
        """Return an input matrix as [units, inputs], or a readout as [outputs, units]."""
        first, last = (self.units in (values.shape[axis],) for axis in (0, 1))
        own, other = (first, last) if role == "input" else (last, first)
        if own and other:
            rows = self.is_rows if self.layout.rows is None or self.options.orientation else role in self.layout.rows
            return values.T if rows else values
        return values if own else values.T

    def _masked(self, weights: Matrix, role: str, sign: str) -> Matrix:
        """Apply a mask, and signs by Dale's law."""
        mask = self.roles.get(f"{role}_mask")
        is_rows = self.is_rows and role == "recurrent"
        if mask:
            values = self.floats(mask[0])
            values = values.T if is_rows else values
            if values.shape != weights.shape:
                raise NetworkError(f"{mask[0]!r} has the shape {values.shape}; expected {weights.shape}")
            weights = weights * values
        is_dale = "sign" in self.options.parts or bool(self.number("dale_ratio"))
        if role == "input" and bool(self.number("dale_ratio")):
            return np.abs(weights)
        names = self.roles.get(sign, ())
        if not names:
            return weights
        values = self.floats(names[0])
        if not is_dale:
            self.ledger.explain(names[0], "Dale's law is not applied")
            return weights
        if values.size == max(values.shape):
            values = np.diag(values.reshape(-1))
        if role == "recurrent":
            self.facts.append(f"Dale's law: absolute weights times the signs {names[0]}")
        if values.shape == (weights.shape[1], weights.shape[1]) and not (values - np.diag(np.diag(values))).any():
            return np.abs(weights) @ values
        values = values.T if is_rows else values
        if values.shape != weights.shape:
            raise NetworkError(f"{names[0]!r} has the shape {values.shape}; expected {weights.shape}")
        return np.abs(weights) * values

    def readout(self) -> tuple[tuple[Matrix, Matrix] | None, str]:
        """Return the readout's weights and bias, or None, and a sentence about it."""
        names = self.roles.get("readout", [])
        if self.options.readout not in (None, "", *names):
            listed = ", ".join(names) or "none"
            if self.layout.is_state_dict:
                return None, ""
            raise NetworkError(f"the file has no readout {self.options.readout!r}; it has: {listed}")
        bias_names = self.roles.get("readout_bias", [])
        if not names or self.options.readout == "":
            for name in (*names, *bias_names, *self.roles.get("readout_scale", [])):
                self.ledger.explain(name, "the readout")
            return None, "no readout" + (", as requested" if self.options.readout == "" else "")
        stored = self._matrix("readout")
        weights = stored[None] if stored.ndim == 1 else stored
        if weights.ndim != 2 or self.units not in weights.shape:
            raise NetworkError(
                f"{names[0]!r} has the shape {stored.shape}; expected [outputs, {self.units}], and a bias of as many "
                "outputs"
            )
        is_flipped = weights.shape[1] != self.units
        weights = self._oriented(weights, "readout")
        if "readout_scale" in self.roles:
            weights = self.vector(self.roles["readout_scale"][0], len(weights))[:, None] * weights
        weights = self._masked(weights * self.scale, "readout", "readout_sign")
        bias = self.vector(bias_names[0], len(weights)) if bias_names else np.zeros(len(weights))
        stored_as = (
            ", stored as [units, outputs]" if is_flipped and not self.is_rows and self.layout.rows is None else ""
        )
        return (weights, bias), f"readout {names[0]}, {len(weights)} outputs{stored_as}"


def _said(is_rows: bool) -> str:
    return "rows are multiplied, h W" if is_rows else "columns are multiplied, W h"


def _stored(others: str, is_units_first: bool) -> str:
    return f"[units, {others}]" if is_units_first else f"[{others}, units]"
