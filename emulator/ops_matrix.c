/*
 * Matrix instructions of one warp: mma, ldmatrix, stmatrix, movmatrix, and the table
 * that also names wgmma. Fragments are those of the figures in the PTX ISA, "Matrix
 * Fragments for mma.m16n8k16" and its neighbours: with g = lane / 4, c = lane % 4,
 *   A, 16 bit: register r holds row g + 8 (r % 2), columns 8 (r / 2) + 2 c, + 1
 *   A, tf32:   register r holds row g + 8 (r % 2), column 4 (r / 2) + c
 *   B: column g; register r holds rows 8 r + 2 c, + 1 (tf32: 4 r + c)
 *   C, D, fp32: register r holds row g + 8 (r / 2), column 2 c + r % 2
 *   C, D, f16:  register r holds row g + 8 r, columns 2 c, 2 c + 1
 */
#include "emulator/async_state.h"
#include "emulator/matrix.h"

enum { TILE_ROWS = 16, TILE_COLS = 8, MAX_K = 16, EVERY_LANE = 0xffffffff };

enum machine_next matrix_aligned(struct machine_warp *w, const struct ptx_insn *i,
                                 uint32_t mask)
{
    if (w->alive != (uint32_t)EVERY_LANE)
        return machine_fault(
            w, i, -1, "needs all 32 threads of a warp, of which 0x%08x are alive",
            w->alive);
    return mask == w->alive ? MACHINE_NEXT : MACHINE_WAIT;
}

/* --- fragments --- */

/* A register's elements in pairs: (lane, 2). The type is a constant where this is
 * called, so that the loop is vectorised. */
static inline __attribute__((always_inline)) void
split_halves(const uint32_t *v, enum matrix_type t, float out[2 * PTX_LANES])
{
    for (int32_t lane = 0; lane < PTX_LANES; lane++) {
        out[2 * lane] = matrix_element(t, v[lane] & 0xffff);
        out[2 * lane + 1] = matrix_element(t, v[lane] >> 16);
    }
}

static void get_pairs(const uint32_t *v, enum matrix_type t, float out[2 * PTX_LANES])
{
    if (t == MATRIX_BF16)
        split_halves(v, MATRIX_BF16, out);
    else
        split_halves(v, MATRIX_F16, out);
}

void matrix_get_rows(const struct machine_warp *w, const struct ptx_operand *regs,
                     int32_t n_cols, enum matrix_type t, float *out)
{
    const int32_t per_reg = t == MATRIX_TF32 ? 4 : 8; /* columns that 8 rows span */
    for (int32_t r = 0; r < n_cols * 2 / per_reg; r++) {
        const uint32_t *const v = machine_u32(w, regs[r].slot);
        float *const to = out + r % 2 * 8 * n_cols + r / 2 * per_reg;
        float rows[2 * PTX_LANES]; /* (8, per_reg) */
        if (t != MATRIX_TF32)
            get_pairs(v, t, rows);
        for (int32_t lane = 0; lane < PTX_LANES && t == MATRIX_TF32; lane++)
            rows[lane] = matrix_element(t, v[lane]);
        for (int32_t g = 0; g < 8; g++)
            memcpy(to + g * n_cols, rows + g * per_reg,
                   sizeof(*rows) * (size_t)per_reg);
    }
}

/* B: out (k, 8) */
static void get_cols(const struct machine_warp *w, const struct ptx_operand *regs,
                     int32_t k, enum matrix_type t, float *out)
{
    const int32_t per_reg = t == MATRIX_TF32 ? 4 : 8;
    for (int32_t r = 0; r < k / per_reg; r++) {
        const uint32_t *const v = machine_u32(w, regs[r].slot);
        float *const to = out + r * per_reg * TILE_COLS;
        float cols[2 * PTX_LANES]; /* (8, per_reg): the transpose */
        if (t != MATRIX_TF32)
            get_pairs(v, t, cols);
        for (int32_t lane = 0; lane < PTX_LANES && t == MATRIX_TF32; lane++)
            cols[lane] = matrix_element(t, v[lane]);
        for (int32_t row = 0; row < per_reg; row++)
            for (int32_t g = 0; g < TILE_COLS; g++)
                to[row * TILE_COLS + g] = cols[g * per_reg + row];
    }
}

