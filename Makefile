# The verbs that people and CI share. All paths are relative, so the folder's own name may hold spaces.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run demo worker test check lint format types lock models doctor bench bench-given test-inputs fuzz soak cost load fleet million pages

VENV := .venv
PY := $(VENV)/bin/python
MANAGE := $(PY) manage.py
# Any Python from 3.11 on; say which with PYTHON=/path/to/python3.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$name && break; done)
# `make run` is for one machine and one person: payments are pretended and the admin opens without MFA.
SANDBOX ?= $(or $(shell sed -n 's/^SANDBOX=//p' .env 2>/dev/null),1)

# What `make worker` takes, the preferred first.
QUEUES ?= $(or $(WORKER_QUEUES),$(shell sed -n 's/^WORKER_QUEUES=\([a-z,]*\).*/\1/p' .env 2>/dev/null),$(ALL_QUEUES))
ALL_QUEUES := preview,cpu,gpu
comma := ,

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' Makefile

run: $(VENV)/run.stamp ## the whole site, until Ctrl-C (PORT=8000 HOST=127.0.0.1 DATA_DIR=./data)
	@SANDBOX="$(SANDBOX)" exec $(MANAGE) run --with-parent

demo: $(VENV)/run.stamp ## the same with a demo account and a finished job of each model
	@SANDBOX="$(SANDBOX)" exec $(MANAGE) demo --with-parent

worker: $(VENV)/run.stamp ## one more worker for the site that runs on DATA_DIR or REDIS_URL (QUEUES=gpu,cpu)
	@SANDBOX="$(SANDBOX)" exec $(MANAGE) rqworker $(subst $(comma), ,$(QUEUES)) --worker-class=apps.jobs.worker.Worker --serializer=rq.serializers.JSONSerializer

models: $(VENV)/run.stamp ## which networks are installed, their sources and licences
	@$(MANAGE) models

doctor: $(VENV)/run.stamp ## what is wrong with this installation, and what to do (ARGS=--thorough)
	@SANDBOX="$(SANDBOX)" $(MANAGE) doctor $(ARGS)

test: $(VENV)/dev.stamp ## the whole test suite
	@$(PY) -m pytest $(ARGS)

bench: bench-given $(VENV)/bench.stamp ## how good and how dear the models are (BENCH=DIR MODELS=human,pro ONLY=glass PARTS=models,raw ABLATE=pro QUICK=1 FRESH=1 PUBLISH=1)
	@$(PY) -m bench "$(BENCH)" $(if $(MODELS),--models "$(MODELS)") $(if $(ONLY),--only "$(ONLY)") $(if $(PARTS),--parts "$(PARTS)") $(if $(ABLATE),--ablate "$(ABLATE)") \
		$(if $(filter 1,$(QUICK)),--quick) $(if $(filter 1,$(FRESH)),--fresh) $(if $(filter 1,$(PUBLISH)),--publish) --rembg-python $(VENV)/bench/bin/python

bench-given:
	@test -n "$(BENCH)" || { echo "error: name the folder with score.py and the sequences: make bench BENCH=DIR (see docs/benchmarks.md)" >&2; exit 1; }

test-inputs: $(VENV)/run.stamp ## hard files through the command line and the API (INPUTS=DIR with index.json; ONLY=mp4 WAYS=cli JOBS=3 FORMAT=webm)
	@test -n "$(INPUTS)" || { echo "error: name the folder with index.json: make test-inputs INPUTS=DIR (see docs/trials.md)" >&2; exit 1; }
	@$(PY) -m trials.inputs "$(INPUTS)" $(if $(ONLY),--only "$(ONLY)") $(if $(WAYS),--ways "$(WAYS)") $(if $(JOBS),--jobs "$(JOBS)") $(if $(FORMAT),--format "$(FORMAT)")

fuzz: $(VENV)/run.stamp ## damaged copies through probe and process (SEED=1 COUNT=1000 INPUTS=DIR)
	@$(PY) -m trials.fuzz $(if $(SEED),--seed "$(SEED)") $(if $(COUNT),--count "$(COUNT)") $(if $(INPUTS),--inputs "$(INPUTS)")

soak: $(VENV)/run.stamp ## memory over a long film (MINUTES=30 HUMAN_MINUTES=3 SIZE=1920x1080)
	@$(PY) -m trials.soak $(if $(MINUTES),--minutes "$(MINUTES)") $(if $(HUMAN_MINUTES),--human-minutes "$(HUMAN_MINUTES)") $(if $(SIZE),--size "$(SIZE)")

