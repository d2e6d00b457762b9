# Everything one types here. Targets with a "##" comment show up in "make help".
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON := .venv/bin/python
READY  := .venv/.ready
BENCH  := .venv/.bench
CODE   := lakehouse producer consumer cleaner bench docker scripts tests

.PHONY: help up down logs setup demo run test faults e2e bench pictures check clean

help: ## show this help
	@echo 'usage: make TARGET'
	@sed -n 's/^\([a-z0-9]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-8s %s\n", $$1, $$2 }'
	@echo
	@echo "The programs' own words: .venv/bin/python -m producer|consumer|cleaner --help"

up: ## the four containers, built and started, until "make down"
	docker compose up --detach --build

down: ## stop and remove the containers; the lake and the logs stay
	docker compose down

logs: ## what the containers say, until Ctrl-C
	docker compose logs --follow --tail 50

setup: $(READY) ## .venv with pinned packages, Java 17+ if none is there, Delta's JARs; again only when these change
	@echo 'Ready: .venv has all that the pipeline needs.'

$(READY): pyproject.toml constraints.txt scripts/setup.sh scripts/install_jars.py scripts/archive_classes.py
	@scripts/setup.sh $@

demo: $(READY) ## the whole pipeline for about two minutes, then its report; LOGS="FILE..." runs it on your own logs
	@scripts/demo.sh

run: $(READY) ## all three programs and the page until Ctrl-C
	@scripts/run.sh

test: $(READY) ## the tests: unit, spark and streaming, in two processes
	$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not e2e and not long'

faults: $(READY) ## the faults in their long form, hundreds of kills: an hour or so; SEED=N runs a seed again, or on
	SEED=$(or $(SEED),$$(date +%s)) $(PYTHON) -m pytest -o log_cli=true -o log_cli_level=INFO tests/faults tests/spark/test_replay.py tests/spark/test_engines.py tests/spark/test_connect.py tests/streaming/test_shared.py

e2e: $(READY) ## build the images and test the containers on a Docker engine, crashes included; some 15 minutes
	$(PYTHON) -m pytest -m e2e tests/e2e

bench: $(BENCH) ## measure the pipeline beside its peers: small sizes, less than ten minutes; FULL=1 the real ones, for hours; ROWS="merge idle" some rows
	$(PYTHON) -m bench $(ROWS) $(if $(FULL),--full; status=$$?; $(PYTHON) -m bench page && exit $$status)

$(BENCH): $(READY)
	@$(PYTHON) -m pip install --quiet -c constraints.txt -e '.[producer,spark,page,connect,dev,bench]'
	@touch $@

pictures: $(READY) ## docs/pictures/page*.png, from the lake that "make demo" leaves; needs chromium
	$(PYTHON) scripts/pictures.py

check: $(READY) ## ruff, mypy --strict and the import rules
	$(PYTHON) -m ruff check $(CODE)
	$(PYTHON) -m ruff format --check $(CODE)
	$(PYTHON) -m mypy --strict
	.venv/bin/lint-imports --no-cache

clean: ## remove .venv and caches; the lake and the logs stay
	rm -rf .venv bench/scratch build ./*.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache spark-warehouse
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
