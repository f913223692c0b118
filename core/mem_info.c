/*
 * How much memory this process used and may still use. A batch job's limit is that of
 * its cgroup or of one above it, version 2 (one tree, /proc/self/cgroup line "0::PATH")
 * or version 1 (a "memory" line). Inside a container the path may not exist below the
 * mount; then the mount's own top is the container's group. File pages that the kernel
 * would drop first (inactive_file) count as available.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "core/mem.h"

struct cgroup_files {
    const char *mount, *limit, *usage, *inactive_key;
};

static const struct cgroup_files cgroup_v2 = {"/sys/fs/cgroup", "memory.max",
                                              "memory.current", "inactive_file"};
static const struct cgroup_files cgroup_v1 = {
    "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
    "total_inactive_file"};

int64_t mem_peak_rss_bytes(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (int64_t)usage.ru_maxrss * 1024; /* Linux counts in KiB */
}

/* The number after `key` at the start of a line of `path`; -1 if there is none. An
 * empty key reads the file's first word. */
static int64_t read_number(const char *path, const char *key)
{
    FILE *const f = fopen(path, "re");
    if (f == NULL)
        return -1;
    char line[256];
    int64_t value = -1;
    const size_t key_len = strlen(key);
    while (value < 0 && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, key, key_len) == 0 &&
            sscanf(line + key_len, "%*[: ]%" SCNd64, &value) != 1 &&
            sscanf(line + key_len, "%" SCNd64, &value) != 1)
            value = -1;
    fclose(f);
    return value;
}

/* What the group at mount + path leaves; INT64_MAX without a limit ("max", or version
 * 1's huge number, which no machine reaches). */
static int64_t group_available(const struct cgroup_files *g, const char *path)
{
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "%s%s/%s", g->mount, path, g->limit);
    const int64_t limit = read_number(name, "");
    if (limit < 0)
        return INT64_MAX;
    snprintf(name, sizeof(name), "%s%s/%s", g->mount, path, g->usage);
    const int64_t usage = read_number(name, "");
    if (usage < 0)
        return limit;
    snprintf(name, sizeof(name), "%s%s/memory.stat", g->mount, path);
    const int64_t inactive = read_number(name, g->inactive_key);
    const int64_t in_use = usage - (inactive > 0 ? inactive : 0);
    return limit > in_use ? limit - in_use : 0;
}

/* The least that the group at `path` or any above it leaves. Cuts `path`. */
static int64_t tree_available(const struct cgroup_files *g, char *path)
{
    int64_t least = INT64_MAX;
    for (;;) {
        const int64_t here = group_available(g, path);
        least = here < least ? here : least;
        char *const slash = strrchr(path, '/');
        if (slash == NULL)
            return least;
        *slash = 0;
    }
}

/* The group's path on a line of /proc/self/cgroup, "id:controllers:path", if it is the
 * memory controller's; NULL otherwise. */
static char *memory_group(char *line, const struct cgroup_files **files)
{
    char *const controllers = strchr(line, ':');
    char *const path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (path == NULL)
        return NULL;
    *path = 0;
    path[1 + strcspn(path + 1, "\n")] = 0;
    if (controllers[1] == 0) {
        *files = &cgroup_v2;
        return path + 1;
    }
    char *rest = controllers + 1;
    for (const char *word; (word = strsep(&rest, ",")) != NULL;)
        if (strcmp(word, "memory") == 0) {
            *files = &cgroup_v1;
            return path + 1;
        }
    return NULL;
}

int64_t mem_available_bytes(void)
{
    int64_t available = read_number("/proc/meminfo", "MemAvailable");
    available = available < 0 ? INT64_MAX : available * 1024;
    FILE *const f = fopen("/proc/self/cgroup", "re");
    if (f == NULL)
        return available;
    char line[PATH_MAX];
    while (fgets(line, sizeof(line), f) != NULL) {
        const struct cgroup_files *files;
        char *const path = memory_group(line, &files);
        const int64_t left = path == NULL ? INT64_MAX : tree_available(files, path);
        available = left < available ? left : available;
    }
    fclose(f);
    return available;
}
