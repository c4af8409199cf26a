"""Docstrings and signatures of dynatlas for Sphinx.

Docstrings are written for ``help``: plain text with equations in Unicode and Google's sections. Here |λ| and W* become
text that reStructuredText does not interpret, and what is indented under a paragraph is shown as it stands. Signatures
are those of the source: ``states: ArrayLike`` instead of the union that the name stands for.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Warns|Example|Examples|Note|Notes):$")
# A word that ends in an underscore would be a reference.
REFERENCE = re.compile(r"(?<=\w)_(?=[\s'\")\]}>\-/:.,;!?]|$)")


def plain(text: str) -> str:
    r"""Escape what reStructuredText would interpret, outside of double backticks.

    Example:
        >>> plain("the number of |λ| > 1 in ``a * b``")
        'the number of \\|λ\\| > 1 in ``a * b``'
    """
    parts = text.split("``")
    for place in range(0, len(parts), 2):
        part = re.sub(r"([\\*|`])", r"\\\1", parts[place])
        parts[place] = REFERENCE.sub(r"\\_", part)
    return "``".join(parts)


def readable(lines: list[str]) -> Iterator[str]:
    """Yield the lines of a docstring as reStructuredText with Google's sections."""
    is_section = is_example = is_equation = False
    is_open = False  # a literal of double backticks that goes on in the next line
    before = ""
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            is_example = False
        elif line.lstrip().startswith(">>>"):
            is_example = True
        elif indent == 0:
            is_section, is_equation = bool(SECTION.match(line)), False
        elif not is_section and not is_equation and not before.strip():
            is_equation = True
            yield from (".. code-block:: text", "")
        is_list = bool(re.match(r"\s*(-|\d+\.) ", line))
        if is_list and before.strip() and not re.match(r"\s*(-|\d+\.) ", before) and indent == 0:
            yield ""
        if is_example or is_equation or SECTION.match(line):
            yield line
        else:
            text = plain("``" * is_open + line)[2 * is_open :]
            is_open = (line.count("``") + is_open) % 2 == 1
            yield re.sub(r"^Source: ", "**Source:** ", text)
        before = line


def process_docstring(app: "Sphinx", what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Replace the lines of a docstring in place, before napoleon reads its sections."""
    lines[:] = readable(list(lines))


def written(obj: Any) -> tuple[str, str] | None:
    """Return the parameters and the return annotation of a function or class as its source has them."""
    function = obj
    if inspect.isclass(obj):
        function = vars(obj).get("__init__")
        if function is None or not inspect.isfunction(inspect.unwrap(function)):
            return _fields(obj)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError):
        return _fields(obj) if inspect.isclass(obj) else None  # the constructor of a dataclass has no source
    node = tree.body[0]
    if not isinstance(node, ast.FunctionDef):
        return None
    arguments = node.args
    first = [*arguments.posonlyargs, *arguments.args][:1]
    if first and first[0].arg in ("self", "cls"):
        (arguments.posonlyargs or arguments.args).pop(0)
    named = inspect.unwrap(function).__globals__
    for defaults in (arguments.defaults, arguments.kw_defaults):
        defaults[:] = [_spelled(each, named) for each in defaults]
    returned = "" if node.returns is None or inspect.isclass(obj) else ast.unparse(node.returns).strip("'")
    return f"({ast.unparse(arguments)})", returned


def _spelled(default: ast.expr | None, named: dict[str, Any]) -> ast.expr | None:
    """Return a default, with a number in place of the constant that stands for it."""
    value = named.get(default.id) if isinstance(default, ast.Name) else None
    return ast.Constant(value) if isinstance(value, int | float) else default


def _fields(obj: type) -> tuple[str, str] | None:
    """Return the fields of a dataclass or a named tuple, without types that say nothing."""
    try:
        node = ast.parse(textwrap.dedent(inspect.getsource(obj))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    if not isinstance(node, ast.ClassDef):
        return None
    fields = []
    for each in node.body:
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
            continue
        kind = ast.unparse(each.annotation)
        if kind.startswith("ClassVar"):
            continue
        typed = each.target.id if kind == "Any" else f"{each.target.id}: {kind}"
        default = "" if each.value is None else f" = {ast.unparse(each.value)}"
        fields.append(typed + default)
    return (f"({', '.join(fields)})", "") if fields else None


def process_signature(
    app: "Sphinx", what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str, str] | None:
    """Return the signature of the source; None leaves what Sphinx found."""
    is_result = what in ("class", "exception") and signature == "()"  # the page gives it: users do not construct it
    if is_result or what not in ("function", "method", "class", "exception"):
        return None
    return written(obj)


def link_back(app: "Sphinx", page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Mend the links from highlighted code to the reference.

    viewcode names all objects of a module after the path of one of them, such as ``dynatlas.Branches`` after
    ``dynatlas.continue_fixed_points``.
    """
    if not page.startswith("_modules/"):
        return
    documented = {name: found.docname for name, found in app.env.domains["py"].objects.items()}

    def mended(link: re.Match[str]) -> str:
        name = link["name"]
        ends = [name.split(".", place)[-1] for place in range(1, name.count(".") + 1)]
        same = [each for end in ends for each in documented if each.endswith(f".{end}")]
        here = [each for each in same if link["page"].endswith(f"{documented[each]}.html")]
        chosen = name if name in documented or not here else here[0]
        return f'class="viewcode-back" href="{link["page"]}#{chosen}"'

    pattern = r'class="viewcode-back" href="(?P<page>[^"#]+)#(?P<name>[^"]+)"'
    context["body"] = re.sub(pattern, mended, context["body"])


def setup(app: "Sphinx") -> dict[str, Any]:
    """Connect all to Sphinx."""
    app.connect("autodoc-process-docstring", process_docstring, priority=100)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("html-page-context", link_back)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
