# Each verb makes the environment it needs when it is missing. Q is the question of `make ask`.

Q ?= What are the most effective ways to deal with stress?
PYTHON ?= python3
BIN := .venv/bin

.PHONY: ask test test-extras check docs bench soak fuzz demo setup model help clean

help:
	@echo "make ask Q=\"...\"   answer a question with Skeleton-of-Thought on the embedded model"
	@echo "make test          run the tests, with every extra and the embedded model"
	@echo "make test-extras   run the tests with no extra, with each, on the wheel, and with the lowest versions"
	@echo "make check         format, lint, types, architecture"
	@echo "make bench         measure speed beside every peer and on the embedded engine, and make the figures of the docs anew"
	@echo "make soak          ask 10,000 answers of an endpoint that fails, and see that no word is lost or said twice"
	@echo "make fuzz          read a million texts that are nearly skeletons and nearly points"
	@echo "make setup         make the environment and bring the embedded model"

setup: $(BIN)/.made model

ask: export QUESTION = $(value Q)
ask: $(BIN)/.asks model
	@$(BIN)/sot ask "$$QUESTION"

test: setup
	$(BIN)/pytest --numprocesses 4 --dist loadfile --cov --cov-report=term $(ARGS)

test-extras: $(BIN)/.made
	$(BIN)/nox

check: $(BIN)/.made
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_architecture.py -q

bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

soak: setup
	$(BIN)/python -m benchmarks.soak $(ARGS)
	$(BIN)/python -m benchmarks.soak --adapter langchain --answers 1000 $(ARGS)
	$(BIN)/python -m benchmarks.soak --adapter llama_index --answers 1000 $(ARGS)

fuzz: setup
	$(BIN)/python -m benchmarks.fuzz_parser $(ARGS)

docs demo:
	@echo "make $@ is not there yet: see CHANGELOG.md for what is" >&2; exit 2

clean:
	rm -rf .venv .nox dist .coverage

# `make ask` needs the package and its engine only; `make test` what developers need besides.
$(BIN)/.asks: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[local]"
	@touch $@

$(BIN)/.made: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group dev
	@touch $@ $(BIN)/.asks

# Where it is here already, this only looks.
model: $(BIN)/.asks
	@$(BIN)/sot model path smollm2-135m >/dev/null 2>&1 || $(BIN)/sot model pull
