"""What ``help`` shows is true: names, sections, signatures, and examples that are run."""

import ast
import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import dynatlas

SOURCE = Path(__file__).parents[1] / "src" / "dynatlas"
FILES = sorted(SOURCE.rglob("*.py"))
ENTRY = re.compile(r"    (\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \([^)]*\))?:(?: |$)")
MODULES = {"cells", "tasks"}
# They take a file, an installed package or minutes; or are what another name returns or raises.
WITHOUT_EXAMPLE = MODULES | {"DynatlasError", "FixedPoints", "load_package", "load_plugin", "place_recording", "run"}


def name_of(path):
    return path.relative_to(SOURCE).as_posix()


def sections(docstring):
    """The lines of each section of a docstring, by its title."""
    found, lines = {}, None
    for line in docstring.splitlines():
        if title := re.fullmatch(r"(Args|Attributes|Raises|Warns):", line):
            lines = found.setdefault(title[1], [])
        elif line and not line.startswith(" "):
            lines = None
        elif line and lines is not None:
            lines.append(line)
    return found


def entries(lines):
    """The names that a section explains; each of its lines begins one or continues it, further in."""
    names = []
    for line in lines:
        if not line.startswith("     "):
            entry = ENTRY.match(line)
            assert entry, f"{line!r} neither explains a name nor continues a line"
            names += [name.strip(" *") for name in entry[1].split(",")]
    return names


def parameters(function):
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [each.arg for each in named if each is not None and each.arg not in ("self", "cls")]


def has_examples(docstring):
    examples = doctest.DocTestParser().get_examples(docstring or "")
    return any(not example.options.get(doctest.SKIP) for example in examples)


def documented(path):
    """The functions and classes of a file that have a docstring, with their names within it."""

    def below(node, names):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                if text := ast.get_docstring(child):
                    yield ".".join([*names, child.name]), child, text
                yield from below(child, [*names, child.name])

    yield from below(ast.parse(path.read_text(encoding="utf-8")), [])


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_sections_explain_what_there_is(path):
    for name, node, text in documented(path):
        found = {title: entries(lines) for title, lines in sections(text).items()}
        if "Args" in found and isinstance(node, ast.FunctionDef):
            assert found["Args"] == parameters(node), name
        if "Attributes" in found:
            fields = [each.target.id for each in node.body if isinstance(each, ast.AnnAssign)]
            methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            assert [each for each in found["Attributes"] if each not in methods] == fields, name


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "__main__.py"], ids=name_of)
def test_every_example_is_found_by_doctest(path):
    """A decorator that hides a function's docstring would hide its example, too."""
    written = {name for name, _, text in documented(path) if has_examples(text)}
    module = ".".join(["dynatlas", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")
    tests = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module), module)
    assert written <= {test.name.removeprefix(f"{module}.") for test in tests if test.examples}


@pytest.mark.parametrize("name", dynatlas.__all__)
def test_what_is_exported_is_documented(name):
    exported = getattr(dynatlas, name)
    assert exported.__doc__
    if name not in WITHOUT_EXAMPLE:
        texts = [exported.__doc__, *(method.__doc__ for method in vars(exported).values() if callable(method))]
        assert any(map(has_examples, texts)), f"{name} has no example that is run"
    if inspect.isfunction(exported):
        assert exported.__name__ == name
        known = list(inspect.signature(exported).parameters)
        explained = sections(inspect.getdoc(exported)).get("Args", [])
        assert len(known) == 1 or entries(explained) == known
