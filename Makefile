# Targets of cqrs_fast; `make` alone lists them. PYTHON chooses the interpreter.
#
# A build mode is one of release, profile, debug, trace and asan; see CONTRIBUTING.md.
# All of them build in place, and changing the mode builds everything again.

PYTHON ?= python3
CASE ?=
OPERATIONS ?= 2000000
PYTEST := $(PYTHON) -m pytest
NATIVE := $(PYTHON) tests/native/run.py
BUILD := $(PYTHON) setup.py -q build_ext --inplace
COMPILED = $(subst /,.,$(basename $(shell find cqrs_fast -name '*.pyx' | sort)))
LIBASAN = $(shell $(or $(CC),cc) -print-file-name=libasan.so)

.DEFAULT_GOAL := help
.PHONY: help install build test slow soak hunt bench bench-report bench-compare \
	bench-instructions rivals lint format types stubs sdist profile profile-cpu \
	profile-memory profile-latency debug trace asan tsan ci clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

install:  ## install what development needs into the present environment
	$(PYTHON) -m pip install -e ".[dev]"

build:  ## compile for release, in place
	CQRS_FAST_BUILD=release $(BUILD)

test: build  ## run the tests, without the slow ones
	$(PYTEST) -m "not slow"

slow: build  ## run the slow tests
	$(PYTEST) -m slow

soak: SECONDS ?= 300
soak: build  ## run the long reliability rows, SECONDS in all (make soak SECONDS=600)
	$(PYTHON) -m tests.soak --seconds $(SECONDS)

hunt: SEED ?= 4711
hunt:  ## hunt for crashes, hangs and lost counts, in copies (VERSION MODE HUNTER SCHEDULES)
	$(PYTHON) -m tests.hunters --everywhere --seed $(SEED) \
		$(if $(SCHEDULES),--schedules $(SCHEDULES)) $(if $(SHORT),--short) \
		$(foreach one,$(VERSION),--version $(one)) \
		$(foreach one,$(MODE),--mode $(one)) $(foreach one,$(HUNTER),--hunter $(one))

bench: build  ## run the benchmarks, each case beside its baseline
	$(PYTEST) -q benchmarks/bench_*.py --benchmark-columns=min,median,iqr,rounds

bench-report: build  ## measure everything into benchmarks/RESULTS.md, or into RESULTS alone
	$(PYTHON) -m benchmarks.report $(if $(RESULTS),--results '$(RESULTS)')

bench-compare:  ## compare two result files, BEFORE and AFTER
	@test -n '$(BEFORE)' -a -n '$(AFTER)' || { echo "which two? make bench-compare" \
		"BEFORE=before.json AFTER=after.json (see bench-report RESULTS=FILE)"; exit 2; }
	$(PYTHON) -m benchmarks.compare '$(BEFORE)' '$(AFTER)'

bench-instructions: build  ## count instructions against their ceilings (UPDATE=--update)
	$(PYTHON) -m benchmarks.instructions $(UPDATE)

rivals: build  ## compare with other libraries and with Go; they get .venv-rivals
	$(MAKE) --no-print-directory -f benchmarks/rivals/Makefile PYTHON='$(PYTHON)'
	$(MAKE) --no-print-directory -f benchmarks/go/Makefile PYTHON='$(PYTHON)'

lint:  ## check style
	$(PYTHON) -m ruff check .
	cython-lint cqrs_fast tests/compiled

format:  ## sort imports and mend what can be mended
	$(PYTHON) -m ruff check --fix .

types:  ## check the annotations with mypy and pyright
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy tests/typing
	$(PYTHON) -m pyright --pythonpath "$$(command -v $(PYTHON))"

stubs: build  ## compare the stubs with the compiled modules
	$(PYTHON) -m mypy.stubtest --allowlist tests/typing/stubtest_allowlist.txt $(COMPILED)

sdist:  ## build the source distribution and the wheel, and check what is in them
	rm -rf dist
	$(PYTHON) -m build --outdir dist .
	$(PYTHON) .ci/contents.py dist

profile:  ## compile with line information for py-spy --native and perf
	CQRS_FAST_BUILD=profile $(BUILD)

profile-cpu: SECONDS ?= 15
profile-cpu: profile  ## let py-spy watch the workload, or CASE, a row of the benchmarks
	$(PYTHON) -m profiles.cpu --seconds $(SECONDS) \
		$(if $(CASE),-- '$(CASE)',--flamegraph profiles/flamegraph.svg)

profile-memory: build  ## show the lines that keep more memory the longer it runs
	$(PYTHON) -m profiles.memory

profile-latency: build  ## show how long 10^7 dispatches take, and collections of garbage
	$(PYTHON) -m profiles.latency

debug:  ## compile with assertions and checks, and run the tests
	CQRS_FAST_BUILD=debug $(BUILD)
	$(PYTEST) -m "not slow"

trace:  ## compile with line tracing for coverage, and run the tests
	CQRS_FAST_BUILD=trace $(BUILD)
	$(PYTEST) -m "not slow"

asan:  ## compile with the address and undefined behaviour sanitizers, and run the tests
	CQRS_FAST_BUILD=asan $(BUILD)
	LD_PRELOAD=$(LIBASAN) ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
		UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
		$(PYTEST) -m "not slow" -p no:cacheprovider
	$(NATIVE) --sanitize address,undefined

tsan:  ## let threads hammer the policies' C under the thread sanitizer, OPERATIONS each
	$(NATIVE) --sanitize thread --operations $(OPERATIONS)

ci:  ## do all that continuous integration does
	bash .ci/run

clean:  ## remove what builds and tools made
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.benchmarks .venv-ci
	find cqrs_fast -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
