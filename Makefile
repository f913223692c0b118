# moe-grpo: one program, `grpo`. `make help` lists the targets.
#
# One object directory per variant: build/<BUILD>[-nompi][-nocuda]; O=DIR puts it elsewhere.
# Each folder becomes one static library; folder edges are those of tests/check_deps.sh.

BUILD ?= release
MPI   ?= auto
CUDA  ?= auto
CC    ?= gcc

HAVE_MPI  := $(if $(filter 0,$(MPI)),,$(shell command -v mpicc 2>/dev/null))
ifeq ($(MPI)$(HAVE_MPI),1)
$(error MPI=1, but no mpicc is on PATH: apt-get install libopenmpi-dev, or use MPI=0)
endif

O ?= build/$(BUILD)$(if $(HAVE_MPI),,-nompi)

CFLAGS_release = -O3 -g
CFLAGS_debug   = -O1 -g -DDEBUG
CFLAGS_asan    = -O1 -g -DDEBUG -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all
CFLAGS_tsan    = -O1 -g -DDEBUG -fsanitize=thread
WARN = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
       -Wcast-qual -Wwrite-strings -Wvla -Wdouble-promotion -Wundef -Wno-missing-field-initializers
CFLAGS_ALL = -std=c11 -D_GNU_SOURCE -I. -fopenmp -ffp-contract=off $(WARN) $(CFLAGS_$(BUILD)) $(CFLAGS)
LDFLAGS_ALL = -fopenmp $(CFLAGS_$(BUILD)) $(LDFLAGS)
LIBS = -lpcre2-8 -ljansson -linih -lxxhash -lutf8proc -lm -lpthread

MPI_CFLAGS := $(if $(HAVE_MPI),$(shell mpicc --showme:compile 2>/dev/null))
MPI_LIBS   := $(if $(HAVE_MPI),$(shell mpicc --showme:link 2>/dev/null))

FOLDERS = grpo rollout model reward dist cpu core
ISAS = portable avx2 avx512
ISA_portable = -mno-avx
ISA_avx2 = -mavx2 -mfma -mf16c
ISA_avx512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512

SRC_grpo    := $(filter-out grpo/main.c,$(wildcard grpo/*.c))
SRC_rollout := $(wildcard rollout/*.c)
SRC_model   := $(wildcard model/*.c)
SRC_reward  := $(wildcard reward/*.c)
SRC_dist    := $(filter-out $(if $(HAVE_MPI),dist/dist_nompi.c,dist/dist_mpi.c),$(wildcard dist/*.c))
SRC_core    := $(wildcard core/*.c)
# cpu/cpu.c once; every other file of cpu/ once per instruction set
SRC_cpu_isa := $(filter-out cpu/cpu.c,$(wildcard cpu/*.c))

obj = $(patsubst %.c,$(O)/%.o,$(1))
$(foreach f,grpo rollout model reward dist core,$(eval OBJ_$(f) := $(call obj,$(SRC_$(f)))))
OBJ_cpu := $(call obj,$(wildcard cpu/cpu.c)) $(foreach i,$(ISAS),$(patsubst cpu/%.c,$(O)/cpu/%.$(i).o,$(SRC_cpu_isa)))

LIB = $(foreach f,$(FOLDERS),$(O)/lib$(f).a)

.PHONY: all
all: $(O)/grpo

$(O)/dist/%.o: CFLAGS_ALL += $(MPI_CFLAGS)
$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@
define isa_rule
$(O)/cpu/%.$(1).o: cpu/%.c
	@mkdir -p $$(@D)
	$(CC) $(CFLAGS_ALL) $(ISA_$(1)) -DCPU_ISA_SUFFIX=$(1) -MMD -MP -c $$< -o $$@
endef
$(foreach i,$(ISAS),$(eval $(call isa_rule,$(i))))

define lib_rule
$(O)/lib$(1).a: $(OBJ_$(1))
	@mkdir -p $$(@D)
	rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call lib_rule,$(f))))

$(O)/grpo: $(O)/grpo/main.o $(LIB)
	$(CC) $(LDFLAGS_ALL) $^ $(LIBS) $(MPI_LIBS) -o $@

# tests/<folder>/test_<file>.c links the libraries that the folder may use
DEPS_core = core
DEPS_cpu = cpu core
DEPS_dist = dist core
DEPS_reward = reward core
DEPS_model = model dist cpu core
DEPS_rollout = rollout model reward dist cpu core
DEPS_grpo = grpo rollout model reward dist cpu core
TESTS := $(wildcard tests/*/test_*.c)
TEST_BINS := $(patsubst %.c,$(O)/%,$(TESTS))
define test_rule
$(O)/tests/$(1)/%: $(O)/tests/$(1)/%.o $(foreach f,$(DEPS_$(1)),$(O)/lib$(f).a)
	$$(CC) $$(LDFLAGS_ALL) $$^ $$(LIBS) $$(if $$(filter %libdist.a,$$^),$$(MPI_LIBS)) -lcmocka -o $$@
endef
$(foreach f,$(FOLDERS),$(eval $(call test_rule,$(f))))

.SECONDARY:
-include $(shell find $(O) -name '*.d' 2>/dev/null)
