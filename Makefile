# `make live` starts the show, `make test` runs every test, `make soak` a night; all make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What the tests drive for real, as Debian names it.
PACKAGES := chromium mosquitto mosquitto-clients fluidsynth fluid-soundfont-gm libportaudio2 pulseaudio \
            pulseaudio-utils libasound2-plugins jackd2 $(shell command -v npm >/dev/null || echo nodejs npm)

.PHONY: live test soak check setup packages link peers visualizer clean

live: setup
	$(BIN)/xdancer live --audio demo

test: setup packages check link
	$(BIN)/pytest

# An hour of the show: fifteen minutes of the clock with everything that goes wrong in a night, the rest in virtual time.
soak: setup
	$(BIN)/xdancer soak --minutes 15
	$(BIN)/xdancer soak --fast --minutes 45

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "xdancer needs Python 3.11 or later; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo 'Installing into $(VENV): some minutes, once.'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	# torch goes first and alone: a resolver that is free to choose takes gigabytes of CUDA packages with it.
	$(BIN)/pip install torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Installed where that is possible, otherwise named with the command to get them.
packages:
	@missing=$$(for name in $(PACKAGES); do \
	    dpkg-query -W -f '$${Status}' $$name 2>/dev/null | grep -q 'ok installed' || echo $$name; done | xargs); \
	  if [ -z "$$missing" ]; then exit 0; fi; \
	  if ! command -v apt-get >/dev/null; then \
	    echo "The tests need the equivalents of these Debian packages: $$missing" >&2; exit 0; fi; \
	  if [ "$$(id -u)" = 0 ]; then as=; elif sudo -n true 2>/dev/null; then as=sudo; else as=none; fi; \
	  if [ "$$as" = none ] || ! { $$as apt-get update -qq && \
	      $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; }; then \
	    echo "The tests need these packages: sudo apt-get install $$missing" >&2; fi

# Ableton Link is GPL, so never part of the default install; the tests meet a real peer where it is there.
link: setup
	@$(BIN)/python -c 'import aalink' 2>/dev/null || \
	  $(BIN)/pip install --quiet --constraint constraints.txt --editable '.[link]' || \
	  echo 'aalink cannot be installed: the test with an Ableton Link peer is left out' >&2

# aubio is GPL-3, Essentia AGPL-3: measured beside ours by `xdancer evaluate beats`, never part of the product.
peers: setup
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[peers]'

# The page at /visualizer/ with onnxruntime's WebAssembly, which is too large for the repository; needs node.
visualizer:
	cd clients/visualizer && npm ci --no-audit --no-fund && npm run build

clean:
	rm -rf $(VENV) clients/visualizer/node_modules build dist *.egg-info
