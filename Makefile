# What a person types here: make demo, make test, make check. Everything else serves those three.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: docs help setup widget demo test test-stores-and-pages test-everything-else keycloak-jar test-keycloak demo-keycloak bench-keycloak check lock soak bench-memory evaluate wheel screenshots readme-run clean

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: requirements-dev.lock pyproject.toml
	mkdir -p widget/dist
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

widget/node_modules/.installed: widget/package-lock.json
	cd widget && npm ci --no-audit --no-fund --silent
	touch $@

widget/dist/manifest.json: widget/node_modules/.installed widget/build.mjs $(wildcard widget/src/*.ts widget/src/signals/*.ts)
	cd widget && npm run --silent build

setup: $(VENV)/.installed  ## Make .venv from the lock file
widget: widget/dist/manifest.json  ## Build widget/dist

demo: setup widget  ## Run sidecar, demo provider and demo application (DEMO_ARGS="--no-browser --port 9000")
	@$(BIN)/gaitkeeper demo $(DEMO_ARGS)

test: setup widget  ## Run every test that belongs to a commit
	cd widget && npm test --silent
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-stores-and-pages test-everything-else

test-stores-and-pages:
	$(BIN)/python -m pytest tests/conformance tests/e2e $(PYTEST_ARGS)

test-everything-else:
	$(BIN)/python -m pytest --ignore=tests/conformance --ignore=tests/e2e $(PYTEST_ARGS)

check: setup widget  ## Linters, types, import rules, widget size
	$(BIN)/ruff format --check sidecar idp_adapters tests benchmarks docs
	$(BIN)/ruff check sidecar idp_adapters tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/generate.py --check
	cd widget && npm run --silent check

KEYCLOAK := idp_adapters/resources/keycloak
keycloak-jar: widget  ## Build and test the Keycloak provider (needs Maven and JDK 17 or newer)
	mvn -B -q -f $(KEYCLOAK)/pom.xml package

# A JAVA_HOME for each version, in the same order; "-" is the machine's own. The last one holds for those after it.
KEYCLOAK_VERSIONS ?= 26.7.3 26.6.4
KEYCLOAK_JAVAS ?= - $(or $(firstword $(wildcard /usr/lib/jvm/*25*)),-)
test-keycloak: setup keycloak-jar  ## Real Keycloaks, sidecar and browsers (KEYCLOAK_VERSIONS=26.7.3); downloads the servers
	@set -e; set -- $(KEYCLOAK_JAVAS); for version in $(KEYCLOAK_VERSIONS); do \
	  echo "Keycloak $$version, Java: $$1"; \
	  if [ "$$1" != - ]; then export JAVA_HOME=$$1; fi; \
	  KEYCLOAK_VERSION=$$version $(BIN)/python -m pytest tests/keycloak $(PYTEST_ARGS); \
	  if [ $$# -gt 1 ]; then shift; fi; done

demo-keycloak: setup keycloak-jar  ## The same with a real Keycloak (Maven, JDK 17); downloads the server
	@$(BIN)/python -m sidecar.demo.keycloak $(DEMO_ARGS)

KEYCLOAK_ARGS ?=
bench-keycloak: setup keycloak-jar  ## What a login costs more with the plugin, on a real server (KEYCLOAK_ARGS="--pairs 100")
	$(BIN)/python -m benchmarks.keycloak_latency $(KEYCLOAK_ARGS)

MEMORY_ARGS ?=
SOAK_KILLS ?= 1000
SOAK_ARGS ?=
SOAK_INPUTS ?= 2000000
soak: setup widget  ## Kills, rotations cut short and failing databases, on both stores (SOAK_KILLS=1000); odd policies (SOAK_INPUTS)
	$(BIN)/python -m benchmarks.soak --kills $(SOAK_KILLS) $(SOAK_ARGS)
	$(BIN)/python -m benchmarks.policy_fuzz --inputs $(SOAK_INPUTS)

bench-memory: setup  ## Measure what memory costs (MEMORY_ARGS="--users 2000" for a small one)
	$(BIN)/python -m benchmarks.memory $(MEMORY_ARGS)

DATA ?= ../shared/data/keystroke
EVALUATE_ARGS ?= --json k.json --html k.html
evaluate: setup  ## Error rates of all settings beside the baselines (DATA=DIR; a quarter of an hour on two cores)
	$(BIN)/gaitkeeper evaluate keystroke --data $(DATA) --setting all $(EVALUATE_ARGS)

wheel: setup widget  ## Build dist/*.whl
	$(BIN)/python -m hatchling build -t wheel

readme-run: ## Run the README's commands in an empty home on a clean clone
	$(PYTHON) tests/e2e/readme_run.py

docs: setup  ## Renew the generated tables of docs/
	$(BIN)/python docs/generate.py

screenshots: setup widget  ## Renew docs/images
	$(BIN)/python tests/screenshots.py

lock:  ## Renew the lock files (needs uv)
	uv pip compile -q pyproject.toml --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -o requirements.lock
	uv pip compile -q pyproject.toml --extra browser --extra literature --group dev --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -o requirements-dev.lock

clean:  ## Remove what make made
	rm -rf $(VENV) widget/node_modules widget/dist dist .gaitkeeper
