"""Check a built site without a network: python docs/_extensions/check_site.py build/site.

Every local link leads to a file of the site and to an anchor in it, and no page loads anything from elsewhere. Links
that a reader may follow to other sites are counted and not visited.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Elements that fetch what they name when a page is opened.
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
# Relations of <link> that fetch nothing.
NAMING = {"canonical", "search", "index", "next", "prev", "author", "copyright", "genindex"}
OUTSIDE = re.compile(r"(?:@import\s+|url\(\s*)['\"]?(?:https?:)?//")


class Page(HTMLParser):
    """The anchors, links and loaded files of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element is, names and loads."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.add(values["href"])
        is_naming = tag == "link" and not NAMING.isdisjoint(values.get("rel", "").split())
        if tag in LOADING and not is_naming and values.get(LOADING[tag]):
            self.loaded.add(values[LOADING[tag]])


def problems(site: Path) -> tuple[list[str], int, int]:
    """Return what is wrong with a site, and the numbers of local links and of links to elsewhere."""
    # The theme leaves templates among its static files.
    paths = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.relative_to(site).parts]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    found, local, elsewhere = [], 0, 0
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        found += [f"{name} loads {each}" for each in sorted(page.loaded) if urlsplit(each).scheme not in ("", "data")]
        for link in sorted(page.links | page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                elsewhere += parts.scheme in ("http", "https")
                continue
            local += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.is_relative_to(site) or not target.is_file():
                found.append(f"{name} leads to {link}, which is no file of the site")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{name} leads to {link}, which has no such anchor")
    styles = sorted(site.rglob("*.css"))
    found += [f"{path.relative_to(site)} loads a style or font from elsewhere" for path in styles if loads(path)]
    if not (site / "searchindex.js").is_file():
        found.append("searchindex.js, which search needs from disk, is missing")
    return found, local, elsewhere


def loads(style: Path) -> bool:
    """Whether a style sheet imports anything, or names an address outside the site."""
    return bool(OUTSIDE.search(style.read_text(encoding="utf-8")))


def main(site: Path) -> int:
    """Print the problems of a site; return the exit code."""
    found, local, elsewhere = problems(site.resolve())
    for each in found:
        print(each, file=sys.stderr)
    if not local:
        print(f"{site} has no page", file=sys.stderr)
    print(f"{local} local links and files checked, {len(found)} wrong; {elsewhere} links to elsewhere not visited")
    return int(bool(found) or not local)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