/* Lanes are the tile's elements in pairs, row by row: element 2 lane + e of 8 rows is
 * in register e (fp32) or half e of one register (f16). */
void matrix_get_tiles(const struct machine_warp *w, const struct ptx_operand *regs,
                      int32_t n_tiles, enum matrix_type t, float *out)
{
    for (int32_t half = 0; half < 2 * n_tiles; half++, out += 2 * PTX_LANES) {
        if (t == MATRIX_F16) {
            get_pairs(machine_u32(w, regs[half].slot), t, out);
            continue;
        }
        const float *const even = machine_f32(w, regs[2 * half].slot);
        const float *const odd = machine_f32(w, regs[2 * half + 1].slot);
        for (int32_t lane = 0; lane < PTX_LANES; lane++) {
            out[2 * lane] = even[lane];
            out[2 * lane + 1] = odd[lane];
        }
    }
}

void matrix_put_tiles(struct machine_warp *w, const struct ptx_operand *regs,
                      int32_t n_tiles, enum matrix_type t, const float *in)
{
    for (int32_t half = 0; half < 2 * n_tiles; half++, in += 2 * PTX_LANES) {
        if (t == MATRIX_F16) {
            uint32_t *const v = machine_u32(w, regs[half].slot);
            for (int32_t lane = 0; lane < PTX_LANES; lane++)
                v[lane] = f16_from_bits(bits_of(in[2 * lane])) |
                          (uint32_t)f16_from_bits(bits_of(in[2 * lane + 1])) << 16;
            continue;
        }
        float *const even = machine_f32(w, regs[2 * half].slot);
        float *const odd = machine_f32(w, regs[2 * half + 1].slot);
        for (int32_t lane = 0; lane < PTX_LANES; lane++) {
            even[lane] = in[2 * lane];
            odd[lane] = in[2 * lane + 1];
        }
    }
}

/* --- mma: option[0] k, option[1] the operands' type, option[2] C's, option[3] D's ---
 */

/* d (16, 8) += a (16, k) b (k, 8), eight rows at once to keep the adders busy */
static inline __attribute__((always_inline)) void
multiply(float *d, const float *a, const float *b, int32_t k_end)
{
    for (int32_t row = 0; row < TILE_ROWS; row += 8) {
        matrix_f8 sum[8];
#pragma GCC unroll 8
        for (int32_t g = 0; g < 8; g++)
            matrix_load(&sum[g], d + (row + g) * TILE_COLS);
        for (int32_t k = 0; k < k_end; k++) {
            matrix_f8 v;
            matrix_load(&v, b + k * TILE_COLS);
#pragma GCC unroll 8
            for (int32_t g = 0; g < 8; g++)
                sum[g] += a[(row + g) * k_end + k] * v;
        }
#pragma GCC unroll 8
        for (int32_t g = 0; g < 8; g++)
            matrix_store(d + (row + g) * TILE_COLS, &sum[g]);
    }
}

static enum machine_next run_mma(struct machine_warp *w, const struct ptx_insn *i,
                                 uint32_t mask)
{
    const enum machine_next ready = matrix_aligned(w, i, mask);
    if (ready != MACHINE_NEXT)
        return ready;
    float a[TILE_ROWS * MAX_K], b[MAX_K * TILE_COLS], d[TILE_ROWS * TILE_COLS];
    const int32_t k_end = i->option[0];
    const enum matrix_type t = (enum matrix_type)i->option[1];
    matrix_get_rows(w, i->o[1].items, k_end, t, a);
    get_cols(w, i->o[2].items, k_end, t, b);
    matrix_get_tiles(w, i->o[3].items, 1, (enum matrix_type)i->option[2], d);
    if (k_end == MAX_K)
        multiply(d, a, b, MAX_K);
    else
        multiply(d, a, b, k_end);
    matrix_put_tiles(w, i->o[0].items, 1, (enum matrix_type)i->option[3], d);
    return MACHINE_NEXT;
}

static bool is_fragment(struct ptx_insn *i, int32_t k, int32_t n)
{
    return i->o[k].kind == PTX_VECTOR && i->o[k].n_items == n && ptx_want(i, k, 4);
}

/* mma.sync.aligned.shape.row.col.dtype.atype.btype.ctype d, a, b, c; other layouts do
 * not exist for these shapes */
