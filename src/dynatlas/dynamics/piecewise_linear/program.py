"""A step's program as affine maps of the state and of the values of its relus.

The program is traced once, and each of its operations is carried out on affine functions of the variables
(h, z): the state h and, one after the other, the values z of the relus. An operation that is linear maps the constant
and each slope. A maximum of two affine functions, max(a, b) = b + relu(a − b), adds the variables z = relu(a − b). A
logistic function of an affine function is a *gate*, for which numbers between 0 and 1 are given. Any other operation of
a value that depends on the state has no such form. Nothing is sampled: the result is a property of the program.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.dynamics.intervals.arithmetic import NESTED_CALLS
from dynatlas.dynamics.step import Step

# Operations that are linear in all operands of floating-point numbers together.
LINEAR = frozenset(
    [
        *("add", "add_any", "sub", "neg", "reduce_sum", "cumsum", "convert_element_type", "copy", "copy_p"),
        *("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "transpose", "concatenate", "stack", "split", "pad"),
        *("rev", "slice", "dynamic_slice", "gather", "select_n"),
    ]
)
# Operations that are linear in each of two operands; a quotient is, in the first.
BILINEAR = frozenset(["mul", "dot_general"])


class NotPiecewiseLinearError(Exception):
    """The step uses another operation on a value that depends on the state."""


class Affine(NamedTuple):
    """An array that depends on the variables (h, z) so far: constant + Σ slope · variable.

    Attributes:
        constant: [...].
        slopes: [variables, ...]; variables that are added later have slope 0.
    """

    constant: NDArray[np.float64]
    slopes: NDArray[np.float64]


class Program(NamedTuple):
    """F(h) = A h + B z + c with z = relu(C h + E z + d), E strictly lower triangular, in blocks.

    Attributes:
        state: A [n, n].
        relus: B [n, m].
        constant: c [n].
        inner_state: C [m, n].
        inner_relus: E [m, m].
        inner_constant: d [m].
        n_gates: numbers that were used for gates.
    """

    state: NDArray[np.float64]
    relus: NDArray[np.float64]
    constant: NDArray[np.float64]
    inner_state: NDArray[np.float64]
    inner_relus: NDArray[np.float64]
    inner_constant: NDArray[np.float64]
    n_gates: int

    @property
    def inner(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The arguments of the relus: C, E and d."""
        return self.inner_state, self.inner_relus, self.inner_constant

    def residual_rows(self) -> NDArray[np.float64]:
        """Return F(h) − h as rows of numbers [n, n + m + 1]: A − I, B and c."""
        return np.concatenate([self.state - np.eye(len(self.state)), self.relus, self.constant[:, None]], axis=1)


Value = Any  # an array, or an Affine


