# Everything sets itself up: a virtual environment in .venv, the tested versions of constraints.txt, the package editable.
#   make run     raw text to a measured, fine-tuned model (about five minutes);  ARGS="--input my.txt" for your own text
#   make lab     the pages in JupyterLab          make test   all checks         make slow   the cells the tests leave out, too
#   make docs    the website, with Quarto         make clean  remove what these made (never your runs)
#   make browser  every page in a real Chromium, Run All
# Another Python: make PYTHON=python3.12 run.  On Linux torch comes without CUDA (200 MB instead of gigabytes); with a GPU: make CUDA=1 run
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready
ifeq ($(shell uname -s 2>/dev/null)$(CUDA),Linux)
TORCH_FROM := --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu
endif

.PHONY: run lab test slow browser docs clean
run: $(READY)
	@$(BIN)/llm-lab run $(ARGS)
lab: $(READY)
	@$(BIN)/llm-lab lab
test: $(READY)
	@$(BIN)/python .github/scripts/check.py
slow: $(READY)
	@$(BIN)/python .github/scripts/check.py --slow pages
browser: $(READY)
	@$(BIN)/python .github/scripts/browser.py && $(BIN)/python .github/scripts/chat_page.py
docs: $(READY)
	@command -v quarto >/dev/null || { echo "make docs needs Quarto on the PATH: https://quarto.org/docs/get-started (nothing was installed)" >&2; exit 1; }
	@rm -rf _proc _docs
	@$(BIN)/python .github/scripts/site.py prepare
	@cd _proc && quarto render --no-execute --to html
	@mv _proc/_docs _docs && $(BIN)/python .github/scripts/site.py finish && $(BIN)/python .github/scripts/site.py check
clean:
	rm -rf .venv _docs _proc build dist *.egg-info

$(READY): constraints.txt settings.ini setup.py
	@$(PYTHON) -c 'import sys; v=sys.version_info[:2]; sys.exit(0 if (3,11)<=v<=(3,13) else "llm_lab is tested on Python 3.11 to 3.13, this is %d.%d: choose one with  make PYTHON=python3.12 …" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --no-deps $(TORCH_FROM) -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@