static ptx_run_fn bind_mma(struct ptx_insn *i)
{
    static const char *const shapes[] = {"m16n8k16", "m16n8k8", "m16n8k4", NULL};
    static const int32_t depths[] = {16, 8, 4};
    const int32_t shape = ptx_which(i, shapes);
    if (shape < 0 || i->n_parts != 10 || i->n_operands != 4 || !ptx_has(i, "sync") ||
        !ptx_has(i, "aligned") || !ptx_has(i, "row") || !ptx_has(i, "col"))
        return NULL;
    enum matrix_type type[4]; /* d a b c */
    for (int32_t k = 0; k < 4; k++)
        type[k] = matrix_type_of(i->part[6 + k]);
    const enum matrix_type t = type[1];
    const int32_t k_end = depths[shape];
    const bool is_tf32 = t == MATRIX_TF32, is_f16 = t == MATRIX_F16;
    if (type[2] != t || (t != MATRIX_BF16 && !is_f16 && !is_tf32) ||
        k_end == (is_tf32 ? 16 : 4))
        return NULL;
    for (int32_t k = 0; k < 4; k += 3)
        if (type[k] != MATRIX_F32 && !(is_f16 && type[k] == MATRIX_F16))
            return NULL;
    const int32_t per_reg = is_tf32 ? 4 : 8;
    if (!is_fragment(i, 0, type[0] == MATRIX_F16 ? 2 : 4) ||
        !is_fragment(i, 1, k_end * 2 / per_reg) ||
        !is_fragment(i, 2, k_end / per_reg) ||
        !is_fragment(i, 3, type[3] == MATRIX_F16 ? 2 : 4))
        return NULL;
    i->option[0] = k_end;
    i->option[1] = (int32_t)t;
    i->option[2] = (int32_t)type[3];
    i->option[3] = (int32_t)type[0];
    return run_mma;
}

/* --- ldmatrix, stmatrix, movmatrix: 8 x 8 of 16 bits --- */

enum { MOVE_N, MOVE_TRANS }; /* option[] */

/* Rows of matrix m (16 bytes each): lane 8 m + r has the address of row r. */
static bool locate_rows(struct machine_warp *w, const struct ptx_insn *i,
                        const struct ptx_operand *address, enum machine_access access,
                        uint8_t **rows)
{
    struct machine_block *const b = w->block;
    const bool is_plain = b->race == NULL && async_space(i) == MACHINE_SHARED;
    for (int32_t lane = 0; lane < 8 * i->option[MOVE_N]; lane++) {
        const uint64_t at = async_address(w, address, lane);
        if (is_plain && at % 16 == 0 && at + 16 <= b->shared_bytes) {
            rows[lane] = b->shared + at;
            continue;
        }
        const struct async_place place = {async_space(i), at, 16, 16, access};
        uint32_t off = 0;
        if (!async_shared_at(w, i, lane, &place, &off))
            return false;
        rows[lane] = w->block->shared + off;
    }
    return true;
}

/* A lane's register: elements (g, 2 c), (g, 2 c + 1), or transposed. */
static void get_matrix(uint8_t *const *rows, bool is_trans, uint32_t *to)
{
    uint16_t m[8][8];
    for (int32_t g = 0; g < 8; g++)
        memcpy(m[g], rows[g], sizeof(m[g]));
    if (!is_trans)
        memcpy(to, m, sizeof(m));
    for (int32_t lane = 0; lane < PTX_LANES && is_trans; lane++)
        to[lane] = m[lane % 4 * 2][lane / 4] | (uint32_t)m[lane % 4 * 2 + 1][lane / 4]
                                                   << 16;
}

static void put_matrix(uint8_t *const *rows, bool is_trans, const uint32_t *from)
{
    for (int32_t lane = 0; lane < PTX_LANES; lane++) {
        for (int32_t e = 0; e < 2; e++) {
            const int32_t g = lane / 4, c = lane % 4 * 2 + e;
            const uint16_t v = (uint16_t)(from[lane] >> 16 * e);
            memcpy(is_trans ? rows[c] + 2 * g : rows[g] + 2 * c, &v, sizeof(v));
        }
    }
}

