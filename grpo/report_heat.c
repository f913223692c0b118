/*
 * PNG by hand (W3C PNG, third edition): palette image with transparency, one IDAT of
 * stored deflate blocks (RFC 1950, 1951). Pictures are some kilobytes, so nothing is
 * compressed.
 */
#include "grpo/report_heat.h"

#include <inttypes.h>
#include <math.h>

#include "grpo/report_data.h"

enum {
    N_LEVELS = 31, /* of load; the middle one is an even load */
    WIDTH = 440,
    MAX_LAYERS = 128, /* pictures on a page */
    STORED_MAX = 65535,
};

/* CRC-32 of PNG chunks, half a byte at a time (polynomial 0xEDB88320). */
static uint32_t crc32_of(const char *data, size_t len)
{
    static const uint32_t step[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)data[i];
        crc = crc >> 4 ^ step[crc & 15];
        crc = crc >> 4 ^ step[crc & 15];
    }
    return crc ^ 0xFFFFFFFFu;
}

static uint32_t adler32_of(const char *data, size_t len)
{
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < len; i++) {
        a = (a + (unsigned char)data[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

static void put_be32(struct buf *b, uint32_t v)
{
    const char bytes[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    buf_append(b, bytes, 4);
}

static void put_chunk(struct buf *png, const char type[4], const struct buf *data)
{
    put_be32(png, (uint32_t)data->len);
    const size_t start = png->len;
    buf_append(png, type, 4);
    buf_append(png, data->data, data->len);
    put_be32(png, crc32_of(png->data + start, png->len - start));
}

static void put_stored(struct buf *out, const struct buf *raw)
{
    buf_append(out, "\x78\x01", 2);
    for (size_t off = 0; off < raw->len;) {
        const size_t left = raw->len - off;
        const size_t n = left < STORED_MAX ? left : STORED_MAX;
        const char head[5] = {n == left, (char)(n & 255), (char)(n >> 8),
                              (char)(~n & 255), (char)(~n >> 8 & 255)};
        buf_append(out, head, 5);
        buf_append(out, raw->data + off, n);
        off += n;
    }
    put_be32(out, adler32_of(raw->data, raw->len));
}

static void put_palette(struct buf *png)
{
    struct buf rgb = {0}, alpha = {0};
    for (int i = 0; i < N_LEVELS; i++) {
        const double t = 2.0 * i / (N_LEVELS - 1) - 1; /* -1 .. 1 */
        const char colour[3] = {(char)(t < 0 ? 30 : 224), (char)(t < 0 ? 120 : 96),
                                (char)(t < 0 ? 210 : 20)};
        const char opacity = (char)(int)(255 * fabs(t));
        buf_append(&rgb, colour, 3);
        buf_append(&alpha, &opacity, 1);
    }
    put_chunk(png, "PLTE", &rgb);
    put_chunk(png, "tRNS", &alpha);
    buf_release(&rgb);
    buf_release(&alpha);
}

/* The level of a load relative to an even one. */
static char level(double load)
{
    const double t = load > 0 ? log2(load) / 2 : -1; /* 1/4 .. 4 to -1 .. 1 */
    const double clamped = fmin(1, fmax(-1, t));
    return (char)(int)((clamped + 1) / 2 * (N_LEVELS - 1) + 0.5);
}

static void put_png(struct buf *png, const struct report_load *load, int64_t layer)
{
    struct buf raw = {0}, head = {0}, data = {0};
    for (int64_t e = 0; e < load->n_experts; e++) {
        buf_append(&raw, "\0", 1); /* the row is not filtered */
        for (int64_t c = 0; c < load->n_cols; c++) {
            const int64_t at = (c * load->n_layers + layer) * load->n_experts + e;
            const char v = level((double)load->sum[at] /
                                 (double)report_load_weight(load, c));
            buf_append(&raw, &v, 1);
        }
    }
    buf_append(png, "\x89PNG\r\n\x1A\n", 8);
    put_be32(&head, (uint32_t)load->n_cols);
    put_be32(&head, (uint32_t)load->n_experts);
    buf_append(&head, "\x08\x03\0\0\0", 5); /* 8 bits, palette */
    put_chunk(png, "IHDR", &head);
    put_palette(png);
    put_stored(&data, &raw);
    put_chunk(png, "IDAT", &data);
    buf_reset(&data);
    buf_append(&data, "", 0);
    put_chunk(png, "IEND", &data);
    buf_release(&raw);
    buf_release(&head);
    buf_release(&data);
}

static void put_base64(struct buf *out, const struct buf *in)
{
    static const char digit[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < in->len; i += 3) {
        const size_t n = in->len - i < 3 ? in->len - i : 3;
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < n ? (unsigned char)in->data[i + k] : 0);
        const char text[4] = {digit[v >> 18], digit[v >> 12 & 63],
                              n > 1 ? digit[v >> 6 & 63] : '=',
                              n > 2 ? digit[v & 63] : '='};
        buf_append(out, text, 4);
    }
}

/* Least and greatest column mean of one expert, for the text alternative. */
static void put_layer_title(struct buf *out, const struct report_load *load,
                            int64_t layer)
{
    double least = INFINITY, most = 0;
    const int64_t last = load->n_cols - 1;
    for (int64_t e = 0; e < load->n_experts; e++) {
        const double v =
            (double)load->sum[(last * load->n_layers + layer) * load->n_experts + e] /
            (double)report_load_weight(load, last);
        least = fmin(least, v);
        most = fmax(most, v);
    }
    buf_printf(out,
               "<title>Layer %" PRId64
               ": at the end the experts get %.2f to %.2f times an even load</title>",
               layer, least, most);
}

static void put_layer(struct buf *out, const struct report_load *load, int64_t layer)
{
    enum { LEFT = 40, TOP = 4, BOTTOM = 34, RIGHT = 12 };
    struct buf png = {0};
    const int64_t E = load->n_experts;
    /* as tall as experts are many, within what can be read and what fits */
    const int64_t tall = E * 8 < 64 ? 64 : E * 8 > 160 ? 160 : E * 8;
    put_png(&png, load, layer);
    buf_printf(out, "<figure><figcaption><b>Layer %" PRId64 "</b></figcaption>\n",
               layer);
    buf_printf(out, "<svg class=\"heat\" viewBox=\"0 0 %d %" PRId64 "\" role=\"img\">",
               WIDTH, tall + TOP + BOTTOM);
    put_layer_title(out, load, layer);
    buf_printf(out,
               "<image x=\"%d\" y=\"%d\" width=\"%d\" height=\"%" PRId64
               "\" preserveAspectRatio=\"none\" href=\"data:image/png;base64,",
               LEFT, TOP, WIDTH - LEFT - RIGHT, tall);
    put_base64(out, &png);
    buf_printf(out,
               "\"/><path class=\"axis\" d=\"M%d %dh%dv%" PRId64 "h-%dZ\"/>"
               "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">0</text>",
               LEFT, TOP, WIDTH - LEFT - RIGHT, tall, WIDTH - LEFT - RIGHT, LEFT - 6,
               TOP + 11);
    buf_printf(out,
               "<text x=\"%d\" y=\"%" PRId64 "\" text-anchor=\"end\">%" PRId64 "</text>"
               "<text class=\"name\" transform=\"translate(12 %" PRId64
               ")rotate(-90)\" text-anchor=\"middle\">expert</text>",
               LEFT - 6, tall + TOP, E - 1, TOP + tall / 2);
    buf_printf(out,
               "<text x=\"%d\" y=\"%" PRId64 "\">%.10g</text>"
               "<text x=\"%d\" y=\"%" PRId64 "\" text-anchor=\"end\">%.10g</text>"
               "<text class=\"name\" x=\"%d\" y=\"%" PRId64
               "\" text-anchor=\"middle\">step</text></svg></figure>\n",
               LEFT, tall + TOP + 17, load->first_step, WIDTH - RIGHT, tall + TOP + 17,
               load->last_step, (LEFT + WIDTH - RIGHT) / 2, tall + TOP + 17);
    buf_release(&png);
}

void report_heat(struct buf *out, const struct report_load *load)
{
    buf_puts(out, "<p class=\"scale\"><span>&frac14; of an even load</span>"
                  "<i aria-hidden=\"true\"></i><span>4 times</span></p>\n"
                  "<div class=\"cards\">\n");
    for (int64_t l = 0; l < load->n_layers && l < MAX_LAYERS; l++)
        put_layer(out, load, l);
    buf_puts(out, "</div>\n");
    if (load->n_layers > MAX_LAYERS)
        buf_printf(out, "<p>The first %d of %" PRId64 " layers are shown.</p>\n",
                   (int)MAX_LAYERS, load->n_layers);
}
