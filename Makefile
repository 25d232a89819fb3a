# Thin wrappers over the `ev-engine` command line; `make help` lists them.
VENV := .venv
BIN := $(VENV)/bin
# Settings come from the environment; .env adds what that does not name. A line of it that fails ends the target.
ENGINE := given=$$(export -p); set -ae; test ! -f .env || . ./.env; set +a; eval "$$given"; exec $(BIN)/ev-engine

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The files name every package that is installed: nothing is resolved, or compiled before it is used.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile
PIP_REQUIRE := $(PIP_INSTALL) --require-hashes -r

$(VENV)/.installed: requirements.txt pyproject.toml
	@test -d $(VENV) || { echo "Making the Python environment in $(VENV)/"; python3 -m venv $(VENV); }
	@echo "Installing the $$(grep -c == requirements.txt) packages of requirements.txt"
	@$(PIP_REQUIRE) requirements.txt
	@$(PIP_INSTALL) --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-simulate: $(VENV)/.installed requirements-simulate.txt
	@$(PIP_REQUIRE) requirements-simulate.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-simulate requirements-dev.txt
	@$(PIP_REQUIRE) requirements-dev.txt
	@touch $@

.PHONY: install
install: $(VENV)/.installed ## prepare .venv/ with the pinned dependencies and ev-engine

.PHONY: install-dev
install-dev: $(VENV)/.installed-dev

.PHONY: run
run: install ## start database, migrations and service on http://127.0.0.1:3000
	@$(ENGINE) serve

.PHONY: demo
demo: $(VENV)/.installed-simulate ## start the service with a live fleet of 200 + 200 and two weeks of history, in .data/demo
	@$(ENGINE) demo

.PHONY: test
test: install-dev ## run the whole test suite on every edition available here
	@$(BIN)/python -m pytest

.PHONY: screenshots
screenshots: install-dev ## take the pictures of the documentation again, with this machine's Chromium
	@$(BIN)/python -m pytest --quiet tests/browser --screenshots docs/images

.PHONY: test-properties
test-properties: install-dev ## compare every answer with a plain model, over random histories
	@$(BIN)/python -m pytest tests/properties

.PHONY: test-faults
test-faults: install-dev ## kill, hang and overload the service and its database (REPETITIONS=20)
	@$(BIN)/python -m pytest tests/faults --repetitions $(or $(REPETITIONS),1)

.PHONY: .docker
.docker:
	@docker compose version >/dev/null 2>&1 || \
		{ echo "Error: this needs Docker with its compose plugin; without it, 'make run' starts all on this machine" >&2; exit 1; }

.PHONY: up
up: .docker .env-secrets ## start the service with TimescaleDB in containers
	docker compose up --build --detach --wait

.PHONY: dashboards
dashboards: .docker .env-secrets ## start the same with Prometheus and Grafana (http://127.0.0.1:3001)
	docker compose --profile dashboards up --build --detach --wait
	@echo "Grafana: http://$$(docker compose --profile dashboards port grafana 3000), user admin, GRAFANA_PASSWORD in .env"

.PHONY: .env-secrets
.env-secrets:
	@for name in DB_PASSWORD ANALYST_PASSWORD GRAFANA_PASSWORD; do \
		grep -qs "^$$name=" .env || (umask 077; printf '%s=%s\n' $$name \
			"$$(LC_ALL=C tr -dc 'a-zA-Z0-9' < /dev/urandom | head -c 32)" >> .env); done

.PHONY: down
down: .docker ## stop the containers (their data stays)
	docker compose --profile dashboards down

.PHONY: migrate
migrate: install ## bring the database's schema up to date
	@$(ENGINE) migrate

.PHONY: rollback
rollback: install ## undo the newest migration (ALL=1: every one) and lose its data; says what, and does it with CONFIRM=yes
	@$(ENGINE) rollback $(if $(ALL),--all) $(if $(filter yes,$(CONFIRM)),--confirm)

.PHONY: psql
psql: install ## open psql on the service's database (ROLE=analyst: read only)
	@$(ENGINE) psql $(if $(ROLE),--role $(ROLE))

.PHONY: retention
retention: install ## show how long everything is kept, its size and its oldest row
	@$(ENGINE) retention

.PHONY: retention-set
retention-set: install ## keep rows for a time: TABLE=meter_telemetry_history KEEP='90 days' (DRY_RUN=1: only tell)
	@$(ENGINE) retention-set $(if $(DRY_RUN),--dry-run) -- '$(TABLE)' '$(KEEP)'

