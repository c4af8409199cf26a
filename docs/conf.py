"""Settings of the documentation site: Sphinx with MyST and the PyData theme. ``make docs`` builds it.

The source folder is the root of the repository, so that links of Markdown files are the same here and where the
repository is browsed. Nothing is fetched when the site is built or read: scripts, fonts and the search index are files
of the site, and equations are Unicode.
"""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

project = "dynatlas"
author = "The dynatlas authors"
copyright = author  # noqa: A001 - Sphinx names its settings
release = version = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "code_links",
    "docstrings",
    "signatures",
]

root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/api/*.md",
    "docs/notebooks/*.ipynb",
    "README.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/results/*.md",
    "validation/results/*.md",
]

smartquotes_action = "D"  # dashes alone: quotes of docstrings are often those of Python

# Links to headings, as in comparing.md#what-factors-explain.
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

# Notebooks have no outputs in the repository: the build executes each where what it writes is removed. One that reads
# files of the repository says in its own metadata that it is executed in its folder.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 3600  # seconds for a cell, on a busy machine
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

# Docstrings: Google's sections; signatures as the source has them (signatures.py).
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = f"dynatlas {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"README": [], "docs/gallery": [], "docs/index": []}
html_extra_path = ["_redirect"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "logo": {"text": html_title},
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
