"""What every page is made with: a template, one style, plotly and the page's own script, and no others may run."""

from importlib import metadata, resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from dynatlas.report.scripts import content_hash, script_json


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
