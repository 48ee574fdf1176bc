// The number formats of GGUF tensors that the canary uses: encoding to the file's bytes and back.
#ifndef CANARY_QUANT_H
#define CANARY_QUANT_H

#include <stddef.h>
#include <stdint.h>

enum quant_type { // ids of the GGUF format
    QUANT_F32 = 0,
    QUANT_F16 = 1,
    QUANT_Q8_0 = 8,
    QUANT_Q4_K = 12,
    QUANT_Q5_K = 13,
    QUANT_Q6_K = 14,
};

size_t quant_bytes(int type, size_t n);

// n is a multiple of the type's block: 32 for Q8_0, 256 for the K types.
void quant_encode(int type, const float *x, size_t n, uint8_t *ret_bytes);
void quant_decode(int type, const uint8_t *bytes, size_t n, float *ret_x);

#endif
