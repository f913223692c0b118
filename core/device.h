/*
 * CORE_FN: how a function is defined that host and device code share. In C it is a
 * static inline; a device compiler's private header defines it first, with its own
 * qualifiers. Such functions keep to what C11 and C++17 share and to IEEE operations
 * (fmaf explicit, nothing contracted), so both sides get the same bits.
 */
#ifndef CORE_DEVICE_H
#define CORE_DEVICE_H

#ifndef CORE_FN
#define CORE_FN static inline __attribute__((unused))
#endif

#endif
