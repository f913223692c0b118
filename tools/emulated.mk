# The CUDA backend without a GPU: the .cu files compiled to PTX alone, and each test of
# tests/cuda and grpo linked with libemulator.a in place of CUDA's runtime.
#   make test T=emulated/cuda/test_gemm     make emulated-grpo
EMULATED = $(O)/emulated
EMULATED_TESTS := $(if $(HAVE_CUDA),$(patsubst tests/%.c,$(O)/tests/emulated/%,$(filter tests/cuda/%,$(TESTS))))

.PHONY: emulated-grpo
ifeq ($(HAVE_CUDA),)
emulated-grpo:
	$(error $@ needs nvcc: on PATH or in /usr/local/cuda/bin, and not CUDA=0)
else
# what EMULATOR_SM chooses from; as plain text
EMULATED_CODE = -gencode arch=compute_90a,code=compute_90a -gencode arch=compute_80,code=compute_80 \
                -Xfatbin=-compress=false
EMULATED_FLAGS_TEXT := $(NVCC) $(subst $(NVCC_CODE),$(EMULATED_CODE),$(NVCCFLAGS_ALL))
$(eval $(call stamp_rule,emulated_flags,$$(EMULATED_FLAGS_TEXT)))
OBJ_emulated := $(patsubst %.cu,$(EMULATED)/%.o,$(SRC_cuda)) $(call obj,$(SRC_cuda_c))

$(EMULATED)/%.o: NVCC_CODE = $(EMULATED_CODE)
# wgmma and TMA exist for sm_90a only
$(patsubst %,$(EMULATED)/cuda/%.o,$(SM_90A)): NVCC_CODE = $(subst -gencode arch=compute_80$(comma)code=compute_80,,$(EMULATED_CODE))
$(EMULATED)/%.o: %.cu $(O)/emulated_flags.stamp
	@mkdir -p $(@D)
	$(call say,NVCC,$@)
	$(Q)$(NVCC) $(filter-out -lineinfo,$(NVCCFLAGS_ALL)) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

$(eval $(call stamp_rule,libemulated,$$(OBJ_emulated)))
$(EMULATED)/libcuda_ops.a: $(OBJ_emulated) $(O)/libemulated.stamp
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $(filter %.o,$^)

$(O)/tests/emulated/cuda/%: $(O)/tests/cuda/%.o $(call obj,$(filter-out $(TESTS),$(wildcard tests/cuda/*.c))) \
    $(EMULATED)/libcuda_ops.a $(O)/libemulator.a $(O)/libcpu.a $(O)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $(filter %.o %.a,$^) $(LIBS) -lcmocka -o $@

LIB_emulated = $(EMULATED)/libcuda_ops.a $(O)/libemulator.a $(filter-out $(O)/libcuda_ops.a,$(LIB))
$(EMULATED)/bin/grpo: $(O)/grpo/main.o $(LIB_emulated)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $(filter %.o,$^) $(LIB_emulated) $(LIBS) $(MPI_LIBS) -o $@
emulated-grpo: $(EMULATED)/bin/grpo
endif
