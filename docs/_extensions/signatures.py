"""Signatures as the source has them: ``states: ArrayLike`` instead of the union that the name stands for."""

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def written(obj: Any) -> tuple[str, str] | None:
    """Return the parameters and the return annotation of a function or class as its source has them."""
    functions = [obj]
    if inspect.isclass(obj):
        own = [each for each in obj.__mro__ if each.__module__.startswith("dynatlas")]
        functions = [vars(each)["__init__"] for each in own if "__init__" in vars(each)]
    for function in functions:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
        except (OSError, TypeError, SyntaxError):  # the constructor of a dataclass has no source
            continue
        if isinstance(tree.body[0], ast.FunctionDef):
            return _signature(tree.body[0], inspect.unwrap(function).__globals__, is_class=inspect.isclass(obj))
    return _fields(obj) if inspect.isclass(obj) else None


def _signature(node: ast.FunctionDef, named: dict[str, Any], *, is_class: bool) -> tuple[str, str]:
    """Return the parameters, with numbers in place of constants, and the return annotation."""
    arguments = _Plain().visit(node.args)
    first = [*arguments.posonlyargs, *arguments.args][:1]
    if first and first[0].arg in ("self", "cls"):
        (arguments.posonlyargs or arguments.args).pop(0)
    for defaults in (arguments.defaults, arguments.kw_defaults):
        defaults[:] = [_spelled(each, named) for each in defaults]
    returned = "" if node.returns is None or is_class else ast.unparse(node.returns).strip("'")
    return f"({ast.unparse(arguments)})", returned


def _spelled(default: ast.expr | None, named: dict[str, Any]) -> ast.expr | None:
    """Return a default, with a number in place of the constant that stands for it."""
    value = named.get(default.id) if isinstance(default, ast.Name) else None
    return ast.Constant(value) if isinstance(value, int | float) else default


class _Plain(ast.NodeTransformer):
    """Replace ``Annotated[int, Field(…)]`` by ``int``: pages and errors state the limits."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Return what is annotated."""
        self.generic_visit(node)
        is_annotated = isinstance(node.value, ast.Name) and node.value.id == "Annotated"
        return node.slice.elts[0] if is_annotated and isinstance(node.slice, ast.Tuple) else node


def _fields(obj: type) -> tuple[str, str] | None:
    """Return the fields of a dataclass, named tuple or task and of its bases, without types that say nothing."""
    fields = {}
    for base in reversed([each for each in obj.__mro__ if each.__module__.startswith("dynatlas")]):
        for each in ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body:
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                fields[each.target.id] = _Plain().visit(each)
    shown = []
    for name, field in fields.items():
        kind = ast.unparse(field.annotation)
        if kind.startswith("ClassVar") or name in ("kind", "name"):  # a task in a study has these
            continue
        default = "" if field.value is None else f" = {ast.unparse(field.value)}"
        shown.append((name if kind == "Any" else f"{name}: {kind}") + default)
    return (f"({', '.join(shown)})", "") if shown else None


def process_signature(
    app: "Sphinx", what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str, str] | None:
    """Return the signature of the source; None leaves what Sphinx found."""
    is_result = what in ("class", "exception") and signature == "()"  # the page gives it: users do not construct it
    if is_result or what not in ("function", "method", "class", "exception"):
        return None
    return written(obj)


def setup(app: "Sphinx") -> dict[str, Any]:
    """Connect the hook to Sphinx."""
    app.connect("autodoc-process-signature", process_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
