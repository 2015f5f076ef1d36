# Everything one does here. `make` lists it.

PYTHON ?= python3
BIN := .venv/bin
# Bytecode is kept whatever the environment says: without it each of hundreds of starts compiles our code anew.
export PYTHONDONTWRITEBYTECODE :=
PROTOS := $(shell find protos -name '*.proto')

.PHONY: help
help: ## Lists the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

.PHONY: run
run: setup .venv/.compiled ## Starts the whole stack here, shows the main job, and stays up until Ctrl-C.
	$(BIN)/liity up

# Twice as many as two cores, as tests wait half of their time. Five take a third more CPU than three.
PROCESSES ?= 4
# A file runs whole in one process, in the order of tests/conftest.py: its tests share a stack or a database.
BY_FILE := --dist loadfile --no-loadscope-reorder

.PHONY: test
test: setup browser ## Checks the code and runs all tests.
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target $(CHECKS) compiled
	$(BIN)/pytest -n $(PROCESSES) $(BY_FILE)

.PHONY: browser
browser: ## Sees that there is a Chromium; installs Debian's where that is possible.
	@tests/support/install_browser.sh

.PHONY: accessibility
accessibility: setup browser ## Tests the pages' accessibility, and writes the results for the accessibility statement.
	LIITY_RECORD_ACCESSIBILITY=1 $(BIN)/pytest -q tests/system/browser

.PHONY: quick
quick: lint types ## Lint, types, and the tests that start nothing: under a minute.
	$(BIN)/pytest -q -n 2 $(BY_FILE) tests/unit tests/replay

# How long components fail in `make soak`.
SECONDS ?= 600

.PHONY: soak
soak: setup ## Lets components fail at random under callers, and judges the history; SECONDS and SEED may be given.
	CHAOS_SECONDS=$(SECONDS) $(if $(SEED),CHAOS_SEED=$(SEED)) $(BIN)/pytest -rP tests/system/failures/test_chaos.py

.PHONY: long
long: setup ## Repeats for hours what `make test` does a few times: outages, long lists, hostile forms.
	$(BIN)/pytest -n 2 $(BY_FILE) --long --timeout 3600

# The longest one first: it keeps one core to the end.
CHECKS := types lint contracts audit

# Otherwise each of the processes compiles all of the code and the tests anew. The tests tell what is wrong with them.
.PHONY: compiled
compiled: setup
	$(BIN)/pytest -q --collect-only > /dev/null || true

.PHONY: check
check: setup ## Lint, format, types, contracts, imports and secrets.
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target $(CHECKS)

.PHONY: lint
lint: setup ## Lint, format and imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

.PHONY: types
types: setup ## Types, strictly.
	$(BIN)/mypy

.PHONY: contracts
contracts: setup ## The contracts: lint, format, and nothing that breaks who knows the last release.
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/buf lint gen/liity.binpb --path liity
	$(BIN)/buf breaking gen/liity.binpb --against protos/released.binpb --path liity

.PHONY: audit
audit: setup ## Looks for secrets in what is committed; .secrets.baseline holds what was found to be none.
	git ls-files -z --cached --others --exclude-standard | xargs -0 $(BIN)/detect-secrets-hook --no-verify --baseline .secrets.baseline

.PHONY: secrets-baseline
secrets-baseline: setup ## Takes all that `make audit` complains of for no secrets: after somebody has looked.
	git ls-files -z | xargs -0 $(BIN)/detect-secrets scan --slim --no-verify --exclude-files '^tests/replay/histories/' \
		--exclude-files '^deploy/helm/(examples/|liity/(values|templates/))' \
		--exclude-files '^requirements/' --exclude-files '^protos/released\.binpb$$' --exclude-files '^\.secrets\.baseline$$' \
		> .secrets.baseline.new
	mv .secrets.baseline.new .secrets.baseline

.PHONY: audit-dependencies
audit-dependencies: setup ## Looks up known weaknesses of every pinned package; needs the network.
	$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements/dev.txt

.PHONY: bench
bench: setup ## Measures the registration path beside the bare engine.
	$(BIN)/python -m bench

.PHONY: bench-peers
bench-peers: .venv/.bench-made ## Measures Liity beside the same registration on another library; installs that first.
	$(BIN)/python -m bench.peers

.PHONY: lighthouse
lighthouse: setup browser ## What Lighthouse says of the main pages; needs Node.js, and fetches Lighthouse from npm.
	$(BIN)/python -m bench.lighthouse

.PHONY: conformance
conformance: setup ## Tries a Temporal (LIITY_TEST_TEMPORAL_ADDRESS, …_NAMESPACE), and prints a page to keep.
	$(BIN)/pytest -q --no-header -p no:cacheprovider tests/conformance

.PHONY: fuzz
fuzz: setup ## Attacks a stack of its own for ten minutes; MINUTES and SEED may be given.
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

.PHONY: format
format: setup ## Formats code and contracts.
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/buf format --write protos

.PHONY: release-contracts
release-contracts: setup ## Makes today's contracts those that `make check` compares later ones with.
	$(BIN)/buf build gen/liity.binpb --path liity --exclude-source-info -o protos/released.binpb

.PHONY: lock
lock: setup ## Pins the newest releases of what pyproject.toml names.
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --extra local --extra dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header -c requirements/dev.txt pyproject.toml -o requirements/production.txt
	for name in bench build trial; do $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -c requirements/dev.txt requirements/$$name.in \
		-o requirements/$$name.txt || exit; done

.PHONY: texts
texts: setup ## Brings new texts of the pages into the catalogues that translators work with.
	$(BIN)/pybabel -q extract -F frontends/web/babel.cfg -k N_ --no-location -o .texts.pot frontends/web
	for language in fi sv; do $(BIN)/pybabel -q update --width 110 --no-fuzzy-matching --ignore-obsolete -i .texts.pot \
		-o frontends/web/catalogues/$$language.po -l $$language; done
	rm .texts.pot

.PHONY: clean
clean: ## Deletes what the other targets made, the local stack's state included.
	rm -rf .venv gen .liity .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: setup
setup: gen/.made ## Installs what is missing and generates the contracts' code.

# All is pinned: pip has nothing to resolve. Compiled is what is used: `.venv/.compiled` or the target `compiled`.
.venv/.made: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Otherwise each of the nine components would compile all that it imports, at the same time. What cannot be compiled
# is no module: packages bring templates of code.
.venv/.compiled: .venv/.made
	$(BIN)/python -m compileall -q -j 0 .venv/lib > /dev/null || true
	touch $@

.venv/.bench-made: gen/.made requirements/bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/bench.txt
	touch $@

gen/.made: .venv/.made protos/generate.py $(PROTOS)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python protos/generate.py
	touch $@
