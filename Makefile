# make demo   a real capture, an avatar of it, a report: on a machine with nothing but Python 3.11 or newer
# make test   the whole suite, likewise
# make lint   style, types, docstrings, and that no import crosses from render to recon to tools
# make install is the set-up step of all three; it does nothing when nothing has changed.
# make sbom   what is installed, with versions and licences, as CycloneDX; fails on a licence that is not known to fit
# make audit  the locked versions against published vulnerabilities, where such a service can be reached

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))))
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
DEMO ?= demo
# Two workers on two cores; PyTorch keeps to one core in each, or they would fight over them.
WORKERS ?= 2

.PHONY: install demo test lint format sbom audit clean

install: $(STAMP)
	@$(BIN)/simulacra assets --quiet
	@$(BIN)/simulacra warmup --quiet

LOCKS := requirements.lock requirements-torch.lock requirements-torch-cpu.lock
PIP := $(BIN)/python -m pip --disable-pip-version-check install
LOCKED := $(PIP) --no-deps --require-hashes

# Nothing that is not in the locks, with the hash that is there, is installed: not even what builds our own package.
$(STAMP): pyproject.toml setup.py $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "simulacra needs Python 3.11 or newer; say which with make PYTHON=..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(LOCKED) -r requirements.lock
	@$(LOCKED) -r requirements-torch-cpu.lock 2> $(VENV)/no-cpu-torch \
		|| { echo "no CPU build of PyTorch here ($$(tail -1 $(VENV)/no-cpu-torch)): the index's is taken"; \
			$(LOCKED) -r requirements-torch.lock; }
	$(PIP) --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check
	@touch $@

demo: install
	$(BIN)/simulacra demo --out $(DEMO)

# Networks of perceptual metrics are fetched by name only; where they cannot be had, their tests say so and are skipped.
test: install
	-@$(BIN)/simulacra assets --quiet lpips_alex lpips_vgg dists_weights face_recognition
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# The folders under the name that they are installed by, for the type checker.
$(VENV)/tree: $(STAMP)
	@mkdir -p $@/simulacra
	@for folder in render recon tools configs assets; do ln -sfn $(CURDIR)/$$folder $@/simulacra/$$folder; done

lint: $(STAMP) $(VENV)/tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	MYPYPATH=$(VENV)/tree $(BIN)/mypy
	$(BIN)/python -m tests.docstring_lint render recon tools examples

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# In an environment of their own, so that they are not among what they list.
$(VENV)/security/installed:
	$(PYTHON) -m venv $(VENV)/security
	$(VENV)/security/bin/python -m pip --disable-pip-version-check install --quiet cyclonedx-bom==7.* pip-audit==2.*
	@touch $@

sbom: $(STAMP) $(VENV)/security/installed
	$(VENV)/security/bin/cyclonedx-py environment --output-reproducible --of JSON -o sbom.json $(BIN)/python
	$(BIN)/python -m tests.test_dependencies sbom.json

audit: $(VENV)/security/installed
	$(VENV)/security/bin/python .ci/audit.py requirements.lock requirements-torch.lock

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