/* The registers of a vector, or of an operand that is one register. */
static const struct ptx_operand *registers(const struct ptx_operand *o)
{
    return o->kind == PTX_VECTOR ? o->items : o;
}

static enum machine_next run_ldmatrix(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    uint8_t *rows[PTX_LANES];
    const enum machine_next ready = matrix_aligned(w, i, mask);
    if (ready != MACHINE_NEXT)
        return ready;
    if (!locate_rows(w, i, &i->o[1], MACHINE_READ, rows))
        return MACHINE_FAULT;
    const struct ptx_operand *const to = registers(&i->o[0]);
    for (int32_t m = 0; m < i->option[MOVE_N]; m++)
        get_matrix(rows + 8 * m, i->option[MOVE_TRANS] != 0,
                   machine_u32(w, to[m].slot));
    return MACHINE_NEXT;
}

static enum machine_next run_stmatrix(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask)
{
    uint8_t *rows[PTX_LANES];
    const enum machine_next ready = matrix_aligned(w, i, mask);
    if (ready != MACHINE_NEXT)
        return ready;
    if (!locate_rows(w, i, &i->o[0], MACHINE_WRITE, rows))
        return MACHINE_FAULT;
    const struct ptx_operand *const from = registers(&i->o[1]);
    for (int32_t m = 0; m < i->option[MOVE_N]; m++)
        put_matrix(rows + 8 * m, i->option[MOVE_TRANS] != 0,
                   machine_u32(w, from[m].slot));
    return MACHINE_NEXT;
}

static enum machine_next run_movmatrix(struct machine_warp *w, const struct ptx_insn *i,
                                       uint32_t mask)
{
    const enum machine_next ready = matrix_aligned(w, i, mask);
    if (ready != MACHINE_NEXT)
        return ready;
    uint8_t matrix[8][16];
    uint8_t *rows[8];
    for (int32_t r = 0; r < 8; r++)
        rows[r] = matrix[r];
    put_matrix(rows, false, machine_u32(w, i->o[1].slot));
    get_matrix(rows, true, machine_u32(w, i->o[0].slot));
    return MACHINE_NEXT;
}

/* The operands `address` and `data` of ldmatrix and stmatrix */
static bool bind_move(struct ptx_insn *i, int32_t address, int32_t data)
{
    static const char *const counts[] = {"x1", "x2", "x4", NULL};
    const int32_t which = ptx_which(i, counts);
    if (which < 0 || i->n_operands != 2 || !ptx_has(i, "aligned") ||
        !ptx_has(i, "m8n8") || !ptx_has(i, "b16") || i->o[address].kind != PTX_ADDRESS)
        return false;
    const int32_t n = 1 << which;
    const struct ptx_operand *const o = &i->o[data];
    const bool has_count = o->kind == PTX_VECTOR ? o->n_items == n
                                                 : o->kind == PTX_REG && n == 1;
    async_bind_space(i);
    i->option[MOVE_N] = n;
    i->option[MOVE_TRANS] = ptx_has(i, "trans") ? 1 : 0;
    return has_count && ptx_want(i, data, 4);
}

static ptx_run_fn bind_ldmatrix(struct ptx_insn *i)
{
    return bind_move(i, 1, 0) ? run_ldmatrix : NULL;
}

static ptx_run_fn bind_stmatrix(struct ptx_insn *i)
{
    return bind_move(i, 0, 1) ? run_stmatrix : NULL;
}

static ptx_run_fn bind_movmatrix(struct ptx_insn *i)
{
    return i->n_operands == 2 && ptx_has(i, "m8n8") && ptx_has(i, "trans") &&
                   i->o[0].kind == PTX_REG && ptx_want(i, 0, 4) && ptx_want(i, 1, 4)
               ? run_movmatrix
               : NULL;
}

const struct machine_op machine_ops_matrix[] = {
    {"mma", bind_mma},
    {"ldmatrix", bind_ldmatrix},
    {"stmatrix", bind_stmatrix},
    {"movmatrix", bind_movmatrix},
    {"wgmma.mma_async", wgmma_mma_bind},
    {"wgmma.fence", wgmma_group_bind},
    {"wgmma.commit_group", wgmma_group_bind},
    {"wgmma.wait_group", wgmma_group_bind},
    {NULL, NULL},
};
