# The same targets serve people, the hooks, CI and the README.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# ends when make is ended: its shell passes no signal on
LAST   := python -m atelier.core.process
export PATH := $(CURDIR)/$(BIN):$(PATH)
# threads that wait sleep: spinning, two trainings side by side slow each other down many times
export OMP_WAIT_POLICY ?= PASSIVE

PORT   ?= 5000

.DEFAULT_GOAL := help
.PHONY: help demo repro train-all test test-cluster test-fast check format docs tree grid ui dashboard table lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 13

demo: train-all  ## everything on the embedded sample: pictures, numbers, table
	@atelier table
	@printf '\nPictures side by side:  make dashboard\nRuns and curves:        make ui\n'
	@printf 'The grid:               results/comparison/grid.png\n'

repro: $(VENV)/.installed data  ## run what has changed; one method's failure stops no other
	$(LAST) dvc repro --keep-going || { dvc repro --single-item compare; exit 1; }

train-all: $(VENV)/.installed data  ## the same, several methods side by side, one per GPU
	atelier fan-out && $(LAST) dvc repro || { dvc repro --single-item compare; exit 1; }

# a file's tests stay in one process, in the order of tests/conftest.py: the longest first
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev data  ## install what the tests need, run all but a cluster's, show what they cover
	pytest $(PARALLEL) -m "not cluster" --cov=atelier

test-cluster: $(VENV)/.installed-dev data  ## the tests that start Ray clusters on this machine, two at a time
	pytest $(PARALLEL) -n 2 -rs -m cluster tests/cluster

test-fast: $(VENV)/.installed-dev  ## the tests that need neither DVC nor a browser nor patience
	pytest $(PARALLEL) -m "not slow and not real and not browser and not cluster"

check: $(VENV)/.installed-dev  ## format, lint, types, who may import whom
	ruff format --check .
	ruff check .
	mypy
	lint-imports

format: $(VENV)/.installed-dev  ## rewrite the code in the house's format
	ruff format .
	ruff check --fix .

docs: $(VENV)/.installed-dev  ## the documentation as a site, in site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "open site/index.html"

tree: $(VENV)/.installed  ## renew what is derived: the tree in docs/architecture.md, models/dvc.yaml
	python -m tools.tree
	python -m tools.artifacts

grid: $(VENV)/.installed  ## renew the README's picture from the comparison's grid
	python -m tools.grid

ui: $(VENV)/.installed  ## MLflow on http://127.0.0.1:5000
	@atelier ui --port $(PORT)

dashboard: $(VENV)/.installed data  ## the comparison on http://localhost:8501
	streamlit run dashboard/app.py

table: $(VENV)/.installed  ## the comparison in the terminal
	@atelier table

lock:  ## renew the hashed lock files (needs uv)
	uv pip compile pyproject.toml --extra build --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --extra build --group dev --group docs --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --quiet -c requirements.lock \
		--output-file requirements-dev.lock

clean:  ## remove results and resumable state; DVC's cache and the runs stay
	rm -rf results/prepared results/models results/stylized results/metrics results/comparison \
		results/records .checkpoints

# Again when Git has brought another list: `dvc repro` would take the pictures that lie there for new ones.
data: data.dvc zoo.dvc | $(VENV)/.installed
	@atelier mend
	dvc pull --quiet data.dvc zoo.dvc
	@touch data

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("atelier needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the packages of requirements.lock (torch is large: this takes some minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