cost: $(VENV)/run.stamp ## the whole pipeline beside its stages alone (MODELS=chroma,light FORMATS=webm SIZES=1280x720 TURNS=3 INPUTS=DIR)
	@$(PY) -m trials.cost $(if $(MODELS),--models "$(MODELS)") $(if $(FORMATS),--formats "$(FORMATS)") $(if $(SIZES),--sizes "$(SIZES)") \
		$(if $(TURNS),--turns "$(TURNS)") $(if $(INPUTS),--inputs "$(INPUTS)")

load: $(VENV)/$(if $(filter 1,$(CHAOS)),dev,run).stamp ## fifty accounts at once (ACCOUNTS=50 SECONDS=60 CORES=2); CHAOS=1 SEED=1: for 5 minutes on a fleet that is broken all the while
	@$(PY) -m trials.$(if $(filter 1,$(CHAOS)),chaos $(if $(SEED),--seed "$(SEED)"),load $(if $(CORES),--cores "$(CORES)")) \
		$(if $(ACCOUNTS),--accounts "$(ACCOUNTS)") $(if $(SECONDS),--seconds "$(SECONDS)")

fleet: $(VENV)/run.stamp ## jobs a minute of one worker and of two, and a hundred played from it (MODEL=light TURNS=5 JOBS=6 FRAMES=25 WRITE=docs/fleet.md)
	@$(PY) -m trials.fleet $(if $(MODEL),--model "$(MODEL)") $(if $(TURNS),--turns "$(TURNS)") $(if $(JOBS),--jobs "$(JOBS)") \
		$(if $(FRAMES),--frames "$(FRAMES)") $(if $(WRITE),--write "$(WRITE)")

million: $(VENV)/dev.stamp ## every list, record and search with a million jobs on PostgreSQL (JOBS=1000000 DATABASE=URL FOLDER=DIR ONLY=webhooks TURNS=5)
	@$(PY) -m trials.million $(if $(JOBS),--jobs "$(JOBS)") $(if $(DATABASE),--database "$(DATABASE)") $(if $(FOLDER),--folder "$(FOLDER)") $(if $(ONLY),--only "$(ONLY)") \
		$(if $(TURNS),--turns "$(TURNS)")

pages: $(VENV)/dev.stamp ## what each page costs and weighs for an account with fifty jobs (JOBS=50 TURNS=20 ONLY=History)
	@$(PY) -m trials.pages $(if $(JOBS),--jobs "$(JOBS)") $(if $(TURNS),--turns "$(TURNS)") $(if $(ONLY),--only "$(ONLY)")

check: lint types ## everything that can be checked without running it
	@$(PY) -c 'from importlinter.cli import lint_imports_command as main; main()'
	@$(PY) -m djlint templates --lint --check
	@$(MANAGE) makemigrations --check --dry-run
	@$(MANAGE) check

lint: $(VENV)/dev.stamp ## style: ruff
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

format: $(VENV)/dev.stamp ## let ruff and djLint rewrite what they can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .
	@$(PY) -m djlint templates --reformat --quiet

types: $(VENV)/dev.stamp ## mypy, strict
	@$(PY) -m mypy

lock: $(VENV)/run.stamp ## write the lock files anew from pyproject.toml
	@rm -rf $(VENV)/lock && $(PY) -m venv $(VENV)/lock && $(VENV)/lock/bin/python -m pip install --quiet uv
	@$(VENV)/lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock
	@$(VENV)/lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	@$(VENV)/lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" --group bench -c requirements.lock -o requirements-bench.lock
	@$(VENV)/lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" --group gpu -c requirements.lock -o requirements-gpu.lock
	@$(VENV)/lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" --group sentry -c requirements.lock -o requirements-sentry.lock
	@rm -rf $(VENV)/lock

# The stamps are written last, so an installation that was interrupted is taken up again.
$(VENV)/run.stamp: requirements.lock
	@test -n "$(PYTHON)" || { echo "error: Python 3.11, 3.12 or 3.13 is needed and none was found. Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] < (3, 14) else f"error: $(PYTHON) is Python {v[0]}.{v[1]}; 3.11, 3.12 or 3.13 is needed")'
	@echo "Preparing $(VENV) with $(PYTHON) (about 700 MB, once)…"
	@$(PY) -c '' 2>/dev/null || rm -rf $(VENV)
	@"$(PYTHON)" -m venv $(VENV) || { echo "error: this Python cannot make environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements.lock
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements-dev.lock
	@echo "Adding the tools for tests and checks…"
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements-dev.lock
	@touch $@

# rembg brings its own versions of our libraries, so it lives apart.
$(VENV)/bench.stamp: $(VENV)/run.stamp requirements-bench.lock
	@echo "Preparing $(VENV)/bench with rembg, to compare with (about 700 MB, once)…"
	@rm -rf $(VENV)/bench && $(PY) -m venv $(VENV)/bench
	@$(VENV)/bench/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements-bench.lock
	@touch $@
