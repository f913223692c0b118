# `make gpu-bundle`: everything that checks and measures the CUDA backend, in one directory
# for a machine that has a driver and nothing else. Linked from the objects of this variant;
# all libraries are static but libc, libm and cmocka (which Debian has as a shared object
# only and which travels along); MPI is left out whatever the variant has.
BUNDLE ?= build/gpu-bundle
# a release build with nvcc has one
HAS_BUNDLE = $(if $(filter release,$(BUILD)),$(HAVE_CUDA))
# where the fixtures' checkpoints are; their cases travel where they exist
BUNDLE_SHARED ?= $(or $(MOE_GRPO_SHARED),../shared)

.PHONY: gpu-bundle gpu-bundle-some gpu-check
ifeq ($(HAVE_CUDA),)
gpu-bundle gpu-check:
	$(error $@ needs nvcc: on PATH or in /usr/local/cuda/bin, and not CUDA=0)
else
BUNDLE_BIN = $(BUNDLE)/bin
BUNDLE_LIBS = -Wl,-Bstatic -lpcre2-8 -ljansson -linih -lxxhash -lutf8proc -lgomp -Wl,-Bdynamic \
              -L$(CUDA_HOME)/lib64 -lcudart_static -lm -ldl -lrt -lpthread
# one rank alone
OBJ_bundle_dist = $(filter-out $(O)/dist/dist_mpi.o $(O)/dist/dist_nompi.o,$(OBJ_dist)) $(O)/dist/dist_nompi.o
LIB_bundle = $(filter-out $(O)/libdist.a,$(LIB))
GPU_TESTS = $(patsubst tests/cuda/%.c,%,$(filter tests/cuda/%,$(TESTS)))
BUNDLE_BENCHES = $(patsubst bench/%,$(BUNDLE_BIN)/%,$(filter bench/bench_gpu bench/bench_%_cuda,$(basename $(BENCH_SRC))))
BUNDLE_PROGRAMS = $(BUNDLE_BIN)/grpo $(BUNDLE_BIN)/compare_dump $(BUNDLE_BIN)/gpu_tests $(BUNDLE_BENCHES)

# later libraries serve earlier ones; the objects of dist/ come once, in between
define bundle_link
	@mkdir -p $(BUNDLE_BIN)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS_$(BUILD)) -s -static-libgcc $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) \
	    $(BUNDLE_LIBS) $(1) -o $@
endef
$(BUNDLE_BIN)/grpo: $(O)/grpo/main.o $(OBJ_bundle_dist) $(LIB_bundle)
	$(call bundle_link)
$(BUNDLE_BIN)/compare_dump: $(O)/tools/compare_dump.o $(O)/libmodel.a $(O)/libcore.a
	$(call bundle_link)
# one program: every test's main gets a name of its own
$(O)/gpu_tests/%.o: $(O)/tests/cuda/%.o
	@mkdir -p $(@D)
	$(Q)objcopy --redefine-sym main=main_$* $< $@
$(eval $(call stamp_rule,gpu_tests,$$(GPU_TESTS)))
$(O)/tools/gpu_tests.o: CFLAGS_ALL += -DGPU_TESTS='$(foreach t,$(GPU_TESTS),X($(t)))'
$(O)/tools/gpu_tests.o: $(O)/gpu_tests.stamp
$(BUNDLE_BIN)/gpu_tests: $(O)/tools/gpu_tests.o $(GPU_TESTS:%=$(O)/gpu_tests/%.o) \
    $(call obj,$(filter-out $(TESTS),$(wildcard tests/cuda/*.c))) $(foreach f,$(DEPS_cuda),$(O)/lib$(f).a)
	$(call bundle_link,-lcmocka -Wl$(comma)-rpath$(comma)'$$ORIGIN/../lib')
$(BUNDLE_BIN)/bench_gpu: $(OBJ_bench_gpu)
$(BUNDLE_BENCHES): $(BUNDLE_BIN)/%: $(O)/bench/%.o $(OBJ_bench) $(OBJ_bundle_dist) $(LIB_bundle)
	$(call bundle_link)

gpu-bundle: $(BUNDLE_PROGRAMS)
	@CC='$(CC)' tools/gpu_bundle.sh '$(BUNDLE)' '$(BUNDLE_SHARED)'

# what tests/run_gpu_bundle.sh needs
gpu-bundle-some: $(filter %/grpo %/compare_dump %/bench_gpu %/gpu_tests,$(BUNDLE_PROGRAMS))
	@CC='$(CC)' tools/gpu_bundle.sh '$(BUNDLE)' '$(BUNDLE_SHARED)' >/dev/null

# on a machine with a GPU and the compiler
gpu-check: gpu-bundle
	$(BUNDLE)/gpu-check $(GPU_CHECK_ARGS)
endif
