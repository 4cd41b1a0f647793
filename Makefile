# `make test` and `make demo` need python3 (3.11 or newer, with venv) and nothing else: they set up .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Quiet, also about what setuptools has to say on any editable installation.
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet

.PHONY: test demo clean

# Processors with narrower vectors than this one's, if it is one of x86: 8 numbers, and 4 as on ARM.
NARROW := NUMBA_CPU_NAME=x86-64-v3 NUMBA_CPU_FEATURES=+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe,+popcnt,+sse4.2
NARROWEST := NUMBA_CPU_NAME=x86-64-v2 NUMBA_CPU_FEATURES=+popcnt,+sse4.2,+sse4.1,+ssse3

test: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/scratchae warmup
	$(BIN)/python -m pytest -n auto
	if grep -qs avx512f /proc/cpuinfo; then $(NARROW) $(BIN)/python -m pytest -n auto tests/kernels -k cpu; fi
	if grep -qs avx512f /proc/cpuinfo; then $(NARROWEST) $(BIN)/python -m pytest -n auto tests/kernels -k cpu; fi

demo: $(VENV)/demo
	$(BIN)/scratchae train convolutional --out runs/demo

# A stamp for each set of packages, made anew when the requirements change. -e: the sources here are what runs.
$(VENV)/demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip
	$(INSTALL) -e ".[all]"
	touch $@

$(VENV)/dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip
	$(INSTALL) -e ".[dev]"
	touch $@ $(VENV)/demo

clean:
	rm -rf $(VENV) build dist runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
