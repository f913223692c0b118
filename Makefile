# moe-grpo: one program, `grpo`. `make help` lists the targets.
#
# One object directory per variant: build/<BUILD>[-nompi][-cuda]; O=DIR puts it elsewhere.
# Each folder becomes one static library; folder edges are those of tests/check_deps.sh.

BUILD ?= release
MPI   ?= auto
CUDA  ?= auto
ifeq ($(origin CC),default)
CC = gcc
endif
.DEFAULT_GOAL := all
# one short line per file; V=1 shows the commands
Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

BUILDS = release debug asan tsan coverage fuzz
ifeq ($(filter $(BUILD),$(BUILDS)),)
$(error BUILD=$(BUILD), expected one of: $(BUILDS))
endif
HAVE_MPI := $(if $(filter 0,$(MPI)),,$(shell command -v mpicc 2>/dev/null))
NVCC := $(if $(filter 0,$(CUDA)),,$(or $(shell command -v nvcc 2>/dev/null),$(wildcard /usr/local/cuda/bin/nvcc)))
# goals that need no compiler must work before `make deps` has brought one
TOOLLESS = help info deps clean check demo demo-long format
ifneq ($(filter-out $(TOOLLESS),$(or $(MAKECMDGOALS),all)),)
ifeq ($(MPI)$(HAVE_MPI),1)
$(error MPI=1, but no mpicc is on PATH: apt-get install libopenmpi-dev, or use MPI=0)
endif
ifeq ($(CUDA)$(NVCC),1)
$(error CUDA=1, but there is no nvcc on PATH or in /usr/local/cuda/bin: install the CUDA Toolkit, put its bin folder on PATH, or use CUDA=0)
endif
endif
# the CUDA backend is built where there is a compiler and something to compile
SRC_cuda := $(wildcard cuda/*.cu)
HAVE_CUDA := $(if $(SRC_cuda),$(NVCC))
SRC_cuda_c := $(if $(HAVE_CUDA),$(wildcard cuda/*.c))
CUDA_HOME = $(patsubst %/bin/nvcc,%,$(realpath $(NVCC)))

O ?= build/$(BUILD)$(if $(HAVE_MPI),,-nompi)$(if $(HAVE_CUDA),-cuda)

CFLAGS_release = -O3 -g
CFLAGS_debug   = -O1 -g -DDEBUG
CFLAGS_asan    = -O1 -g -DDEBUG -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all
CFLAGS_tsan    = -O1 -g -DDEBUG -fsanitize=thread
CFLAGS_coverage = -O1 -g --coverage
# tests/run_fuzz.sh chooses compiler and flags; warnings are the other builds' business
CFLAGS_fuzz = -O1 -g -DDEBUG -fno-omit-frame-pointer -w $(FUZZ_FLAGS)
OPENMP = $(if $(filter fuzz,$(BUILD)),,-fopenmp)
WARN = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
       -Wcast-qual -Wwrite-strings -Wvla -Wdouble-promotion -Wundef -Wno-missing-field-initializers
CFLAGS_ALL = -std=c11 -D_GNU_SOURCE -I. $(OPENMP) -ffp-contract=off $(WARN) $(CFLAGS_$(BUILD)) $(CFLAGS)
LDFLAGS_ALL = $(OPENMP) $(CFLAGS_$(BUILD)) $(LDFLAGS)
LIBS = -lpcre2-8 -ljansson -linih -lxxhash -lutf8proc -lm -lpthread

MPI_CFLAGS := $(if $(HAVE_MPI),$(shell mpicc --showme:compile 2>/dev/null))
MPI_LIBS   := $(if $(HAVE_MPI),$(shell mpicc --showme:link 2>/dev/null))

# sm_90a: wgmma and TMA; PTX of 9.0 for what comes later
NVCC_ARCH ?= -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a \
             -gencode arch=compute_90,code=compute_90
NVCCFLAGS_release = -O3 -lineinfo
NVCCFLAGS_debug = -O1 -g -DDEBUG
NVCCFLAGS_asan = $(NVCCFLAGS_debug)
NVCCFLAGS_tsan = $(NVCCFLAGS_debug)
NVCCFLAGS_coverage = -O1 -g
# -fmad=false: kernels fuse where they say so, as cpu/ does; compressed: programs of a third
NVCC_CODE = $(NVCC_ARCH) -Xfatbin=-compress-all
NVCCFLAGS_ALL = -std=c++17 -I. $(NVCC_CODE) -fmad=false --Werror all-warnings \
                -Xcompiler -Wall,-Wextra,-Werror,-Wno-missing-field-initializers,-fno-exceptions,-fno-rtti,-fno-threadsafe-statics $(NVCCFLAGS_$(BUILD)) $(NVCCFLAGS)
# cudart finds the driver when it runs: nothing of CUDA is needed to start the program
CUDA_LIBS = $(if $(HAVE_CUDA),-L$(CUDA_HOME)/lib64 -lcudart_static -ldl -lrt -lpthread)
NCCL_LIBS = $(if $(SRC_dist_cu),-lnccl)
comma = ,

FOLDERS = grpo rollout model reward dist cpu core
ISAS = portable avx2 avx512
# arrays of lanes take the optimiser minutes: at -O3, and with sanitizers at -O1
ISA_portable = -Wno-psabi -mno-avx $(PORTABLE_OPT_$(BUILD))
PORTABLE_OPT_release = -O2
PORTABLE_OPT_asan = -O0
PORTABLE_OPT_tsan = -O0
ISA_avx2 = -Wno-psabi -mavx2 -mfma -mf16c
ISA_avx512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512
# in every variant, or its tests take minutes; it is used on the machine that builds it.
# Neither -fno- changes a result: loops with divisions, roots and selects vectorise
EMULATOR_CFLAGS = $(if $(filter coverage,$(BUILD)),,-O2) -march=native -fno-trapping-math -fno-math-errno

SRC_grpo    := $(filter-out grpo/main.c,$(wildcard grpo/*.c))
SRC_rollout := $(wildcard rollout/*.c)
SRC_model   := $(wildcard model/*.c)
SRC_reward  := $(wildcard reward/*.c)
SRC_dist    := $(filter-out $(if $(HAVE_MPI),dist/dist_nompi.c,dist/dist_mpi.c),$(wildcard dist/*.c))
SRC_dist_cu := $(if $(HAVE_CUDA),$(wildcard dist/*.cu))
SRC_core    := $(wildcard core/*.c)
# runs the kernels' PTX on the CPU, for tests; its CUDA API needs the toolkit's headers
NO_CUDA = $(if $(HAVE_CUDA),,emulator/runtime% tests/emulator/runtime% tests/emulator/test_runtime%)
SRC_emulator := $(filter-out $(NO_CUDA),$(wildcard emulator/*.c))
# cpu/cpu.c once; every other file of cpu/ once per instruction set
SRC_cpu_isa := $(filter-out cpu/cpu.c,$(wildcard cpu/*.c))

obj = $(patsubst %.c,$(O)/%.o,$(1))
$(foreach f,grpo rollout model reward dist core emulator,$(eval OBJ_$(f) := $(call obj,$(SRC_$(f)))))
OBJ_cpu := $(call obj,$(wildcard cpu/cpu.c)) $(foreach i,$(ISAS),$(patsubst cpu/%.c,$(O)/cpu/%.$(i).o,$(SRC_cpu_isa)))
OBJ_cuda_ops := $(patsubst %.cu,$(O)/%.o,$(SRC_cuda)) $(call obj,$(SRC_cuda_c))
OBJ_dist += $(patsubst %.cu,$(O)/%.o,$(SRC_dist_cu))

LIB = $(if $(HAVE_CUDA),$(O)/libcuda_ops.a) $(foreach f,$(FOLDERS),$(O)/lib$(f).a)

.PHONY: all FORCE
all: $(O)/bin/grpo bin/grpo

# A stamp changes when its text does, and only then: what depends on it is made again when
# the flags differ from those of the last build, or when a source file comes or goes.
define stamp_rule
$(O)/$(1).stamp: FORCE
	@mkdir -p $$(@D)
	@printf '%s\n' '$$(subst ','\'',$(2))' | cmp -s - $$@ || printf '%s\n' '$$(subst ','\'',$(2))' > $$@
endef
# expanded here: a rule would see the variables of the target that asked for the stamp
FLAGS_TEXT := $(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(LIBS) $(MPI_CFLAGS) $(MPI_LIBS) $(foreach i,$(ISAS),$(ISA_$(i))) $(EMULATOR_CFLAGS)
CUDA_FLAGS_TEXT := $(HAVE_CUDA) $(if $(HAVE_CUDA),$(NVCCFLAGS_ALL) $(CUDA_LIBS))
$(eval $(call stamp_rule,flags,$$(FLAGS_TEXT)))
$(eval $(call stamp_rule,cuda_flags,$$(CUDA_FLAGS_TEXT)))
$(foreach f,$(FOLDERS) cuda_ops emulator,$(eval $(call stamp_rule,lib$(f),$$(OBJ_$(f)))))

$(O)/dist/%.o: CFLAGS_ALL += $(MPI_CFLAGS)
$(O)/emulator/%.o: CFLAGS_ALL += $(EMULATOR_CFLAGS)
$(O)/emulator/%.o $(O)/tests/emulator/%.o $(O)/tests/cuda/%.o: CFLAGS_ALL += $(if $(HAVE_CUDA),-isystem $(CUDA_HOME)/include)
# only main.c names a backend, so only it knows whether this one exists
$(O)/grpo/main.o: CFLAGS_ALL += -DHAVE_CUDA=$(if $(HAVE_CUDA),1,0)
$(O)/grpo/main.o: $(O)/cuda_flags.stamp
$(O)/%.o: %.c $(O)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@
define isa_rule
$(O)/cpu/%.$(1).o: cpu/%.c $(O)/flags.stamp
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$(Q)$(CC) $(CFLAGS_ALL) $(ISA_$(1)) -DCPU_ISA_SUFFIX=$(1) -MMD -MP -c $$< -o $$@
endef
$(foreach i,$(ISAS),$(eval $(call isa_rule,$(i))))
# wgmma and TMA exist for sm_90a only, and are called there only
SM_90A := gemm_tensor_wgmma attention_wgmma attention_tensor_bwd_dkdv attention_tensor_bwd_dq
$(patsubst %,$(O)/cuda/%.o,$(SM_90A)): NVCC_ARCH = -gencode arch=compute_90a,code=sm_90a
$(O)/%.o: %.cu $(O)/cuda_flags.stamp
	@mkdir -p $(@D)
	$(call say,NVCC,$@)
	$(Q)$(NVCC) $(NVCCFLAGS_ALL) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

# libreward.a is complete by itself, for programs that want the verifier alone
LIB_OBJ_reward = $(call obj,$(foreach f,buf log mem mem_info rng status,core/$(f).c))
define lib_rule
$(O)/lib$(1).a: $(OBJ_$(1)) $$(LIB_OBJ_$(1)) $(O)/lib$(1).stamp
	@mkdir -p $$(@D)
	$$(call say,AR,$$@)
	$(Q)rm -f $$@ && ar rcs $$@ $$(filter %.o,$$^)
.PHONY: lib$(1).a
lib$(1).a: $(O)/lib$(1).a
endef
$(foreach f,$(FOLDERS) emulator $(if $(HAVE_CUDA),cuda_ops),$(eval $(call lib_rule,$(f))))

$(O)/bin/grpo: $(O)/grpo/main.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $(filter %.o,$^) $(LIB) $(LIBS) $(MPI_LIBS) $(NCCL_LIBS) $(CUDA_LIBS) -o $@

# bin/grpo is the variant built last: put bin/ on PATH
.PHONY: bin/grpo
bin/grpo: $(O)/bin/grpo
	@mkdir -p bin && ln -sfn '$(abspath $<)' $@

# tests/<folder>/test_<file>.c links the libraries that the folder may use, and the folder's
# other .c files
DEPS_core = core
DEPS_cpu = cpu core
DEPS_cuda = cuda_ops cpu core
DEPS_dist = dist core
DEPS_emulator = emulator core
DEPS_reward = reward core
DEPS_model = model dist cpu core
DEPS_rollout = rollout model reward dist cpu core
DEPS_grpo = grpo rollout model reward dist cpu core
TEST_FOLDERS = $(FOLDERS) emulator $(if $(HAVE_CUDA),cuda)
TESTS := $(filter-out $(NO_CUDA),$(foreach f,$(TEST_FOLDERS),$(sort $(wildcard tests/$(f)/test_*.c))))
TEST_BINS := $(patsubst %.c,$(O)/%,$(TESTS))
define test_rule
$(O)/tests/$(1)/%: $(O)/tests/$(1)/%.o \
    $(call obj,$(filter-out $(TESTS) $(NO_CUDA),$(wildcard tests/$(1)/*.c))) $(foreach f,$(DEPS_$(1)),$(O)/lib$(f).a)
	$$(call say,LD,$$@)
	$(Q)$$(CC) $$(LDFLAGS_ALL) $$(filter %.o %.a,$$^) $$(LIBS) $$(if $$(filter %libdist.a,$$^),$$(MPI_LIBS) $$(NCCL_LIBS)) \
	    $$(if $$(filter %libcuda_ops.a %libdist.a,$$^),$$(CUDA_LIBS)) -lcmocka -o $$@
endef
$(foreach f,$(TEST_FOLDERS),$(eval $(call test_rule,$(f))))

# tests/fuzz/fuzz_<what>.c: reward, core and the tokenizer, which is model/ without the rest
FUZZ_BINS := $(patsubst %.c,$(O)/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_OBJ := $(call obj,$(SRC_reward) $(SRC_core) $(filter-out $(foreach f,backward batch checkpoint% head \
    hparams% model optim params% rope route safetensors% shards weights%,model/$(f).c),$(SRC_model)) \
    $(if $(filter driver,$(FUZZ_ENGINE)),tests/fuzz/driver.c))
$(O)/tests/fuzz/fuzz_%: $(O)/tests/fuzz/fuzz_%.o $(FUZZ_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $(if $(filter libfuzzer,$(FUZZ_ENGINE)),-fsanitize=fuzzer) $^ $(LIBS) -o $@
.PHONY: fuzz-bins
fuzz-bins: $(FUZZ_BINS)

# bench/bench_<what>.c (.cu) are programs, gpu_* the parts of bench_gpu, the other files there
# are shared by all
BENCH_SRC := $(filter-out $(if $(HAVE_CUDA),,bench/bench_gpu.c),$(wildcard bench/bench_*.c)) \
             $(if $(HAVE_CUDA),$(wildcard bench/bench_*.cu))
BENCH_BINS := $(addprefix $(O)/,$(basename $(BENCH_SRC)))
OBJ_bench := $(call obj,$(filter-out bench/bench_% bench/gpu_%,$(wildcard bench/*.c)))
OBJ_bench_gpu := $(call obj,$(wildcard bench/gpu_*.c)) $(patsubst %.cu,$(O)/%.o,$(wildcard bench/gpu_*.cu))
$(O)/bench/bench_gpu: $(OBJ_bench_gpu)
$(O)/bench/bench_%: $(O)/bench/bench_%.o $(OBJ_bench) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $(filter %.o,$^) $(LIB) $(LIBS) $(MPI_LIBS) $(NCCL_LIBS) $(CUDA_LIBS) -ldl -o $@

include tools/emulated.mk tools/gpu_bundle.mk tools/targets.mk

.SECONDARY:
-include $(wildcard $(O)/*/*.d $(O)/tests/*/*.d $(O)/emulated/*/*.d)
