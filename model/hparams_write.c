/*
 * struct hparams -> config.json for transformers 4 and 5 at once. Version 4 reads
 * rope_theta, rope_scaling and torch_dtype, version 5 rope_parameters and dtype; where
 * version 5 finds rope_scaling not null it takes that one, whose content is the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "model/hparams.h"
#include "model/hparams_rope.h"

static const char *torch_dtype(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32:
        return "float32";
    case DTYPE_BF16:
        return "bfloat16";
    case DTYPE_F16:
        return "float16";
    }
    CHECK(false, "dtype %d", (int)dtype);
}

/* The shortest decimal text that reads back as the same double, with a point or an
 * exponent, so that readers see a real number. */
static void put_real(struct buf *b, double v)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_puts(b, text);
    if (strpbrk(text, ".en") == NULL)
        buf_puts(b, ".0");
}

static void put_rope(struct buf *b, const struct rope_params *r)
{
    const bool is_yarn = r->type == ROPE_YARN, is_llama3 = r->type == ROPE_LLAMA3;
    const struct {
        const char *key;
        double value;
        bool is_present;
    } reals[] = {
        {"attention_factor", r->attention_factor, is_yarn && r->attention_factor > 0.0},
        {"beta_fast", r->beta_fast, is_yarn},
        {"beta_slow", r->beta_slow, is_yarn},
        {"factor", r->factor, r->type != ROPE_DEFAULT},
        {"high_freq_factor", r->high_freq_factor, is_llama3},
        {"low_freq_factor", r->low_freq_factor, is_llama3},
        {"mscale", r->mscale, is_yarn && r->mscale > 0.0},
        {"mscale_all_dim", r->mscale_all_dim, is_yarn && r->mscale_all_dim > 0.0},
        {"rope_theta", r->theta, true},
    };
    buf_puts(b, "{");
    for (int i = 0; i < ARRAY_LEN(reals); i++)
        if (reals[i].is_present) {
            buf_printf(b, "\"%s\": ", reals[i].key);
            put_real(b, reals[i].value);
            buf_puts(b, ", ");
        }
    if (is_llama3 || is_yarn)
        buf_printf(b, "\"original_max_position_embeddings\": %lld, ",
                   (long long)r->original_max_pos);
    if (is_yarn)
        buf_printf(b, "\"truncate\": %s, ", r->is_truncated ? "true" : "false");
    buf_printf(b, "\"rope_type\": \"%s\"}", hparams_rope_name(r->type));
}

static void put_id(struct buf *b, const char *key, int32_t id)
{
    if (id >= 0)
        buf_printf(b, "  \"%s\": %d,\n", key, id);
    else
        buf_printf(b, "  \"%s\": null,\n", key);
}

static void put_eos(struct buf *b, const struct hparams *hp)
{
    if (hp->n_eos <= 1) {
        put_id(b, "eos_token_id", hp->n_eos == 1 ? hp->eos_ids[0] : -1);
        return;
    }
    buf_puts(b, "  \"eos_token_id\": [");
    for (int i = 0; i < hp->n_eos; i++)
        buf_printf(b, "%s%d", i > 0 ? ", " : "", hp->eos_ids[i]);
    buf_puts(b, "],\n");
}

static void put_int(struct buf *b, const char *key, int64_t v)
{
    buf_printf(b, "  \"%s\": %lld,\n", key, (long long)v);
}

static void put_sizes(struct buf *b, const struct hparams *hp)
{
    put_int(b, "head_dim", hp->head_dim);
    buf_puts(b, "  \"hidden_act\": \"silu\",\n");
    put_int(b, "hidden_size", hp->d_model);
    buf_puts(b, "  \"initializer_range\": ");
    put_real(b, hp->init_std);
    buf_puts(b, ",\n");
    put_int(b, "intermediate_size", hp->d_ff);
    put_int(b, "max_position_embeddings", hp->max_pos);
    buf_puts(b, "  \"model_type\": \"mixtral\",\n");
    put_int(b, "num_attention_heads", hp->n_heads);
    put_int(b, "num_experts_per_tok", hp->top_k);
    put_int(b, "num_hidden_layers", hp->n_layers);
    put_int(b, "num_key_value_heads", hp->n_kv_heads);
    put_int(b, "num_local_experts", hp->n_experts);
}

void hparams_write(const struct hparams *hp, enum dtype dtype, struct buf *out)
{
    buf_puts(out, "{\n  \"architectures\": [\"MixtralForCausalLM\"],\n"
                  "  \"attention_dropout\": 0.0,\n");
    put_id(out, "bos_token_id", hp->bos_id);
    buf_printf(out, "  \"dtype\": \"%s\",\n", torch_dtype(dtype));
    put_eos(out, hp);
    put_sizes(out, hp);
    buf_puts(out, "  \"output_router_logits\": false,\n");
    put_id(out, "pad_token_id", hp->pad_id);
    buf_puts(out, "  \"rms_norm_eps\": ");
    put_real(out, hp->rms_eps);
    buf_puts(out, ",\n  \"rope_parameters\": ");
    put_rope(out, &hp->rope);
    buf_puts(out, ",\n  \"rope_scaling\": ");
    if (hp->rope.type == ROPE_DEFAULT)
        buf_puts(out, "null");
    else
        put_rope(out, &hp->rope);
    buf_puts(out, ",\n  \"rope_theta\": ");
    put_real(out, hp->rope.theta);
    buf_puts(out, ",\n  \"router_aux_loss_coef\": ");
    put_real(out, hp->aux_coef);
    buf_puts(out, ",\n  \"router_jitter_noise\": 0.0,\n");
    if (hp->window > 0)
        put_int(out, "sliding_window", hp->window);
    else
        buf_puts(out, "  \"sliding_window\": null,\n");
    buf_printf(out, "  \"tie_word_embeddings\": %s,\n", hp->is_tied ? "true" : "false");
    buf_printf(out, "  \"torch_dtype\": \"%s\",\n", torch_dtype(dtype));
    buf_printf(out, "  \"use_cache\": true,\n  \"vocab_size\": %lld\n}\n",
               (long long)hp->n_vocab);
}
