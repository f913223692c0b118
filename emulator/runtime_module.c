/*
 * Code: what nvcc's start-up functions register, one module per translation unit, its
 * PTX chosen and parsed when one of its kernels or variables is first used.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "emulator/runtime.h"
#include "emulator/runtime_fatbin.h"
#include "emulator/settings.h"

/* What a program hands over: the wrapper of fatbinary_section.h */
struct fatbin_wrapper {
    int32_t magic, version;
    const void *container;
    const void *more;
};
enum { WRAPPER_MAGIC = 0x466243b1 };

/* A variable of the program's and its name on the device */
struct symbol {
    struct symbol *next;
    const void *host;
    const char *name;
};

struct runtime_module {
    struct runtime_module *next;
    const void *container; /* NULL: registered as text */
    const char *text;      /* once chosen */
    size_t n_bytes;
    const char *name; /* a kernel of it, for messages */
    struct ptx_module *code;
    int error; /* why there is no code */
    struct CUkern_st *kernels;
    struct symbol *symbols;
};

static struct runtime_module *modules;

static struct runtime_module *module_add(void)
{
    struct runtime_module *const m = mem_alloc(sizeof(*m));
    m->name = "";
    m->next = modules;
    modules = m;
    return m;
}

static struct CUkern_st *kernel_add(struct runtime_module *m, const void *host,
                                    const char *name)
{
    struct CUkern_st *const k = mem_alloc(sizeof(*k));
    k->module = m;
    k->host = host;
    k->name = name;
    k->next = m->kernels;
    m->kernels = k;
    m->name = name;
    return k;
}

void runtime_register_text(const char *text, size_t n_bytes, const char *kernel,
                           const void *host)
{
    (void)runtime_enter();
    struct runtime_module *const m = module_add();
    m->text = text;
    m->n_bytes = n_bytes;
    (void)kernel_add(m, host, kernel);
    (void)runtime_leave(cudaSuccess);
}

/* So that a fault's line can be looked up */
static void write_text(const struct runtime_module *m)
{
    char path[4096];
    const char *const folder = emulator_settings()->ptx_folder;
    if (folder == NULL)
        return;
    snprintf(path, sizeof(path), "%s/%s.ptx", folder, m->name);
    FILE *const f = fopen(path, "w");
    if (f == NULL || fwrite(m->text, 1, m->n_bytes, f) != m->n_bytes)
        log_error("emulator: %s: cannot write", path);
    if (f != NULL && fclose(f) != 0)
        log_error("emulator: %s: cannot write", path);
}

static int module_load(struct runtime_module *m)
{
    int status = STATUS_OK;
    if (m->code != NULL || m->error != cudaSuccess)
        return m->error;
    if (m->text == NULL)
        status = runtime_fatbin_ptx(m->container,
                                    emulator_settings()->compute_capability, &m->text,
                                    &m->n_bytes);
    if (status != STATUS_OK)
        m->error = status == ERR_DEVICE ? cudaErrorNoKernelImageForDevice
                                        : cudaErrorInvalidKernelImage;
    if (status == STATUS_OK) {
        write_text(m);
        status = ptx_module_parse(m->text, m->n_bytes, m->name, &m->code);
        m->error = status == STATUS_OK ? cudaSuccess : cudaErrorInvalidPtx;
    }
    if (status != STATUS_OK)
        log_error("emulator: the module of kernel %s: %s", m->name, status_message());
    return m->error;
}

static struct CUkern_st *kernel_find(const void *host)
{
    for (struct runtime_module *m = modules; m != NULL; m = m->next)
        for (struct CUkern_st *k = m->kernels; k != NULL; k = k->next)
            if (k->host == host || k == host)
                return k;
    return NULL;
}

int runtime_kernel_load(const void *host, struct CUkern_st **out)
{
    struct CUkern_st *const k = kernel_find(host);
    if (k == NULL)
        return cudaErrorInvalidDeviceFunction;
    const int error = module_load(k->module);
    if (error != cudaSuccess)
        return error;
    if (k->code == NULL) {
        k->code = ptx_module_kernel(k->module->code, k->name);
        if (k->code == NULL)
            return cudaErrorInvalidDeviceFunction;
        k->dynamic_limit = MACHINE_SHARED_STATIC - k->code->shared_bytes;
    }
    *out = k;
    return cudaSuccess;
}

