# One thread a process unless a recipe says otherwise: two processes with two torch threads each on two
# cores run ten times slower than with one each.
export OMP_NUM_THREADS := 1

PYTHON ?= python3.11
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test test-pools lint bench

demo: $(INSTALLED)  ## the whole pipeline; the last line is the report's path
	$(BIN)/python jobs/pipeline.py jobs/recipes/demo.toml

test: $(INSTALLED)  ## everything, real Ray and DeepSpeed included
	$(BIN)/python -m pytest

test-pools: $(INSTALLED)  ## a cluster of six raylets that loses nodes: ten minutes, on a quiet machine
	GDRL_TEST_POOLS=1 $(BIN)/python -m pytest tests/end_to_end/test_cluster_pools.py

lint: $(INSTALLED)  ## style, types, and which room may import what
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)  ## one script per claim about speed (by hand: baselines.py, over four hours; gem.py, longer; orchestration.py, which reads a run)
	for name in overlap data metrics training streaming scale_model storage ica; do $(BIN)/python benchmarks/$$name.py || exit 1; done

# torch comes first and alone, so that nothing later picks another build of it.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install torch==2.13.0
	$(BIN)/python -m pip install --editable '.[dev]'
	touch $@