class _Reader:
    """Evaluates a program and collects the arguments of its relus."""

    def __init__(self, n: int, gates: NDArray[np.float64]):
        self.n_variables, self.arguments, self.gates, self.n_gates = n, list[Affine](), gates, 0

    def evaluate(self, jaxpr: Jaxpr, constants: Sequence[Value], arguments: Sequence[Value]) -> list[Value]:
        """Evaluate the equations of a program."""
        values: dict[Var, Value] = dict(zip(jaxpr.constvars, constants, strict=True))
        values.update(zip(jaxpr.invars, arguments, strict=True))

        def read(variable: Var | Literal) -> Value:
            return np.asarray(variable.val) if isinstance(variable, Literal) else values[variable]

        for equation in jaxpr.eqns:
            operands = [read(variable) for variable in equation.invars]
            values.update(zip(equation.outvars, self._apply(equation, operands), strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def _apply(self, equation: JaxprEqn, operands: list[Value]) -> Sequence[Value]:
        name, depends = equation.primitive.name, [isinstance(operand, Affine) for operand in operands]
        if name in NESTED_CALLS:
            inner = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
            return self.evaluate(inner.jaxpr, [np.asarray(value) for value in inner.consts], operands)
        if not any(depends):
            return _bind(equation, operands)
        if name in LINEAR and not (name == "select_n" and depends[0]):
            return self._linear(equation, operands)
        if (name in BILINEAR and sum(depends) == 1) or (name == "div" and depends == [True, False]):
            return self._linear(equation, operands, keep=True)
        if name in ("max", "min"):
            return [self._extreme(1 if name == "max" else -1, *operands)]
        if name == "logistic":
            shape = operands[0].constant.shape
            first, self.n_gates = self.n_gates, self.n_gates + int(np.prod(shape))
            if self.n_gates <= len(self.gates):
                return [self.gates[first : self.n_gates].reshape(shape)]
        raise NotPiecewiseLinearError(name)

    def _linear(self, equation: JaxprEqn, operands: list[Value], *, keep: bool = False) -> list[Affine]:
        """Apply an operation to the constants, and to the slopes with 0 for numbers (the numbers, if ``keep``)."""
        constants = _bind(equation, [each.constant if isinstance(each, Affine) else each for each in operands])
        if not all(np.issubdtype(each.dtype, np.floating) for each in constants):
            raise NotPiecewiseLinearError(equation.primitive.name)  # a conversion to whole numbers
        of_slopes = [
            self._slopes(each)
            if isinstance(each, Affine)
            else each
            if keep or not np.issubdtype(np.asarray(each).dtype, np.floating)
            else np.zeros_like(each)
            for each in operands
        ]
        axes = [0 if isinstance(each, Affine) else None for each in operands]
        slopes = jax.vmap(lambda *each: tuple(_bind(equation, each)), in_axes=axes)(*of_slopes)
        pairs = zip(constants, slopes, strict=True)
        return [Affine(np.asarray(constant), np.asarray(slope)) for constant, slope in pairs]

    def _extreme(self, sign: int, first: Value, second: Value) -> Affine:
        """max(a, b) = b + relu(a − b), and min(a, b) = b − relu(b − a)."""
        (a, a_slopes), (b, b_slopes) = self._parts(first), self._parts(second)
        shape = np.broadcast_shapes(a.shape, b.shape)
        size, before = int(np.prod(shape)), self.n_variables
        argument = np.broadcast_to(sign * (a - b), shape).ravel()
        slopes = sign * (_spread(a_slopes, shape) - _spread(b_slopes, shape))
        self.arguments.append(Affine(argument, slopes.reshape(before, size)))
        self.n_variables += size
        new = sign * np.eye(size).reshape(size, *shape)
        return Affine(np.broadcast_to(b, shape).copy(), np.concatenate([_spread(b_slopes, shape), new]))

    def _parts(self, value: Value) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if isinstance(value, Affine):
            return value.constant, self._slopes(value)
        number = np.asarray(value, np.float64)
        return number, np.zeros((self.n_variables, *number.shape))

    def _slopes(self, value: Affine) -> NDArray[np.float64]:
        """Return the slopes for all variables so far."""
        missing = self.n_variables - len(value.slopes)
        return np.concatenate([value.slopes, np.zeros((missing, *value.constant.shape))])

    def result(self, output: Value, n: int) -> Program:
        """Return the matrices."""
        constant, slopes = self._parts(output)
        m = self.n_variables - n
        parts = [self._slopes(Affine(each.constant, each.slopes)) for each in self.arguments]
        inner = np.concatenate([np.zeros((self.n_variables, 0)), *parts], axis=1)
        return Program(
            state=slopes[:n].T,
            relus=slopes[n:].T,
            constant=constant,
            inner_state=inner[:n].T,
            inner_relus=inner[n:].T,
            inner_constant=np.concatenate([np.zeros(0), *(each.constant for each in self.arguments)]).reshape(m),
            n_gates=self.n_gates,
        )


def read_program(step: Step, n: int, inputs: Float[Array, " m"] | None, gates: NDArray[np.float64]) -> Program:
    """Return a step's matrices; call it where 64 bits are enabled.

    Args:
        step: the step function.
        n: state variables.
        inputs: static inputs [m], or None.
        gates: numbers in (0, 1) that take the place of logistic functions, one after the other.

    Raises:
        NotPiecewiseLinearError: with the operation that is neither affine nor a relu; or there are more gates than
            numbers.

    Example:
        >>> with jax.enable_x64(True):
        ...     program = read_program(lambda h, x: 0.5 * h + jax.nn.relu(2 * h[::-1] - 1), 2, None, np.zeros(0))
        >>> program.state.tolist(), program.inner_state.tolist(), program.inner_constant.tolist()
        ([[0.5, 0.0], [0.0, 0.5]], [[0.0, 2.0], [2.0, 0.0]], [-1.0, -1.0])
    """
    traced = _trace(step, n, inputs)
    if not _has_relus(traced.jaxpr):
        raise NotPiecewiseLinearError("no relu")
    reader = _Reader(n, gates)
    state = Affine(np.zeros(n), np.eye(n))
    with jax.ensure_compile_time_eval():
        (output,) = reader.evaluate(traced.jaxpr, [np.asarray(value) for value in traced.consts], [state])
    return reader.result(output, n)


def has_relus(step: Step, n: int, inputs: Float[Array, " m"] | None) -> bool:
    """Whether the program of a step has a maximum or a minimum."""
    return _has_relus(_trace(step, n, inputs).jaxpr)


def _trace(step: Step, n: int, inputs: Float[Array, " m"] | None) -> ClosedJaxpr:
    return jax.make_jaxpr(lambda h: step(h, inputs))(jnp.zeros(n))


def _has_relus(jaxpr: Jaxpr) -> bool:
    """Whether a program has a maximum or a minimum: most have none, and need not be evaluated."""
    for equation in jaxpr.eqns:
        inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
        if equation.primitive.name in ("max", "min"):
            return True
        if equation.primitive.name in NESTED_CALLS and inner is not None and _has_relus(inner.jaxpr):
            return True
    return False


def _bind(equation: JaxprEqn, operands: Sequence[Any]) -> list[Any]:
    """Apply an operation to arrays."""
    bind: Callable[..., Any] = equation.primitive.bind
    results = bind(*map(jnp.asarray, operands), **equation.params)
    return list(results) if equation.primitive.multiple_results else [results]


def _spread(slopes: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Broadcast an array's slopes to a shape."""
    aligned = slopes.reshape(len(slopes), *(1,) * (len(shape) - slopes.ndim + 1), *slopes.shape[1:])
    return np.broadcast_to(aligned, (len(slopes), *shape))
