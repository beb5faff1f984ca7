# edgeship: make demo shows the whole story; make test proves that it holds. Both set up all they need.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help install demo test check slow bench web clean
help:
	@echo "make demo [KEEP=1]    the whole story once, on this machine (two to three minutes once installed)"
	@echo "make test             everything that must hold at each change (at most 25 minutes on 2 cores)"
	@echo "make check            the fast loop: format, lint, types, import contracts, fast tests (under a minute)"
	@echo "make slow [PART=...]  the long suite, part by part; figures go to docs/quality.md"
	@echo "make bench [NAME=...] the benchmarks; EDGESHIP_DATA names a folder of models and data"

install:
	@$(PYTHON) edgeship/install.py

demo: install
	@$(BIN)/edgeship demo $(if $(KEEP),--keep)

test:
	@$(PYTHON) edgeship/install.py --system
	@$(BIN)/python -m tests.check

check: install
	@$(BIN)/python -m tests.check --fast

slow:
	@$(PYTHON) edgeship/install.py --system
	@$(BIN)/python -m tests.slow $(PART)

bench: install
	@$(BIN)/python -m benchmarks $(NAME)

web: install
	@$(BIN)/python web/build.py

clean:
	rm -rf .venv fleet_server/console/static web/node_modules demo-state
