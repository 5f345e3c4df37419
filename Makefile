# Targets of cqrs_fast; `make` alone lists them. PYTHON chooses the interpreter.
# All builds are made in place, and changing the mode builds everything again.
PYTHON ?= python3
PYTEST := $(PYTHON) -m pytest -q
CHECK = $(PYTEST) -n auto --dist worksteal -m 'not slow and not alone' && $(PYTEST) -m 'alone and not slow'
BUILD := $(PYTHON) setup.py -q build_ext --inplace
MODULES = $(subst /,.,$(basename $(shell find cqrs_fast -name '*.pyx' | sort)))
.PHONY: $(shell sed -n 's/^\([a-z -]*\):.*##.*/\1/p' Makefile)
help:  ## list the targets
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' Makefile | expand -t 20
install:  ## install what development needs into the present environment
	$(PYTHON) -m pip install -e ".[dev]"
build profile:  ## compile in place: for release, or with line information for py-spy, perf
	CQRS_FAST_BUILD=$(subst build,release,$@) $(BUILD)
check:  ## run the tests on what is built: side by side, then those that must be alone
	$(CHECK)
test: build check  ## compile for release and run the tests, without the slow ones
slow: build  ## run the slow tests
	$(PYTEST) -m slow
soak: build  ## run the long reliability rows, SECONDS in all (make soak SECONDS=600)
	$(PYTHON) -m tests.soak --seconds $(or $(SECONDS),300)
hunt:  ## hunt for crashes, hangs and lost counts, in copies (VERSION MODE HUNTER SCHEDULES)
	$(PYTHON) -m tests.hunters --everywhere --seed $(or $(SEED),4711) $(SHORT:%=--short) \
		$(VERSION:%=--version %) $(MODE:%=--mode %) $(HUNTER:%=--hunter %) \
		$(SCHEDULES:%=--schedules %)
bench: build  ## run the benchmarks, each case beside its baseline
	$(PYTEST) benchmarks --benchmark-columns=min,median,iqr,rounds
bench-report: build  ## measure everything into benchmarks/RESULTS.md, or into RESULTS alone
	$(PYTHON) -m benchmarks.report $(if $(RESULTS),--results '$(RESULTS)')
bench-instructions: build  ## count instructions against their ceilings (UPDATE=--update)
	$(PYTHON) -m benchmarks.instructions $(UPDATE)
rivals: build  ## compare with other libraries and with Go (benchmarks/rivals/Makefile)
	$(MAKE) -f benchmarks/rivals/Makefile PYTHON='$(PYTHON)'
	$(MAKE) -f benchmarks/go/Makefile PYTHON='$(PYTHON)'
lint:  ## check style
	$(PYTHON) -m ruff check . && cython-lint cqrs_fast tests/support/compiled profiles
types:  ## check the annotations with mypy and pyright
	$(PYTHON) -m mypy && $(PYTHON) -m mypy tests/typing
	$(PYTHON) -m pyright --pythonpath "$$(command -v $(PYTHON))"
stubs:  ## compare the stubs with the compiled modules
	$(PYTHON) -m mypy.stubtest --allowlist tests/typing/stubtest_allowlist.txt $(MODULES)
sdist:  ## build the source distribution and the wheel, and check what is in them
	rm -rf dist && $(PYTHON) -m build --outdir dist . && $(PYTHON) .ci/contents.py dist/*.tar.gz dist/*.whl
profile-cpu: profile  ## let py-spy watch the workload, or CASE, a row of the benchmarks
	$(PYTHON) -m profiles.cpu --seconds $(or $(SECONDS),15) \
		$(if $(CASE),-- '$(CASE)',--flamegraph profiles/flamegraph.svg)
profile-memory profile-latency: build  ## watch memory, time
	$(PYTHON) -m $(subst -,s.,$@)
debug trace:  ## compile with assertions and checks, or with line tracing, and run the tests
	CQRS_FAST_BUILD=$@ $(BUILD) && $(CHECK)
asan:  ## compile with the address and undefined behaviour sanitizers, and run the tests
	CQRS_FAST_BUILD=asan $(BUILD)
	export LD_PRELOAD=$$($(or $(CC),cc) -print-file-name=libasan.so) PYTHONMALLOC=malloc \
		ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1; $(CHECK)
	$(PYTHON) tests/native/run.py --sanitize address,undefined
tsan:  ## let threads hammer the policies' C under the thread sanitizer, OPERATIONS each
	$(PYTHON) tests/native/run.py --sanitize thread --operations $(or $(OPERATIONS),2000000)
clean:  ## remove what builds and tools made
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find cqrs_fast -name '*.so' -delete
