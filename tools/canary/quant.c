/* quant.c - encodes and decodes the number formats of GGUF tensors. */
#include "quant.h"

#include <math.h>
#include <string.h>

enum { SUPER = 256 }; // weights of a K block

static uint16_t half_from_float(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof(u));
    uint32_t sign = (u >> 16) & 0x8000;
    uint32_t abs = u & 0x7fffffff;
    if (abs >= 0x477ff000) // rounds to 65536 or more
        return (uint16_t)(sign | (abs > 0x7f800000 ? 0x7e00 : 0x7c00));
    if (abs < 0x38800000) { // below 2^-14: a multiple of 2^-24
        float small;
        memcpy(&small, &abs, sizeof(small));
        return (uint16_t)(sign | (uint32_t)lrintf(small * 16777216.0f));
    }
    uint32_t rounded = abs + 0xfff + ((abs >> 13) & 1);
    return (uint16_t)(sign | ((rounded - 0x38000000) >> 13));
}

static float half_to_float(uint16_t h)
{
    float x = ldexpf((float)(h & 0x3ff), -24);
    int exponent = (h >> 10) & 31;
    if (exponent == 31)
        x = h & 0x3ff ? NAN : INFINITY;
    else if (exponent > 0)
        x = ldexpf((float)(1024 + (h & 0x3ff)), exponent - 25);
    return h & 0x8000 ? -x : x;
}

// Stores a number as a half and gives back what was stored.
static float put_half(uint8_t *p, float f)
{
    uint16_t h = half_from_float(f);
    p[0] = (uint8_t)(h & 255);
    p[1] = (uint8_t)(h >> 8);
    return half_to_float(h);
}

static float get_half(const uint8_t *p)
{
    return half_to_float((uint16_t)(p[0] | p[1] << 8));
}

static int round_to(float x, int low, int high)
{
    int i = (int)lrintf(fminf(fmaxf(x, -1e6f), 1e6f));
    return i < low ? low : i > high ? high : i;
}

static float greatest_abs(const float *x, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++)
        most = fmaxf(most, fabsf(x[i]));
    return most;
}

// Q8_0: 32 weights as a half scale and 32 signed bytes.
static void encode_q8_0(const float *x, uint8_t *p)
{
    float d = put_half(p, greatest_abs(x, 32) / 127.0f);
    for (int i = 0; i < 32; i++)
        p[2 + i] = (uint8_t)(int8_t)(d > 0 ? round_to(x[i] / d, -127, 127) : 0);
}

static void decode_q8_0(const uint8_t *p, float *x)
{
    float d = get_half(p);
    for (int i = 0; i < 32; i++)
        x[i] = d * (float)(int8_t)p[2 + i];
}

// Q4_K and Q5_K: halves d and m, then for each of 8 groups of 32 weights a 6-bit scale s and a
// 6-bit offset o: weight = d * s * q - m * o. The twelve bytes hold s[0..3], o[0..3] with the upper
// 2 bits of s[4..7] and o[4..7] above them, and the lower 4 bits of s[4..7] and o[4..7].
static void put_scales(uint8_t *p, const int *s, const int *o)
{
    for (int j = 0; j < 4; j++) {
        p[j] = (uint8_t)(s[j] | (s[j + 4] >> 4) << 6);
        p[j + 4] = (uint8_t)(o[j] | (o[j + 4] >> 4) << 6);
        p[j + 8] = (uint8_t)((s[j + 4] & 15) | (o[j + 4] & 15) << 4);
    }
}

static void get_scales(const uint8_t *p, int *s, int *o)
{
    for (int j = 0; j < 4; j++) {
        s[j] = p[j] & 63;
        o[j] = p[j + 4] & 63;
        s[j + 4] = (p[j + 8] & 15) | (p[j] >> 6) << 4;
        o[j + 4] = p[j + 8] >> 4 | (p[j + 4] >> 6) << 4;
    }
}

// Quantises 256 weights to q (0..top), and writes the block's 16 bytes of scales.
static void encode_offset_groups(const float *x, int top, uint8_t *p, int *q)
{
    float scale[8], offset[8];
    int s[8], o[8];
    for (int j = 0; j < 8; j++) {
        float low = 0;
        float high = 0;
        for (int i = 0; i < 32; i++) {
            low = fminf(low, x[j * 32 + i]);
            high = fmaxf(high, x[j * 32 + i]);
        }
        scale[j] = (high - low) / (float)top;
        offset[j] = -low;
    }
    float d = put_half(p, greatest_abs(scale, 8) / 63.0f);
    float m = put_half(p + 2, greatest_abs(offset, 8) / 63.0f);
    for (int j = 0; j < 8; j++) {
        s[j] = d > 0 ? round_to(scale[j] / d, 0, 63) : 0;
        o[j] = m > 0 ? round_to(offset[j] / m, 0, 63) : 0;
        float step = d * (float)s[j];
        for (int i = 0; i < 32; i++)
            q[j * 32 + i] =
                step > 0 ? round_to((x[j * 32 + i] + m * (float)o[j]) / step, 0, top) : 0;
    }
    put_scales(p + 4, s, o);
}

static void decode_offset_groups(const uint8_t *p, const int *q, float *x)
{
    int s[8], o[8];
    float d = get_half(p);
    float m = get_half(p + 2);
    get_scales(p + 4, s, o);
    for (int i = 0; i < SUPER; i++)
        x[i] = d * (float)s[i / 32] * (float)q[i] - m * (float)o[i / 32];
}

