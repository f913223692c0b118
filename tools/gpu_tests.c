/*
 * All test programs of tests/cuda in one, so that a bundle carries the kernels once:
 *
 *   gpu_tests               names them
 *   gpu_tests NAME [ARGS]   runs one
 *
 * GPU_TESTS is X(name) for each; their main functions were renamed main_<name>. Some
 * take no arguments: on the platforms that CUDA runs on these may be called with some.
 */
#include <stdio.h>
#include <string.h>

#define X(name) int main_##name(int argc, char **argv);
GPU_TESTS
#undef X

static const struct test {
    const char *name;
    int (*run)(int argc, char **argv);
} tests[] = {
#define X(name) {#name, main_##name},
    GPU_TESTS
#undef X
};

int main(int argc, char **argv)
{
    const int n = (int)(sizeof(tests) / sizeof(tests[0]));
    for (int i = 0; i < n && argc == 1; i++)
        puts(tests[i].name);
    if (argc == 1)
        return 0;
    for (int i = 0; i < n; i++)
        if (strcmp(tests[i].name, argv[1]) == 0)
            return tests[i].run(argc - 1, argv + 1);
    fprintf(stderr, "gpu_tests: no test \"%s\"\n", argv[1]);
    return 2;
}
