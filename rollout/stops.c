/*
 * Of the text only as much is kept as the longest stop string could have begun in.
 */
#include "rollout/stops.h"

#include <string.h>

void stop_search_open(struct stop_search *s, const struct tokenizer *t, int64_t max_new)
{
    if (s->stream == NULL)
        tokenizer_stream_create(&s->stream, t, false, max_new);
}

void stop_search_reset(struct stop_search *s)
{
    if (s->stream != NULL)
        tokenizer_stream_reset(s->stream);
    buf_reset(&s->tail);
}

void stop_search_release(struct stop_search *s)
{
    tokenizer_stream_free(s->stream);
    buf_release(&s->tail);
    s->stream = NULL;
}

bool stop_search_push(struct stop_search *s, int32_t token, const char *const *stops,
                      int n)
{
    size_t longest = 1;
    bool is_found = false;
    tokenizer_stream_push(s->stream, token, &s->tail);
    const size_t certain = s->tail.len;
    tokenizer_stream_peek(s->stream, &s->tail);
    for (int i = 0; i < n; i++) {
        const size_t len = strlen(stops[i]);
        longest = len > longest ? len : longest;
        is_found = is_found || (s->tail.len > 0 && memmem(s->tail.data, s->tail.len,
                                                          stops[i], len) != NULL);
    }
    const size_t kept = certain < longest - 1 ? certain : longest - 1;
    if (s->tail.len > 0)
        memmove(s->tail.data, s->tail.data + certain - kept, kept);
    s->tail.len = kept;
    return is_found;
}
