# Two commands do everything: `make demo` and `make test`. Both install what is missing first.
SHELL := /bin/sh
BIN := .venv/bin

.PHONY: demo test slow lint benchmark clean

demo: .venv/installed
	$(BIN)/napari-deepheme demo --out demo-output

test: .venv/installed
	scripts/setup.sh screen
	scripts/with_screen.sh $(BIN)/python -m pytest

slow: .venv/installed
	scripts/setup.sh screen
	scripts/with_screen.sh $(BIN)/python -m pytest -m slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate napari-deepheme

benchmark: .venv/installed
	$(BIN)/python -m benchmarks.end_to_end
	$(BIN)/python -m benchmarks.end_to_end --sheets 7 --rounds 1
	$(BIN)/python -m benchmarks.large_memory
	$(BIN)/python -m benchmarks.slide_seconds
	$(BIN)/python -m benchmarks.large_slide
	$(BIN)/python -m benchmarks.training_speed
	$(BIN)/python -m benchmarks.region_search
	$(BIN)/python -m benchmarks.resnext_ensemble

.venv/installed: pyproject.toml constraints.txt
	scripts/setup.sh environment
	scripts/setup.sh screen || true
	touch $@

clean:
	rm -rf .venv .tools dist demo-output
