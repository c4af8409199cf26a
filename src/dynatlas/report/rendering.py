"""Rendering of pages: a template, one style sheet, plotly and one script; the security policy admits no others."""

import base64
import hashlib
import json
from collections.abc import Iterable
from importlib import metadata, resources
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup


def render_page(template: str, title: str, script: str, data: Any, *, sources: str = "", **content: Any) -> str:
    """Render a page, which is self-contained unless scripts from other ``sources`` are admitted.

    Args:
        template: a file of the package, such as ``report/template.html``, with ``report/head.html`` in its head and
            ``report/scripts.html`` at its end.
        title: title of the page.
        script: script of the page, run after plotly is loaded.
        data: JSON data for the script.
        sources: sources of further scripts, in the syntax of a content security policy.
        content: other variables of the template.
    """
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=FunctionLoader(text_of), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    scripts = [get_plotlyjs().replace("</script", "<\\/script"), script]
    allowed = [*([sources] if sources else []), *map(content_hash, scripts)]
    # Markup is safe here: files of the package, and hashes.
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
    """Return the text of a file of the package, such as ``report/page.css``."""
    return (resources.files("dynatlas") / name).read_text(encoding="utf-8")


# Parts of the script that the other pages share.
SHARED_PARTS: Final = ("elements", "theme", "plots")

# Parts of the script of an atlas page, in order.
PARTS: Final = (
    *("elements", "details", "theme", "plots", "population", "tables", "spaces", "spectra", "graphs"),
    *("maps", "networks", "comparison", "stored_tables", "views"),
)


def script_json(value: Any) -> Markup:
    """Return JSON that is safe inside ``<script>``: no text in it can end the element or open another."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def detail_file(name: str, value: Any) -> bytes:
    """Return a file beside the page with further data.

    A page opened from disk cannot read files, but it can run scripts: each file calls the function of the page that
    receives the data.
    """
    return f"dynatlas.receive({script_json(name)},{script_json(value)});\n".encode()


def page_script() -> str:
    """Return the script of an atlas page."""
    return in_one_scope(map(script_part, PARTS))


def script_part(name: str) -> str:
    """Return one part of the script."""
    return (resources.files("dynatlas.report") / "assets" / f"{name}.js").read_text(encoding="utf-8")


def in_one_scope(parts: Iterable[str]) -> str:
    """Join parts of a script in one function scope, without global names."""
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def content_hash(script: str) -> str:
    """Return the hash of an inline script for the content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
