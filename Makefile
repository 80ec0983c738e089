# The three commands a developer needs: make demo, make test, make check.
PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
# Most of a test's time is compilation, which uses one core. A file's tests stay in one process.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: setup demo browser test test-all tests-on-backends test-tfmot lint check lock bench clean

setup: .venv/ready

# The lock file pins everything, so that a run today is a run next year. Byte code is compiled here
# once: importing TensorFlow without it takes three times as long.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	$(BIN)/trimgrid example mlp

# What the tests in a browser (tests/browser) need besides chromium and chromedriver.
browser:
	cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund

# The tests on JAX, then those that depend on the backend on TensorFlow too. `test-all` has those
# marked as slow as well, also of `test-tfmot`: three times the time.
test test-tfmot: SELECTED := -m "not slow"
test-all: tests-on-backends
	$(MAKE) test-tfmot SELECTED=
test: tests-on-backends
tests-on-backends: setup
	KERAS_BACKEND=jax $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(SELECTED)
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(SELECTED) tests/backends

# The tests beside TFMOT itself, in an environment that has it: it needs Keras 2 and an older absl.
# First the oracle: schedules, masks and trainings, there and here. Then tf_keras models and old files.
ORACLE := $(addprefix tests/tfmot/test_,schedule_decisions.py masks.py trainings.py)
BESIDE_TFMOT := .venv-tfmot/bin/python -m pytest -n 2 --dist worksteal
test-tfmot: .venv-tfmot/ready
	KERAS_BACKEND=jax $(BESIDE_TFMOT) $(SELECTED) $(ORACLE)
	KERAS_BACKEND=tensorflow $(BESIDE_TFMOT) $(SELECTED) -k "those_of_tfmot" tests/tfmot/test_trainings.py
	KERAS_BACKEND=jax $(BESIDE_TFMOT) $(SELECTED) $(addprefix --ignore=,$(ORACLE)) tests/tfmot

.venv-tfmot/ready: .venv/ready requirements-tfmot.lock
	$(PYTHON) -m venv .venv-tfmot
	$(BIN)/uv pip install --python .venv-tfmot/bin/python --quiet --compile-bytecode \
		--require-hashes -r requirements-tfmot.lock
	$(BIN)/uv pip install --python .venv-tfmot/bin/python --quiet --no-deps --no-build-isolation \
		--editable .
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

# Renew the pins of the lock file from pyproject.toml and constraints.txt.
lock: setup
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --constraints constraints.txt \
		--extra examples --extra pandas --extra onnx --extra quantize \
		--extra ray --extra s3 --extra search --extra tensorboard --extra mlflow \
		--group dev --group s3-server --group build pyproject.toml --output-file requirements.lock
	sed -n 's/ *\\$$//; /^[^ ]*==/p' requirements.lock | grep -v '^absl-py' \
		| $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --constraints - --extra tfmot --group dev --group build \
		pyproject.toml --output-file requirements-tfmot.lock

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .venv-tfmot .pytest_cache .mypy_cache .ruff_cache runs tests/browser/node_modules
