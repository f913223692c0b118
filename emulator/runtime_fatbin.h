/*
 * The container that nvcc puts into objects: a header, then entries of one compiled
 * image each. Read here are entries of uncompressed PTX (-Xfatbin=-compress=false).
 * Source of the layout: what nvcc 13.0 writes, looked at; fatbinary_section.h for the
 * wrapper.
 */
#ifndef EMULATOR_RUNTIME_FATBIN_H
#define EMULATOR_RUNTIME_FATBIN_H

#include <stddef.h>

#include "core/status.h"

/* The text, inside the container, of the best PTX for a compute capability (90): of the
 * highest target not above it; "90a" is taken by 90 alone, and before "90".
 * ERR_INPUT: not a container; ERR_DEVICE: no such text, or only compressed. */
WARN_UNUSED int runtime_fatbin_ptx(const void *container, int compute,
                                   const char **text_out, size_t *n_bytes_out);

#endif
