/*
 * A model's description from config.json: the only place that knows a model's name.
 * Rules, aliases and rejections: specs "architectures" 0.4 - 0.8 and 1 (Mixtral; other
 * families are refused by name).
 */
#ifndef MODEL_HPARAMS_H
#define MODEL_HPARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "core/tensor.h"

enum { HPARAMS_MAX_EOS = 8 };
enum rope_type { ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN };

struct rope_params {
    enum rope_type type;
    double theta, factor, low_freq_factor, high_freq_factor, beta_fast, beta_slow,
        attention_factor, mscale, mscale_all_dim;
    int64_t original_max_pos;
    bool is_truncated;
    int64_t rot; /* rotated dims of a head */
};

struct hparams {
    int64_t n_vocab;       /* rows of the embedding (V), padding included */
    int64_t d_model, d_ff; /* d_ff: of one expert */
    int64_t n_layers, n_heads, n_kv_heads, head_dim;
    int64_t n_experts, top_k;
    int64_t max_pos, window; /* window 0: none */
    double rms_eps, aux_coef, init_std;
    struct rope_params rope;
    bool is_tied;
    int32_t bos_id, pad_id; /* -1: none */
    int32_t eos_ids[HPARAMS_MAX_EOS];
    int n_eos;
};

/* Reads dir/config.json and, where present, dir/generation_config.json (eos list). */
int hparams_read(struct hparams *hp, const char *dir) WARN_UNUSED;
/* Arithmetic that must hold between the fields; `where` is put in front of the message.
 */
int hparams_check(const struct hparams *hp, const char *where) WARN_UNUSED;
/* The config.json text of a Mixtral with these values, keys of transformers 5 and 4
 * that both read. */
struct buf;
void hparams_write(const struct hparams *hp, enum dtype dtype, struct buf *out);

/* cos, sin (n_pos, rot / 2) from frequencies computed in double (YaRN's mscale
 * applied). */
void hparams_rope_table(const struct hparams *hp, float *cos_out, float *sin_out,
                        int64_t n_pos);

/* Exact counts: every weight, and those one token uses. */
int64_t hparams_n_params(const struct hparams *hp);
int64_t hparams_n_active(const struct hparams *hp);

#endif