// Low four bits: 32 bytes for every 64 weights, the first 32 in the lower halves.
static void put_nibbles(uint8_t *p, const int *q)
{
    for (int i = 0; i < SUPER / 2; i++) {
        const int *pair = q + i / 32 * 64 + i % 32;
        p[i] = (uint8_t)((pair[0] & 15) | (pair[32] & 15) << 4);
    }
}

static void get_nibbles(const uint8_t *p, int *q)
{
    for (int i = 0; i < SUPER / 2; i++) {
        int *pair = q + i / 32 * 64 + i % 32;
        pair[0] = p[i] & 15;
        pair[32] = p[i] >> 4;
    }
}

static void encode_q4_k(const float *x, uint8_t *p)
{
    int q[SUPER];
    encode_offset_groups(x, 15, p, q);
    put_nibbles(p + 16, q);
}

static void decode_q4_k(const uint8_t *p, float *x)
{
    int q[SUPER];
    get_nibbles(p + 16, q);
    decode_offset_groups(p, q, x);
}

// Q5_K has the fifth bits between scales and nibbles: bit j of byte i belongs to weight i of group
// j.
static void encode_q5_k(const float *x, uint8_t *p)
{
    int q[SUPER];
    encode_offset_groups(x, 31, p, q);
    memset(p + 16, 0, 32);
    for (int i = 0; i < SUPER; i++)
        p[16 + i % 32] |= (uint8_t)((q[i] >> 4) << (i / 32));
    put_nibbles(p + 48, q);
}

static void decode_q5_k(const uint8_t *p, float *x)
{
    int q[SUPER];
    get_nibbles(p + 48, q);
    for (int i = 0; i < SUPER; i++)
        q[i] |= ((p[16 + i % 32] >> (i / 32)) & 1) << 4;
    decode_offset_groups(p, q, x);
}

// Q6_K: 128 bytes of low nibbles, 64 of upper two bits, a signed 8-bit scale s for every 16
// weights, a half d: weight = d * s * (q - 32). Each half of 128 weights is four runs of 32: runs 0
// and 1 in the lower nibbles of 64 bytes, runs 2 and 3 in the upper ones, and run r in bits 2r and
// 2r + 1 of 32 bytes.
static void encode_q6_k(const float *x, uint8_t *p)
{
    float scale[16];
    memset(p, 0, 192);
    for (int j = 0; j < 16; j++)
        scale[j] = greatest_abs(x + j * 16, 16) / 31.0f;
    float d = put_half(p + 208, greatest_abs(scale, 16) / 127.0f);
    for (int j = 0; j < 16; j++)
        p[192 + j] = (uint8_t)(d > 0 ? round_to(scale[j] / d, 0, 127) : 0);
    for (int i = 0; i < SUPER; i++) {
        float step = d * (float)p[192 + i / 16];
        int q = 32 + (step > 0 ? round_to(x[i] / step, -32, 31) : 0);
        int half = i / 128;
        int run = i / 32 % 4;
        p[half * 64 + run % 2 * 32 + i % 32] |= (uint8_t)((q & 15) << (run / 2 * 4));
        p[128 + half * 32 + i % 32] |= (uint8_t)((q >> 4) << (run * 2));
    }
}

static void decode_q6_k(const uint8_t *p, float *x)
{
    float d = get_half(p + 208);
    for (int i = 0; i < SUPER; i++) {
        int half = i / 128;
        int run = i / 32 % 4;
        int low = (p[half * 64 + run % 2 * 32 + i % 32] >> (run / 2 * 4)) & 15;
        int high = (p[128 + half * 32 + i % 32] >> (run * 2)) & 3;
        x[i] = d * (float)(int8_t)p[192 + i / 16] * (float)((low | high << 4) - 32);
    }
}

static void encode_f32(const float *x, uint8_t *p)
{
    memcpy(p, x, sizeof(*x));
}

static void decode_f32(const uint8_t *p, float *x)
{
    memcpy(x, p, sizeof(*x));
}

static void encode_f16(const float *x, uint8_t *p)
{
    put_half(p, *x);
}

static void decode_f16(const uint8_t *p, float *x)
{
    *x = get_half(p);
}

static const struct format {
    int type;
    size_t weights; // in a block
    size_t bytes;
    void (*encode)(const float *x, uint8_t *p);
    void (*decode)(const uint8_t *p, float *x);
} formats[] = {
    {QUANT_F32, 1, 4, encode_f32, decode_f32},
    {QUANT_F16, 1, 2, encode_f16, decode_f16},
    {QUANT_Q8_0, 32, 34, encode_q8_0, decode_q8_0},
    {QUANT_Q4_K, SUPER, 144, encode_q4_k, decode_q4_k},
    {QUANT_Q5_K, SUPER, 176, encode_q5_k, decode_q5_k},
    {QUANT_Q6_K, SUPER, 210, encode_q6_k, decode_q6_k},
};

static const struct format *find_format(int type)
{
    const struct format *f = formats;
    while (f->type != type)
        f++;
    return f;
}

size_t quant_bytes(int type, size_t n)
{
    const struct format *f = find_format(type);
    return n / f->weights * f->bytes;
}

void quant_encode(int type, const float *x, size_t n, uint8_t *ret_bytes)
{
    const struct format *f = find_format(type);
    for (size_t i = 0; i < n; i += f->weights, ret_bytes += f->bytes)
        f->encode(x + i, ret_bytes);
}

void quant_decode(int type, const uint8_t *bytes, size_t n, float *ret_x)
{
    const struct format *f = find_format(type);
    for (size_t i = 0; i < n; i += f->weights, bytes += f->bytes)
        f->decode(bytes, ret_x + i);
}
