"""Text that a browser runs or reads as data: JSON that closes nothing, files beside the page, the page's script."""

import base64
import hashlib
import json
from collections.abc import Iterable
from importlib import resources
from typing import Any, Final

from markupsafe import Markup

# What the script of an atlas' page has for any page.
OF_ANY_PAGE: Final = ("elements", "theme", "plots")
# The page's own script, in the order in which it is read; each file is one idea.
PARTS: Final = (
    *("elements", "details", "theme", "plots", "population", "tables", "spaces", "spectra", "graphs"),
    *("maps", "networks", "comparison", "stored_tables", "views"),
)


def script_json(value: Any) -> Markup:
    """JSON that may stand in a ``<script>``: no text in it can end the element or open another one."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def detail_file(name: str, value: Any) -> bytes:
    """A file beside the page that hands it one more piece of data.

    A page opened from disk may not read files, but it may run scripts: so the data come as a call of the one function
    that the page offers for it.
    """
    return f"dynatlas.receive({script_json(name)},{script_json(value)});\n".encode()


def page_script() -> str:
    """The page's script: its parts in one scope of their own."""
    return in_one_scope(map(part, PARTS))


def part(name: str) -> str:
    """One file of the page's script."""
    return (resources.files("dynatlas.report") / "page" / f"{name}.js").read_text(encoding="utf-8")


def in_one_scope(parts: Iterable[str]) -> str:
    """A script whose parts know each other, and whose names nobody else does."""
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def content_hash(script: str) -> str:
    """What the page's security policy calls an inline script that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
