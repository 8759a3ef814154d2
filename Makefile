# What a newcomer and a developer type. Each target first installs what it needs, once, and says so.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

BIN := .venv/bin
INSTALLED := .venv/.installed
say = @printf '\033[1m%s\033[0m\n' "$(1)"

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: lab-ready ## Watch a Service get an address and survive the loss of its node (needs root)
	@$(BIN)/baremetal-lb demo

.PHONY: lab
lab: lab-ready ## Start a three-node Kubernetes in network namespaces and leave it up (needs root)
	@$(BIN)/baremetal-lb lab up

.PHONY: test
test: lab-ready check ## Check, then test on a real Kubernetes in network namespaces (needs root)
	$(call say,Tests in the lab)
	@$(BIN)/pytest tests/lab --durations=25

.PHONY: check
check: $(INSTALLED) ## Format, lint, types, layers, generated files, unit and property tests
	$(call say,Format and lint)
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	$(call say,Types)
	@$(BIN)/mypy
	$(call say,Layers)
	@$(BIN)/lint-imports --no-logo
	$(call say,Generated files)
	@$(BIN)/python -m baremetal_lb.api.crds --check
	$(call say,Unit and property tests)
	@$(BIN)/pytest tests --ignore=tests/lab

.PHONY: format
format: $(INSTALLED) ## Format the code and mend what the linter can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: crds
crds: $(INSTALLED) ## Regenerate crds/ from the models in baremetal_lb/api/
	@$(BIN)/python -m baremetal_lb.api.crds

.PHONY: bench
bench: lab-ready ## Run all benchmarks, or one: make bench BENCH=assign (needs root)
	@$(BIN)/python -m bench $(BENCH)

.PHONY: requirements
requirements: $(INSTALLED) ## Pin what pyproject.toml asks for, with hashes, in requirements*.txt
	@pin() { $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate pyproject.toml "$$@"; }; \
	pin --output-file requirements.txt; \
	pin --group dev --output-file requirements-dev.txt

.PHONY: clean
clean: ## Remove the virtual environment and the caches of the tools
	rm -rf .venv .hypothesis .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment with exactly the pinned packages, and this checkout in it.
$(INSTALLED): requirements-dev.txt pyproject.toml
	$(call say,Installing the Python packages of requirements-dev.txt into .venv (about a minute))
	@python=$$(.ci/prerequisites python) && "$$python" -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Root, and Debian's packages. The control plane is found or built by the lab itself, which tells how long that takes.
.PHONY: lab-ready
lab-ready: lab-possible $(INSTALLED)
	@packages=$$($(BIN)/baremetal-lb lab doctor --packages) && .ci/prerequisites lab $$packages
	@missing=$$($(BIN)/baremetal-lb lab doctor) || { printf '%s\n' "$$missing" >&2; exit 1; }

.PHONY: lab-possible
lab-possible:
	@.ci/prerequisites lab