static const struct symbol *symbol_find(const void *host, struct runtime_module **out)
{
    for (struct runtime_module *m = modules; m != NULL; m = m->next)
        for (const struct symbol *v = m->symbols; v != NULL; v = v->next)
            if (v->host == host) {
                *out = m;
                return v;
            }
    return NULL;
}

int runtime_variable(const void *host, const struct ptx_variable **out)
{
    struct runtime_module *m = NULL;
    const struct symbol *const v = symbol_find(host, &m);
    if (v == NULL)
        return cudaErrorInvalidSymbol;
    const int error = module_load(m);
    if (error != cudaSuccess)
        return error;
    for (int32_t i = 0; i < m->code->n_variables; i++)
        if (strcmp(m->code->variables[i].name, v->name) == 0) {
            *out = &m->code->variables[i];
            return cudaSuccess;
        }
    return cudaErrorInvalidSymbol;
}

/* --- what nvcc's code calls; declared in its own headers for C++ alone --- */
void **__cudaRegisterFatBinary(void *fatbin);
void __cudaRegisterFatBinaryEnd(void **handle);
void __cudaUnregisterFatBinary(void **handle);
void __cudaRegisterFunction(void **handle, const char *host, char *device,
                            const char *name, int thread_limit, uint3 *tid, uint3 *bid,
                            dim3 *block, dim3 *grid, int *warp_size);
void __cudaRegisterVar(void **handle, char *host, char *device, const char *name,
                       int is_external, size_t bytes, int is_constant, int is_global);
cudaError_t __cudaGetKernel(cudaKernel_t *out, const void *host);

void **__cudaRegisterFatBinary(void *fatbin)
{
    const struct fatbin_wrapper *const w = fatbin;
    (void)runtime_enter();
    struct runtime_module *const m = module_add();
    m->container = w->container;
    if (w->magic != WRAPPER_MAGIC)
        m->error = cudaErrorInvalidKernelImage;
    (void)runtime_leave(cudaSuccess);
    return (void **)m;
}

void __cudaRegisterFatBinaryEnd(void **handle) { (void)handle; }

void __cudaUnregisterFatBinary(void **handle)
{
    struct runtime_module *const m = (struct runtime_module *)handle;
    struct runtime_module **at = &modules;
    (void)runtime_enter();
    while (*at != NULL && *at != m)
        at = &(*at)->next;
    if (*at != NULL) {
        *at = m->next;
        for (struct CUkern_st *k = m->kernels, *next; k != NULL; k = next) {
            next = k->next;
            mem_free(k);
        }
        for (struct symbol *v = m->symbols, *next; v != NULL; v = next) {
            next = v->next;
            mem_free(v);
        }
        ptx_module_free(m->code);
        mem_free(m);
    }
    (void)runtime_leave(cudaSuccess);
}

void __cudaRegisterFunction(void **handle, const char *host, char *device,
                            const char *name, int thread_limit, uint3 *tid, uint3 *bid,
                            dim3 *block, dim3 *grid, int *warp_size)
{
    (void)device, (void)thread_limit, (void)tid, (void)bid, (void)block, (void)grid;
    (void)warp_size;
    (void)runtime_enter();
    (void)kernel_add((struct runtime_module *)handle, host, name);
    (void)runtime_leave(cudaSuccess);
}

void __cudaRegisterVar(void **handle, char *host, char *device, const char *name,
                       int is_external, size_t bytes, int is_constant, int is_global)
{
    (void)device, (void)is_external, (void)bytes, (void)is_constant, (void)is_global;
    struct runtime_module *const m = (struct runtime_module *)handle;
    (void)runtime_enter();
    struct symbol *const v = mem_alloc(sizeof(*v));
    *v = (struct symbol){.next = m->symbols, .host = host, .name = name};
    m->symbols = v;
    (void)runtime_leave(cudaSuccess);
}

static int kernel_handle(struct CUkern_st **out, const void *host)
{
    *out = kernel_find(host);
    return *out != NULL ? cudaSuccess : cudaErrorInvalidDeviceFunction;
}

cudaError_t __cudaGetKernel(cudaKernel_t *out, const void *host)
{
    RUNTIME_CALL(kernel_handle(out, host));
}
