# Every target sets up .venv by itself, from Python 3.11 to 3.13 and make alone. That takes minutes the first time,
# and nothing the second time.
#   make demo ARGS="--customers 500 --json"   passes options on to the command
#   make test PYTHON=python3.12               takes another Python for a new .venv

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# What installs packages; whoever has uv may say INSTALL="uv pip install --python .venv/bin/python".
INSTALL ?= $(BIN)/python -m pip install
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check fix docs chaos bench bench-network bench-learning bench-models bench-uplift bench-traffic bench-memory bench-reasons bench-serve bench-scale soak fuzz fuzz-serve clean
.DELETE_ON_ERROR:

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  Options of the command go into ARGS="...".'

demo: $(VENV)/demo.stamp ## Simulate, train, stream through real Kafka and Redis, show who is about to buy (ARGS=--serve: live)
	$(BIN)/intent demo $(ARGS)

test: $(VENV)/dev.stamp ## Run all tests (Kafka and Redis: INTENT_SERVICES=auto|docker|embedded|external)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/dev.stamp ## Lint, format, types, layers, known weaknesses of packages, and documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.audit
	$(BIN)/python -m pytest -q tests/test_documents.py tests/test_document_blocks.py

fix: $(VENV)/dev.stamp ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/docs.stamp ## Build the documentation into site/
	$(BIN)/mkdocs build --strict --config-file .mkdocs.yml --site-dir site $(ARGS)

chaos: $(VENV)/dev.stamp ## Random faults on real servers, then an exact account: ARGS="--minutes 10 --seed 7"
	$(BIN)/python -m tests.chaos $(ARGS)

bench: $(VENV)/bench.stamp ## Throughput and latency, side by side with Faust, Quix Streams, Bytewax, Kafka Streams and Flink
	$(BIN)/python -m benchmarks $(ARGS)

bench-network: $(VENV)/bench.stamp ## How much of the best possible score the network reaches (minutes)
	$(BIN)/python -m benchmarks.network $(ARGS)

bench-learning: $(VENV)/bench.stamp ## What learning online brings and costs, on Online Retail and in two sales (minutes)
	$(BIN)/python -m benchmarks.learning $(ARGS)

bench-models: $(VENV)/bench.stamp ## All models on public data sets, by fixed protocols (most of an hour)
	$(BIN)/python -m benchmarks.models $(ARGS)

bench-uplift: $(VENV)/bench.stamp ## Coverage and false alarms of intent uplift: simulated experiments, looked at every day (minutes)
	$(BIN)/python -m benchmarks.uplift $(ARGS)

bench-traffic: $(VENV)/bench.stamp ## Precision and recall of the rules for bots, on simulated bots and real people (a minute)
	$(BIN)/python -m benchmarks.traffic $(ARGS)

bench-memory: $(VENV)/bench.stamp ## Training data of a log larger than the memory allowed, against the same in memory (minutes)
	$(BIN)/python -m benchmarks.memory $(ARGS)

bench-reasons: $(VENV)/bench.stamp ## What reasons cost the engine, and how far they agree with Shapley values (minutes)
	$(BIN)/python -m benchmarks.reasons
	$(BIN)/python -m benchmarks.shapley $(ARGS)

bench-serve: $(VENV)/bench.stamp ## What look-ups over HTTP cost, and how soon they are answered (two minutes)
	$(BIN)/python -m benchmarks.serving $(ARGS)

bench-scale: $(VENV)/bench.stamp ## Two workers, a million customers, learning, a killed worker, rolling restarts (20 minutes)
	$(BIN)/python -m benchmarks.scale $(ARGS)

soak: $(VENV)/bench.stamp ## Is memory flat? A million customers come, and are replaced again and again (an hour)
	$(BIN)/python -m benchmarks.soak $(ARGS)

fuzz: $(VENV)/dev.stamp ## Whatever reads bytes from outside, with inputs made at random (ARGS="--inputs 10_000_000")
	$(BIN)/python -m tests.fuzz $(ARGS)

fuzz-serve: $(VENV)/dev.stamp ## 10,000 requests that Schemathesis makes of the contract of intent serve (minutes)
	$(BIN)/python -m tests.fuzz.requests $(ARGS)

clean: ## Remove .venv and what the tools left
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build site benchmarks/peers/java/target
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of packages. SIZE is what a new .venv holds then; a second set adds only what it lacks.
$(VENV)/demo.stamp: PACKAGES := --editable '.[worker,learn,serve,train,embedded]'
$(VENV)/demo.stamp: SIZE := 3.5 GB
$(VENV)/dev.stamp: PACKAGES := --editable '.[all]' --group dev
$(VENV)/dev.stamp: SIZE := 4 GB
$(VENV)/docs.stamp: PACKAGES := --editable . --group docs
$(VENV)/docs.stamp: SIZE := 0.2 GB
$(VENV)/bench.stamp: PACKAGES := --editable '.[all]' --group bench
$(VENV)/bench.stamp: SIZE := 4 GB

$(VENV)/%.stamp: pyproject.toml constraints.txt | $(VENV)/pip.stamp
	@echo "Installing into $(VENV): $(PACKAGES)" >&2
	@echo "Up to $(SIZE) on disk and 2 to 5 minutes, this time only:" >&2
	@$(INSTALL) --constraint constraints.txt $(PACKAGES) >&2
	@touch $@

# Dependency groups need pip 25.1.
$(VENV)/pip.stamp: | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' >&2
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "$$($(PYTHON) --version) does not fit: name a Python 3.11, 3.12 or 3.13 by make PYTHON=..." >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)" >&2
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
