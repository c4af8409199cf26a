"""Docstrings of dynatlas for Sphinx.

They are written for ``help``: plain text with equations in Unicode and Google's sections. Here |λ| and W* become text
that reStructuredText does not interpret, and what is indented under a paragraph is shown as it stands.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Warns|Example|Examples|Note|Notes):$")
PROPERTIES: dict[str, list[str]] = {}  # between the hooks before and after napoleon
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
    if what == "property" and not any(map(SECTION.match, lines)):
        PROPERTIES[name] = list(lines)


def restore_property(app: "Sphinx", what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Undo what napoleon does to a property: it takes the words before a colon for its type."""
    lines[:] = PROPERTIES.pop(name, lines)


def setup(app: "Sphinx") -> dict[str, Any]:
    """Connect both hooks to Sphinx."""
    from sphinx.domains.python import PyObject

    for field in PyObject.doc_field_types:
        if field.name == "variable":  # what Google's docstrings call attributes
            field.label = "Attributes"
    app.connect("autodoc-process-docstring", process_docstring, priority=100)
    app.connect("autodoc-process-docstring", restore_property, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
