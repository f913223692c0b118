/*
 * The generator's place is the row that comes next.
 */
#include "grpo/shots.h"

#include <string.h>

#include "core/pyrandom.h"
#include "grpo/problems.h"

struct shots {
    struct problems set;
    struct pyrandom random;
    int64_t n;        /* of each problem */
    int64_t n_drawn;  /* n, or one more */
    int64_t next_row; /* whose draw comes next */
    bool is_self;
    int64_t *drawn;           /* (n_drawn) into set */
    struct prompt_shot *kept; /* (n) */
};

int shots_load(struct shots **out, const char *path, int64_t n, uint64_t seed,
               bool is_self)
{
    const struct problems_args args = {.need = PROBLEMS_ANSWER};
    struct shots *const s = mem_alloc(sizeof(*s));
    const int64_t n_drawn = is_self ? n + 1 : n;
    s->n = n;
    s->n_drawn = n_drawn;
    s->is_self = is_self;
    int status = problems_load(&s->set, path, &args);
    if (status == STATUS_OK && s->set.n < n_drawn)
        status = ERR(ERR_INPUT,
                     "%s has %lld pairs of question and answer; %lld shots "
                     "need %lld%s",
                     path, (long long)s->set.n, (long long)n, (long long)n_drawn,
                     is_self ? ", as none is shown itself" : "");
    if (status != STATUS_OK) {
        shots_free(s);
        return status;
    }
    s->drawn = mem_alloc((size_t)n_drawn * sizeof(*s->drawn));
    s->kept = mem_alloc((size_t)n * sizeof(*s->kept));
    pyrandom_init(&s->random, seed);
    *out = s;
    return STATUS_OK;
}

void shots_free(struct shots *s)
{
    if (s == NULL)
        return;
    problems_release(&s->set);
    mem_free(s->drawn);
    mem_free(s->kept);
    mem_free(s);
}

static bool is_equal(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* Is example i the problem of this row, or its like? */
static bool is_asked(const struct shots *s, int64_t i, int64_t row)
{
    if (i == row)
        return true;
    if (row >= s->set.n)
        return false;
    const struct problem a = problems_at(&s->set, i), b = problems_at(&s->set, row);
    return is_equal(a.question, a.question_len, b.question, b.question_len) &&
           is_equal(a.answer, a.answer_len, b.answer, b.answer_len);
}

const struct prompt_shot *shots_draw(struct shots *s, int64_t row, int64_t *n_out)
{
    CHECK(row >= s->next_row, "row %lld after row %lld", (long long)row,
          (long long)s->next_row - 1);
    for (; s->next_row <= row; s->next_row++)
        pyrandom_sample(&s->random, s->set.n, s->n_drawn, s->drawn);
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_drawn && n < s->n; i++) {
        if (s->is_self && is_asked(s, s->drawn[i], row))
            continue;
        const struct problem p = problems_at(&s->set, s->drawn[i]);
        s->kept[n++] = (struct prompt_shot){.question = {p.question, p.question_len},
                                            .answer = {p.answer, p.answer_len}};
    }
    *n_out = n;
    return s->kept;
}
