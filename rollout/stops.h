/*
 * Stop strings in text that comes token by token: found with the first token after
 * which the decoded text holds one, whether it lies inside a token, across several, or
 * in what the decoder still holds (a run of byte tokens). Special tokens count with
 * their text.
 */
#ifndef ROLLOUT_STOPS_H
#define ROLLOUT_STOPS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mem.h"
#include "model/tokenizer.h"

struct stop_search { /* zero-initialise */
    struct tokenizer_stream *stream;
    struct buf tail; /* the end of the text so far, where a stop may have begun */
};
/* Ready for samples of up to max_new tokens; once per search, before the steps. */
void stop_search_open(struct stop_search *s, const struct tokenizer *t,
                      int64_t max_new);
void stop_search_reset(struct stop_search *s); /* a new text */
void stop_search_release(struct stop_search *s);
/* The next token. n >= 1 stops, the same for all tokens of a text. */
bool stop_search_push(struct stop_search *s, int32_t token, const char *const *stops,
                      int n);

#endif
