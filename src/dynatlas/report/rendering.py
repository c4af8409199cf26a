"""What every page is made with: a template, one style, plotly and the page's own script, and no others may run."""

import base64
import hashlib
import json
from collections.abc import Iterable
from importlib import metadata, resources
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup


def render_page(template: str, title: str, script: str, data: Any, *, sources: str = "", **content: Any) -> str:
    """A page: everything that it shows is in it, unless scripts from other ``sources`` may run.

    Args:
        template: a file of the package, such as ``report/template.html``, with ``report/head.html`` in its head and
            ``report/scripts.html`` at its end.
        title: of the page.
        script: the page's own; plotly is there before it.
        data: what the script finds as JSON.
        sources: from where the page may load further scripts, in the words of a security policy.
        content: what else the template names.
    """
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=FunctionLoader(text_of), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    scripts = [get_plotlyjs().replace("</script", "<\\/script"), script]
    allowed = [*([sources] if sources else []), *map(content_hash, scripts)]
    # Markup: our own files, and hashes.
    return environment.get_template(template).render(
        title=title,
        version=metadata.version("dynatlas"),
        css=Markup(text_of("report/page.css")),  # noqa: S704
        script_sources=Markup(" ".join(allowed)),  # noqa: S704
        scripts=[Markup(each) for each in scripts],  # noqa: S704
        data=script_json(data),
        **content,
    )


def text_of(name: str) -> str:
    """A file of the package, such as ``report/page.css``."""
    return (resources.files("dynatlas") / name).read_text(encoding="utf-8")


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
    return (resources.files("dynatlas.report") / "assets" / f"{name}.js").read_text(encoding="utf-8")


def in_one_scope(parts: Iterable[str]) -> str:
    """A script whose parts know each other, and whose names nobody else does."""
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def content_hash(script: str) -> str:
    """What the page's security policy calls an inline script that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