.PHONY: columnstore-set
columnstore-set: install ## move history to the columnstore after a time: AFTER='3 days'
	@$(ENGINE) columnstore-set -- '$(AFTER)'

.PHONY: jobs
jobs: install ## show every job with its last run, next run and failures
	@$(ENGINE) jobs

.PHONY: alerts-test
alerts-test: install ## send a notice to a receiver (URL=a URL in Apprise's notation; default: those in ALERT_URLS)
	@$(ENGINE) alerts-test $(URL)

.PHONY: doctor
doctor: install ## say what is wrong with the database and its server, and what to do
	@$(ENGINE) doctor

.PHONY: backup
backup: install ## write the database to a file, while the service runs: FILE=engine.backup
	@test -n '$(FILE)' || { echo "Error: FILE=engine.backup is needed: the file to write" >&2; exit 1; }
	@$(ENGINE) backup '$(FILE)'

.PHONY: restore
restore: install ## make an empty database what a backup holds, and compare: FILE=engine.backup
	@test -n '$(FILE)' || { echo "Error: FILE=engine.backup is needed: the file to read" >&2; exit 1; }
	@$(ENGINE) restore '$(FILE)'

.PHONY: simulate
simulate: $(VENV)/.installed-simulate ## send a small fleet to the running service, and keep it alive (ARGS='--devices 1000 --hours 48')
	@$(ENGINE) simulate $(or $(ARGS),--live forever)

.PHONY: keys-create
keys-create: install ## make a key (NAME=depot-7 SCOPE=ingest, or more: SCOPE='read admin'; DEVICE=id or PREFIX=text)
	@$(ENGINE) keys create --name '$(NAME)' $(foreach scope,$(SCOPE),--scope $(scope)) \
		$(if $(filter-out undefined,$(origin DEVICE)),--device '$(DEVICE)') \
		$(if $(filter-out undefined,$(origin PREFIX)),--prefix '$(PREFIX)')

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
lint: install-dev .lint-python .lint-dependencies ## check style, types and security, of the dependencies too

.PHONY: .lint-python
.lint-python: install-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive service

# PyPI tells the advisories on a release; OSV_URL names another service, such as one inside a closed network.
AUDIT = $(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
	-r requirements.txt -r requirements-simulate.txt -r requirements-dev.txt $(if $(OSV_URL),--vulnerability-service osv --osv-url '$(OSV_URL)')

# Work goes on without a network, but not unnoticed.
.PHONY: .lint-dependencies
.lint-dependencies: install-dev
	@told=$$($(AUDIT) 2>&1) || case "$$told" in \
		*"known vulnerabilit"*) echo "$$told" >&2; exit 1;; \
		*) echo "lint: DEPENDENCIES NOT AUDITED: advisories cannot be asked for from here ('make audit' says why)" >&2;; esac

.PHONY: audit
audit: install-dev ## ask for known vulnerabilities of the pinned dependencies (OSV_URL=a service other than PyPI)
	@$(AUDIT) || { echo "audit: a vulnerability, or a dependency that could not be asked about (see above)" >&2; exit 1; }

.PHONY: fmt
fmt: install-dev ## format the Python code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

.PHONY: check
check: lint test ## everything that must pass before a commit lands

# What flask-openapi-swagger needs in order to run in Flask: only its files, Swagger UI, are used.
NOT_NEEDED := flask-openapi flask werkzeug jinja2 markupsafe blinker itsdangerous pydantic pydantic-core \
	annotated-types typing-inspection
PIP_COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(if $(KEEP),,--upgrade)
# The packages of one extra, which are installed after those of requirements.txt.
PIN_EXTRA = @$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project'] \
	['optional-dependencies']['$(1)'], sep='\n')" | $(PIP_COMPILE) --allow-unsafe -c requirements.txt -o requirements-$(1).txt -

.PHONY: requirements
requirements: install ## pin the newest allowed dependencies, with hashes (KEEP=1: keep the versions that still fit)
	@$(BIN)/python -m pip install --quiet pip-tools
	@$(PIP_COMPILE) $(NOT_NEEDED:%=--unsafe-package %) -o requirements.txt pyproject.toml
	$(call PIN_EXTRA,simulate)
	$(call PIN_EXTRA,dev)
