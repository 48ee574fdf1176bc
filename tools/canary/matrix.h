// Single-precision matrix products in a fixed order of operations: the result does not depend on
// threads.
#ifndef CANARY_MATRIX_H
#define CANARY_MATRIX_H

// A matrix whose element (i, k) is p[i * row + k * col].
struct matrix {
    const float *p;
    int row;
    int col;
};

enum { MATRIX_SCRATCH = 256 * (1024 + 128) }; // floats that matrix_multiply_add needs

// c (m rows of n, ldc apart) += a (m by k) times b (k by n). n is at most 1024.
void matrix_multiply_add(int m, int n, int k, struct matrix a, struct matrix b, float *c, int ldc,
                         float *scratch);

float vector_dot(const float *a, const float *b, int n);          // n a multiple of 8
void vector_add_scaled(float *y, const float *x, float s, int n); // y += s * x

#endif
