# The targets that people call, besides `all`: what they do is in tools/ and tests/.

# the two commands of the README build on all cores unless -j was given
PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# test scripts that run programs, and the argument each takes (else the object directory)
RUN_SCRIPTS := $(sort $(wildcard tests/run_*.sh))
ARG_run_mpi = $(O)/tests/dist/test_comm
ARG_run_gpu_bundle = $(BUNDLE)
# A script of this list counts as one skip
SKIP_SCRIPTS = $(if $(HAVE_MPI),,run_mpi) $(if $(HAS_BUNDLE),,run_gpu_bundle) $(if $(HAVE_CUDA),,run_emulated)
CHECK_SCRIPTS := $(sort $(wildcard tests/check_*.sh))
script_call = '$(1) $(or $(ARG_$(basename $(notdir $(1)))),$(O))'
FORMATTED = $(wildcard */*.[ch] tests/*/*.[ch] cuda/*.cu cuda/*.cuh bench/*.cu)

.PHONY: help info deps tests test check check-built bench format coverage demo demo-long clean

help:
	@sed 's/^# \{0,1\}//' tools/help.txt

info:
	@CC='$(CC)' BUILD='$(BUILD)' O='$(O)' MPI='$(MPI)' CUDA='$(CUDA)' HAVE_MPI='$(HAVE_MPI)' \
	    NVCC='$(NVCC)' N_CUDA_FILES='$(words $(SRC_cuda))' tools/build_info.sh

deps:
	@tools/install_deps.sh

tests: $(TEST_BINS) $(EMULATED_TESTS)

test:
	$(if $(T),,$(error which test? make test T=core/test_rng))
	@$(MAKE) --no-print-directory $(O)/tests/$(T)
	OMP_NUM_THREADS=$(or $(OMP_NUM_THREADS),2) $(O)/tests/$(T)

# Two steps: what `deps` installed (a compiler, MPI) is seen by a fresh make.
check:
	@tools/install_deps.sh
	@$(MAKE) --no-print-directory $(PARALLEL) all tests
	@$(MAKE) --no-print-directory check-built

# for tests/run_fuzz.sh and tools/install_deps.sh
export FUZZ
check-built: all tests $(if $(HAVE_CUDA),emulated-grpo) $(if $(HAS_BUNDLE),gpu-bundle-some)
	@O='$(O)' SKIP_SCRIPTS='$(SKIP_SCRIPTS)' tools/run_tests.sh $(TEST_BINS) $(EMULATED_TESTS) -- \
	    $(foreach s,$(RUN_SCRIPTS) $(CHECK_SCRIPTS),$(call script_call,$(s)))

bench: $(BENCH_BINS)
	@printf 'built: %s\n' $^

format:
	clang-format -i $(FORMATTED)

# A build of its own; the tables come from gcov, no other tool is needed.
coverage:
	@$(MAKE) --no-print-directory BUILD=coverage coverage-run
.PHONY: coverage-run
coverage-run: tests
	@find $(O) -name '*.gcda' -delete
	@O='$(O)' tools/run_tests.sh $(TEST_BINS)
	@tools/coverage.sh '$(O)'

demo demo-long:
	@tools/install_deps.sh
	@$(MAKE) --no-print-directory $(PARALLEL) all
	@grpo=$$($(MAKE) --no-print-directory print-program) && \
	    tools/demo.sh "$$grpo" $(if $(filter demo,$@),short,long)
.PHONY: print-program
print-program:
	@echo $(O)/bin/grpo

clean:
	rm -rf build
