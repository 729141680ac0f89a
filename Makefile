# `make` runs what CI runs. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CORPUS_STORE := .qa-demo

export HAYSTACK_TELEMETRY_ENABLED = False
export HF_HUB_OFFLINE = 1

.PHONY: all demo test check docs torture hostile haystack-compat lint format help clean
all: lint test  ## lint, then the tests: what CI runs

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(INSTALLED)  ## index the sample corpus and answer questions about it
	$(BIN)/qa index examples/corpus --store $(CORPUS_STORE)
	@for question in "On what date was Magellan killed?" "How often should I replace the group gasket of the espresso machine?" \
		"Until when is Heronbase 4.1 supported?" "Who coined the expression blood bank?" \
		"What is the airspeed of an unladen swallow?"; do \
		echo; echo "$$ qa ask \"$$question\""; \
		$(BIN)/qa ask --store $(CORPUS_STORE) --format human "$$question" || test $$? -eq 1; done

test: $(INSTALLED)  ## the test suite, a process for each of up to four cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

torture: $(INSTALLED)  ## the machine proof of the store, about 10 minutes on two cores; SEED=n repeats one
	cd tests && ../$(BIN)/python -m torture $(if $(SEED),--seed $(SEED))
	QA_SAMPLE_STRIDE=1 $(BIN)/python -m pytest -q tests/store/test_format_1.py

hostile: $(INSTALLED)  ## the folder of hostile files under the default limits, about 5 minutes on two cores
	QA_HOSTILE_SECONDS=20 $(BIN)/python -m pytest -q -s tests/cli/test_hostile_folder.py

haystack-compat: $(INSTALLED)  ## tests of Haystack (fetched, or HAYSTACK_SOURCE=folder) and of the reader ours replaces, against ours
	$(BIN)/python tests/haystack_compat.py

LINKS := .links/deformer_qa
ROOMS := store reader indexer pipeline lab cli

$(LINKS): Makefile
	rm -rf $@ && mkdir -p $@
	ln -s $(addprefix ../../,$(ROOMS)) $(addprefix ../../deformer_qa/,__init__.py index.py py.typed) $@

FAST := tests/house/test_docs.py tests/reader tests/pipeline/test_clues.py tests/pipeline/test_filters.py tests/pipeline/test_questions.py \
	tests/pipeline/test_ranking.py tests/pipeline/test_query_words.py tests/store/test_round_trip.py \
	tests/store/test_encodings_and_ranges.py tests/store/test_damage.py tests/indexer/test_formats.py tests/indexer/test_tables.py

lint: $(INSTALLED) $(LINKS)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint  ## lint and the fast tests, under two minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile $(FAST)

docs: $(INSTALLED)  ## docs/reference/command-line.md from the commands themselves
	$(BIN)/python docs/reference/command_line.py

format: $(INSTALLED)  ## put the code into the one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

clean:  ## remove what make made, the environment included
	rm -rf $(VENV) $(CORPUS_STORE) build dist *.egg-info
