"""Strip notebooks of outputs, counts and editors' metadata: python docs/_extensions/strip_notebooks.py docs/notebooks.

The repository has notebooks without outputs; the documentation site executes them. ``make strip`` is the command.
"""

import sys
from pathlib import Path

import nbformat

# What a notebook needs to be opened and executed anywhere; ``mystnb`` holds settings of the site.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def stripped(text: str) -> str:
    """Return a notebook's file without outputs, execution counts and metadata of editors and cells."""
    notebook = nbformat.reads(text, as_version=4)
    settings = {"mystnb": notebook.metadata["mystnb"]} if "mystnb" in notebook.metadata else {}
    notebook.metadata = nbformat.from_dict(METADATA | settings)
    notebook.nbformat_minor = 5
    cells = [cell for cell in notebook.cells if cell.source.strip()]
    for number, cell in enumerate(cells):
        cell.metadata = nbformat.from_dict({})
        cell.id = f"cell-{number:02d}"  # editors draw random ones, which would differ after every change
        cell.pop("attachments", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.cells = cells
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def main(folder: Path) -> None:
    """Strip every notebook of a folder, and print the names of those that changed."""
    for path in sorted(folder.glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        if (after := stripped(before)) != before:
            path.write_text(after, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
