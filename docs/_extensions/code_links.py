"""Links from highlighted code back to the reference."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


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
    """Connect the hook to Sphinx."""
    app.connect("html-page-context", link_back)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
