# Commands for a fresh machine with Python ≥ 3.11, pip and make:
#   make demo     train and map the built-in study "demo", and print where its report is
#   make check    linters, types, and every test that starts no process
#   make test     all tests
#   make docs     the documentation site, in build/site: open build/site/index.html
#   make strip    remove the outputs of notebooks before a commit
#   make thorough the tests that start no process, with XLA's optimisations, and the types of every call checked
# With another Python, in an environment beside the first: make check PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ATLAS ?= atlases/demo

.PHONY: demo test check thorough quick-tests lint docs strip lock clean

demo: $(VENV)/.ready
	$(BIN)/dynatlas run demo $(ATLAS)

# The files that train networks take longest and come first, so that no core is left with them at the end.
test: $(VENV)/.ready-dev
	$(BIN)/python -m pytest --quick --jaxtyping-packages= --numprocesses auto --dist loadfile --no-loadscope-reorder \
		tests/pipeline/test_pipeline.py tests/pipeline/test_cluster.py tests/cli/test_cli.py tests src

# The linters beside the tests.
check: $(VENV)/.ready-dev
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target quick-tests lint

# Programs as users compile them, and a check of every call's types, take twice the time: a run that CI makes.
thorough: $(VENV)/.ready-dev
	$(BIN)/python -m pytest --check --quiet --numprocesses auto --dist worksteal tests src

quick-tests: $(VENV)/.ready-dev
	$(BIN)/python -m pytest --check --quick --jaxtyping-packages= --quiet --numprocesses auto --dist worksteal tests src

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Neither needs a network. Links are checked twice: in the sources by Sphinx, and in the pages by a script. Notebooks are
# executed without XLA's optimisations, since most of their time is compilation.
docs: $(VENV)/.ready-docs
	rm -rf build/site
	IPYTHONDIR=$(CURDIR)/build/ipython JAX_PLATFORMS=cpu JAX_DISABLE_MOST_OPTIMIZATIONS=1 \
		$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --conf-dir docs --doctree-dir build/doctrees . build/site
	$(BIN)/python docs/_extensions/check_site.py build/site

# The repository holds notebooks without outputs.
strip: $(VENV)/.ready-dev
	$(BIN)/python docs/_extensions/strip_notebooks.py docs/notebooks

# The constraints name one tested version of everything; without them a new release could break a fresh clone. They serve
# every Python that pyproject.toml names.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.ready-docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

# Write constraints.txt from the environment as it is.
lock: $(VENV)/.ready-dev $(VENV)/.ready-docs
	$(BIN)/python -m pip freeze --exclude-editable --exclude torch | grep '==' > constraints.txt

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
