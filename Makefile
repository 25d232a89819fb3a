# Thin wrappers over the `ev-engine` command line; `make help` lists them.
VENV := .venv
BIN := $(VENV)/bin
# Settings come from the environment; .env adds to it.
ENGINE := set -a; test ! -f .env || . ./.env; set +a; exec $(BIN)/ev-engine

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements.txt pyproject.toml
	@test -d $(VENV) || python3 -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

.PHONY: install
install: $(VENV)/.installed ## prepare .venv/ with the pinned dependencies and ev-engine

.PHONY: install-dev
install-dev: $(VENV)/.installed-dev

.PHONY: run
run: install ## start database, migrations and service on http://127.0.0.1:3000
	@$(ENGINE) serve

.PHONY: test
test: install-dev ## run the whole test suite on every edition available here
	@$(BIN)/python -m pytest

.PHONY: test-properties
test-properties: install-dev ## compare every answer with a plain model, over random histories
	@$(BIN)/python -m pytest tests/properties

.PHONY: test-faults
test-faults: install-dev ## kill, hang and overload the service and its database
	@$(BIN)/python -m pytest tests/faults

.PHONY: up
up: .env-password ## start the service with TimescaleDB in containers
	docker compose up --build --detach --wait

.PHONY: .env-password
.env-password:
	@grep -qs '^DB_PASSWORD=' .env || (umask 077; printf 'DB_PASSWORD=%s\n' \
		"$$(LC_ALL=C tr -dc 'a-zA-Z0-9' < /dev/urandom | head -c 32)" >> .env)

.PHONY: down
down: ## stop the containers (their data stays)
	docker compose down

.PHONY: migrate
migrate: install ## bring the database's schema up to date
	@$(ENGINE) migrate

.PHONY: rollback
rollback: install ## undo the newest migration (ALL=1: every one; data is lost)
	@$(ENGINE) rollback $(if $(ALL),--all)

.PHONY: psql
psql: install ## open psql on the service's database
	@$(ENGINE) psql

.PHONY: simulate
simulate: install ## send a simulated fleet to the running service (ARGS='--devices 100')
	@$(ENGINE) simulate $(ARGS)

.PHONY: keys-create
keys-create: install ## make a key (NAME=depot-7 SCOPE=ingest, or more: SCOPE='read admin'; DEVICE=id or PREFIX=text)
	@$(ENGINE) keys create --name '$(NAME)' $(foreach scope,$(SCOPE),--scope $(scope)) \
		$(if $(DEVICE),--device '$(DEVICE)') $(if $(PREFIX),--prefix '$(PREFIX)')

.PHONY: keys-list
keys-list: install ## list the keys (ALL=1: revoked ones too)
	@$(ENGINE) keys list $(if $(ALL),--all)

.PHONY: keys-revoke
keys-revoke: install ## end a key (NAME=depot-7)
	@$(ENGINE) keys revoke '$(NAME)'

.PHONY: keys-rotate
keys-rotate: install ## give a key a new secret (NAME=depot-7)
	@$(ENGINE) keys rotate '$(NAME)'

.PHONY: bench
bench: install-dev ## measure ingest, answers and storage on this machine (ARGS='--quick')
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: lint
lint: install-dev ## check style, types and security
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive service

.PHONY: audit
audit: install-dev ## ask PyPI for known vulnerabilities of the pinned dependencies (needs the internet)
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements.txt -r requirements-dev.txt || \
		{ echo "audit: a vulnerability, or a dependency that could not be asked about (see above)" >&2; exit 1; }

.PHONY: fmt
fmt: install-dev ## format the Python code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

.PHONY: check
check: lint test ## everything that must pass before a commit lands

PIP_COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: requirements
requirements: install ## pin the newest allowed dependencies, with hashes
	@$(BIN)/python -m pip install --quiet pip-tools
	@$(PIP_COMPILE) --upgrade -o requirements.txt pyproject.toml
	@$(PIP_COMPILE) --upgrade --extra dev -c requirements.txt -o requirements-dev.txt pyproject.toml
