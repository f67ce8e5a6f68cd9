# Every target sets up what it needs: `make reproduce` and `make test` work as the first command of a fresh clone.
PYTHON ?= python3
# How long `make reproduce-full` may take, e.g. 20m; empty: as long as it takes.
BUDGET ?=
# The compute backend of torch: empty installs the locked build; `cpu` asks uv for torch's CPU-only build.
TORCH_BACKEND ?=
# The Python of the machine that `make device-wheels` packs for.
DEVICE_PYTHON ?= 3.12
BIN := .venv/bin
READY := .venv/.ready
UV = $(shell command -v uv || echo $(BIN)/uv)

.DEFAULT_GOAL := help
.PHONY: help setup reproduce decide reproduce-full report stability test test-fast bench doctor-bench soak device-check device-wheels lint format verdicts-table docs wheel lock audit ui mlflow-server clean

help: ## print the targets, one line each
	@grep -hE '^[a-z%A-Z_-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY) ## create .venv and install the locked dependencies

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else "vgtemplate needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.12 ..." % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv || echo "uv cannot be had: pip installs instead, which takes longer"
	@if [ -n "$(TORCH_BACKEND)" ]; then \
	  VIRTUAL_ENV=.venv $(UV) pip install --compile-bytecode --torch-backend $(TORCH_BACKEND) --no-verify-hashes --constraint requirements.lock ".[dev]"; \
	elif [ -x "$(UV)" ]; then \
	  VIRTUAL_ENV=.venv $(UV) pip install --compile-bytecode --require-hashes --requirement requirements.lock; \
	else \
	  $(BIN)/python -m pip install --require-hashes --requirement requirements.lock; \
	fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

# From here to article-%: the laboratory's; to be deleted with it.
reproduce: $(READY) ## judge every claim over ten seeds, the first look, and print the verdicts
	@$(BIN)/vgt reproduce

decide: $(READY) ## go on to 30 and 100 seeds with the claims on which ten disagree
	@$(BIN)/vgt reproduce --decide

reproduce-full: $(READY) ## the same in the register's full setting, three claims more; BUDGET=20m: what fits into that
	@$(BIN)/vgt reproduce --setting full $(if $(BUDGET),--budget $(BUDGET))

report: $(READY) ## write results/report/index.html from the records, training nothing
	@$(BIN)/vgt report

claim-%: $(READY) ## judge one claim, e.g. make claim-relu-keeps-gradient
	@$(BIN)/vgt reproduce $*

stability: $(READY) ## judge the claims on other seeds, threads, precisions, widths, data sets, machines: what changes?
	@$(BIN)/vgt stability --sets 3

verdicts-table: $(READY) ## fill the table of docs/verdicts.md from the committed verdicts that it names, and draw them
	@$(BIN)/vgt verdicts fill docs/verdicts.md
	@$(BIN)/vgt verdicts draw docs/verdicts/mnist-amd-epyc-avx2.json docs/pictures/verdicts.png

article-%: $(READY) ## judge one article's claims: bn-relu, slow-training, unstable-gradients, causes-cures
	@$(BIN)/vgt reproduce --article $*

test: $(READY) ## run every test (a few minutes)
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal --durations=25

test-fast: $(READY) ## run the fast tests only (about a minute)
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal -m "not slow and not real_data"

bench: $(READY) ## time training, probes, start-up and scaling against others' ways, side by side
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

bench-%: $(READY) ## one suite: throughput, looking, startup, scaling, device, reproduction (half an hour)
	@$(BIN)/python -m benchmarks $*

doctor-bench: $(READY) ## run the doctor beside its zoo's calibration half: recall, right codes, false alarms, published rules
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.doctor --half calibration --peers

soak: $(READY) ## kill trainings at random for ten minutes: not one bit may differ
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.reliability soak --minutes 10

# On a borrowed machine nothing is set up: what Python is there, and the wheels that were packed beforehand.
device-check: ## what a device makes of it, in eight minutes: verdicts, bits, kills, steps per second
	@$(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks.devicecheck

device-wheels: $(READY) ## pack what a borrowed machine lacks for device-check, for its DEVICE_PYTHON
	@$(PYTHON) -m pip download --quiet --only-binary=:all: --python-version $(DEVICE_PYTHON) --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --dest .device-wheels pydantic

lint: $(READY) ## ruff check, ruff format --check, mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY) ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(READY) ## write the documentation into site/; opens without a network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

wheel: $(READY) ## build dist/*.whl and the source distribution; needs no network
	@$(BIN)/python -m hatchling build

lock: $(READY) ## resolve requirements.lock anew from pyproject.toml
	@$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --upgrade --quiet -o requirements.lock

audit: $(READY) ## look up every locked package in a database of known vulnerabilities (needs a network)
	@$(UV) tool run pip-audit --requirement requirements.lock --disable-pip --require-hashes --strict --progress-spinner off \
	  || { echo "audit failed: either a package has a known vulnerability, or the database could not be asked; the lines above say which" >&2; exit 1; }

ui: $(READY) ## open the MLflow UI on http://127.0.0.1:5000
	@$(BIN)/vgt ui

mlflow-server: $(READY) ## start an MLflow server as teams run it, with PostgreSQL and a password (docs/cluster.md)
	@PATH="$(abspath $(dir $(UV))):$$PATH" benchmarks/mlflow_server/serve.sh mlflow-server

clean: ## remove .venv and the caches (results/ and data/ stay)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
