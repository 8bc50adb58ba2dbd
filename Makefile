# make demo    the whole pipeline once, on a simulated fleet          make test    all tests
# make dev     the Dagster UI                                         make serve   the HTTP service
.DELETE_ON_ERROR:
.PHONY: demo test nightly dev serve check lock clean

# without byte code kept, every process compiles its libraries again: importing takes twice as long
unexport PYTHONDONTWRITEBYTECODE
# modules of another Python, and places other than .venv that pip may be set to install to
unexport PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT
# overrules `user = yes` of a pip.conf as well; what it says of indexes, proxies and certificates stays
export PIP_USER := 0

PYTHON ?= $(shell unset PYTHONHOME PYTHONPATH; for p in python3.12 python3.13 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	>/dev/null 2>&1 && { command -v $$p; break; }; done)
BIN := .venv/bin
INSTALLED := .venv/installed

demo: $(INSTALLED)
	@$(BIN)/simsight demo

test: $(INSTALLED)
	@$(BIN)/pytest -n logical --dist loadfile --no-loadscope-reorder -m "not packaging and not nightly"

# property tests with all their examples; then days on which something around fails, and on which what runs is killed:
# NIGHTLY_KILLS and NIGHTLY_SEEDS say how often and when
nightly: $(INSTALLED)
	@env -u CI $(BIN)/pytest -m hypothesis
	@$(BIN)/pytest -s -m nightly tests/end_to_end

dev: $(INSTALLED)
	@$(BIN)/simsight dev

serve: $(INSTALLED)
	@$(BIN)/simsight serve

# format, lint, types, arrows between the rooms; mypy looks for no garbage, of which it has little: a fifth of its time
check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -c "import gc; gc.enable = gc.disable; gc.disable(); from mypy.__main__ import console_entry; console_entry()"
	$(BIN)/lint-imports --no-cache --no-logo

# uv is fast; it is itself installed into the environment, at a pinned version with its hashes, as is what builds the package
$(INSTALLED): requirements.txt requirements-build.txt pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "Simsight needs Python 3.11, 3.12 or 3.13 with the venv module, and found none." >&2; \
		echo "Install one (Debian: apt install python3 python3-venv; macOS: brew install python@3.12)" >&2; \
		echo "or name it: make demo PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Simsight needs Python 3.11 to 3.13; this is %d.%d" % v)'
	@echo "Installing into .venv (about 1.2 GB, once)"
	@"$(PYTHON)" -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.txt
	@test -x $(BIN)/uv || { echo "pip installed elsewhere than into .venv: take target, prefix and root out of your pip.conf" >&2; exit 1; }
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.txt
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python -e .
	@touch $@

# compile the pinned requirements again after a change in requirements*.in; the runtime's are a subset of the
# development's, and those of extras, and of tests in a browser, are installed on top of either
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: $(INSTALLED)
	$(COMPILE) requirements-build.in -o requirements-build.txt
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-runtime.in -c requirements.txt -o requirements-runtime.txt
	$(COMPILE) requirements-celery.in -c requirements.txt -o requirements-celery.txt
	$(COMPILE) requirements-k8s.in -c requirements.txt -o requirements-k8s.txt
	$(COMPILE) requirements-otel.in -c requirements.txt -o requirements-otel.txt
	$(COMPILE) requirements-browser.in -c requirements.txt -o requirements-browser.txt

clean:
	rm -rf .venv .simsight build *.egg-info
