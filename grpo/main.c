/*
 * The program: finds the command, gives it the world and the backend, and turns its
 * status into the exit status. The only file that names a backend.
 */
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "cpu/cpu.h"
#if HAVE_CUDA
#include "cuda/cuda.h"
#endif
#include "grpo/commands.h"
#include "grpo/help.h"

#if HAVE_CUDA
static int open_cuda(struct backend *b, const struct config *c)
{
    const enum cuda_matmul matmul = c->run.matmul == MATMUL_EXACT ? CUDA_MATMUL_EXACT
                                                                  : CUDA_MATMUL_TENSOR;
    return cuda_backend_init(b, (int)c->run.gpu, matmul);
}

static void backend_close(struct backend *b)
{
    if (b->is_host)
        cpu_backend_release(b);
    else
        cuda_backend_release(b);
}
#else
static int open_cuda(struct backend *b, const struct config *c)
{
    (void)b;
    (void)c;
    return ERR(ERR_DEVICE, "run.device=cuda: this build has the CPU backend only; use "
                           "run.device=cpu, or build where nvcc is");
}

static void backend_close(struct backend *b) { cpu_backend_release(b); }
#endif

static int backend_open(struct backend *b, const struct config *c)
{
    switch ((enum config_device)c->run.device) {
    case DEVICE_CPU:
        break;
    case DEVICE_CUDA:
        return open_cuda(b, c);
    }
    if (c->run.matmul == MATMUL_TENSOR)
        return ERR(ERR_CONFIG,
                   "run.matmul=tensor: the CPU has exact products only; use "
                   "run.device=cuda, or run.matmul=auto");
    return cpu_backend_init(b, (enum cpu_isa)c->run.isa, (int)c->run.threads);
}

struct command {
    const char *name;
    int (*run)(const struct program *p, int argc, char *const *argv);
};

static const struct command commands[] = {
#define X(name, summary) {#name, command_##name},
    COMMAND_LIST(X)
#undef X
};

static const struct command *find_command(const char *name)
{
    for (int64_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static bool wants_help(int argc, char *const *argv)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* Rank 0 speaks for all unless its own message says less than another rank's. */
static void print_error(const struct comm *world, int status)
{
    if (comm_rank(world) == 0)
        fprintf(stderr, "grpo: %s: %s\n", status_meaning(status), status_message());
}

int main(int argc, char **argv)
{
    launch_tame_openmp(argv);
    if (argc < 2 || strcmp(argv[1], "help") == 0 || wants_help(1, argv + 1)) {
        if (argc > 2)
            help_command(argv[2], stdout);
        else
            help_program(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    const struct command *const command = find_command(argv[1]);
    if (command == NULL) {
        fprintf(stderr, "grpo: no command \"%s\"\n", argv[1]);
        help_program(stderr);
        return 2;
    }
    if (wants_help(argc - 2, argv + 2)) {
        help_command(command->name, stdout);
        return 0;
    }
    struct comm *world = NULL;
    int status = comm_world_create(&world, &argc, &argv);
    if (status != STATUS_OK) {
        fprintf(stderr, "grpo: %s: %s\n", status_meaning(status), status_message());
        return status_exit(status);
    }
    const struct program program = {
        .world = world, .backend_open = backend_open, .backend_close = backend_close};
    status = command->run(&program, argc - 2, argv + 2);
    if (status != STATUS_OK)
        print_error(world, status);
    const int code = status_exit(status);
    /* a rank that failed alone must not leave the others waiting */
    if (status != STATUS_OK && status != ERR_REQUEUE && comm_size(world) > 1)
        comm_abort(world, code);
    comm_free(world);
    return code;
}
