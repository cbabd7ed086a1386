# Two commands matter: `make demo` and `make test`. Both set up what they need; reruns are quick.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   := $(VENV)/.installed-demo
SITE   := $(VENV)/.installed-docs
EXIT   ?=
PHOTOS ?=

.PHONY: help demo test test-unit bench chaos fuzz container-test wheel-test lint docs picture pictures format clean

help:
	@echo "make demo [PHOTOS=dir] [EXIT=1]   start everything, tag real photos, show the result"
	@echo "make test-unit                    the tests that start no server, in less than a minute"
	@echo "make test                         every test, against the real servers"
	@echo "make bench [ARGS=--quick]         ours beside what you would pick instead (docs/explanation/performance.md)"
	@echo "make chaos [CHAOS_SEED=n]         10,000 objects while everything fails, about 15 minutes"
	@echo "make fuzz [ARGS=…]                100,000 damaged image files through the decoders (docs/reference/images.md)"
	@echo "make container-test               docker-compose.yml in real containers; root and namespaces needed"
	@echo "make lint                         ruff, mypy, import contracts"
	@echo "make docs                         the generated pages, then the site in build/site, with every link checked"
	@echo "make pictures [PHOTOS=dir]        docs/pictures: the pages on real photos; chromium needed"
	@echo "make format                       let ruff rewrite"
	@echo "make clean                        remove the environment and local state"

# torch first and pinned: an unpinned torch may bring gigabytes of CUDA that a laptop has no use for.
# Of what pip says, the large files that it downloads are shown, and that it unpacks: that takes most of the time.
PIP     = $(BIN)/python -m pip install --disable-pip-version-check --no-color --progress-bar off -c constraints.txt
SHORTEN = sed -n -e 's,^ *Downloading \(.*/\)*\([^/ ]*\) (\(.* MB\))$$,  \2 \3,p' -e 's,^Installing collected packages.*,  unpacking …,p'
comma := ,
_OF_DEMO := local,starter,demo
define INSTALL
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=…"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@for what in torch "-e .[$(1)]"; do { $(PIP) $$what || touch $(VENV)/.failed; } | $(SHORTEN); \
	  if rm $(VENV)/.failed 2>/dev/null; then exit 1; fi; done
endef

$(DEMO): pyproject.toml constraints.txt
	@echo "installing into $(VENV): 2.1 GB, about two minutes the first time"
	$(call INSTALL,$(_OF_DEMO))
	@touch $@

$(STAMP): pyproject.toml constraints.txt
	@echo "installing into $(VENV), with what tests need: 2.5 GB, about two minutes the first time"
	$(call INSTALL,$(_OF_DEMO)$(comma)dev)
	@touch $(DEMO) $@

# Apart, so that nobody who only tests has to wait for it.
$(SITE): $(STAMP)
	@echo "installing what builds the documentation"
	$(call INSTALL,$(_OF_DEMO)$(comma)dev$(comma)docs)
	@touch $@

demo: $(DEMO)
	@$(BIN)/enrich demo $(if $(PHOTOS),--photos "$(PHOTOS)") $(if $(EXIT),--exit)

# All of it takes turns waiting for real processes: two at a time, each with servers of its own.
test: $(STAMP)
	$(BIN)/python -m pytest $(or $(ARGS),--numprocesses 2 --dist loadfile)

# Only folders that have unit tests are collected, without a plugin that none of them uses, and generated examples are few.
UNIT = -m unit -p no:schemathesis --hypothesis-profile quick --numprocesses 2 --dist loadfile
test-unit: $(STAMP)
	$(BIN)/python -m pytest $(UNIT) $(or $(ARGS),tests/unit tests/contract)

bench: $(STAMP)
	$(BIN)/python -m bench $(ARGS)

chaos: $(STAMP)
	CHAOS_SEED="$(CHAOS_SEED)" $(BIN)/python -m tests.chaos $(ARGS)

fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz $(ARGS)

# Not part of `make test`: the first run takes half an hour, most of it downloads and the image.
container-test: $(STAMP)
	$(BIN)/python -m pytest tests/containers -o norecursedirs=".*" -o timeout=1800 $(ARGS)

wheel-test: $(STAMP)
	.ci/wheel-test

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(CHECK_PAGES)

# The types of the pages' modules, where Node.js is installed: the pages themselves need nothing to be built.
TYPES := $(VENV)/types/node_modules
PINNED_TYPES := typescript@5.9.3 preact@11.2.0 htm@3.1.1
define CHECK_PAGES
if ! command -v npm >/dev/null; then echo "no npm: the types of the pages are not checked"; exit 0; fi; \
if [ "$$(cat $(TYPES)/.pinned 2>/dev/null)" != "$(PINNED_TYPES)" ]; then mkdir -p $(VENV)/types; \
  npm install --no-save --silent --no-fund --no-audit --prefix $(VENV)/types $(PINNED_TYPES) \
    || { echo "npm install failed: the types of the pages are not checked"; exit 0; }; \
  echo "$(PINNED_TYPES)" > $(TYPES)/.pinned; fi; \
echo "$(TYPES)/.bin/tsc -p worker/web"; $(TYPES)/.bin/tsc -p worker/web
endef

# Not --quiet: then MkDocs does not count the warnings that strict mode turns into errors.
docs: $(SITE)
	$(BIN)/python -m worker.settings > docs/reference/generated/settings.md
	$(BIN)/python -m worker.api.openapi
	$(BIN)/python -m worker.cli.reference > docs/reference/generated/cli.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

picture: $(STAMP)
	FORCE_COLOR=1 COLUMNS=104 $(BIN)/enrich demo --exit | $(BIN)/python docs/picture.py > docs/demo.svg

pictures: $(STAMP)
	$(BIN)/python docs/pictures.py $(PHOTOS)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .enrich .pytest_cache .mypy_cache .ruff_cache
