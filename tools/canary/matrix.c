/* matrix.c - matrix products whose sums are always taken in the same order. */
#include "matrix.h"

#include <string.h>

#ifdef __AVX__
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

enum { ROWS = 6, COLS = 2 * LANES, DEPTH = 256, BLOCK = 96 };

// One register of the processor, read from and written to any address.
typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

// Panels of `width` rows of the matrix (or columns, with row and col swapped), one after the other,
// zero-padded.
static void pack(struct matrix m, int first, int n, int k0, int depth, int width, float *out)
{
    for (int i = 0; i < n; i += width) {
        for (int k = 0; k < depth; k++) {
            const float *p = m.p + (long)(first + i) * m.row + (long)(k0 + k) * m.col;
            int w = min_int(width, n - i);
            for (int j = 0; j < w; j++)
                out[j] = p[(long)j * m.row];
            for (int j = w; j < width; j++)
                out[j] = 0;
            out += width;
        }
    }
}

static void multiply_tile(int depth, const float *a, const float *b, float *tile)
{
    lanes sum[ROWS][2] = {0};
    for (int k = 0; k < depth; k++, a += ROWS, b += COLS) {
        lanes b0 = *(const lanes *)b;
        lanes b1 = *(const lanes *)(b + LANES);
#pragma GCC unroll 6
        for (int i = 0; i < ROWS; i++) {
            sum[i][0] += b0 * a[i];
            sum[i][1] += b1 * a[i];
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; i++) {
        *(lanes *)(tile + i * COLS) = sum[i][0];
        *(lanes *)(tile + i * COLS + LANES) = sum[i][1];
    }
}

static void add_tile(const float *tile, int rows, int columns, float *out, int ldc)
{
    for (int r = 0; r < rows; r++) {
        for (int x = 0; x < columns; x++)
            out[(long)r * ldc + x] += tile[r * COLS + x];
    }
}

void matrix_multiply_add(int m, int n, int k, struct matrix a, struct matrix b, float *c, int ldc,
                         float *scratch)
{
    float *packed_b = scratch;
    float *packed_a = scratch + DEPTH * 1024;
    struct matrix b_columns = {b.p, b.col, b.row};
    float tile[ROWS * COLS];
    for (int k0 = 0; k0 < k; k0 += DEPTH) {
        int depth = min_int(DEPTH, k - k0);
        pack(b_columns, 0, n, k0, depth, COLS, packed_b);
        for (int i0 = 0; i0 < m; i0 += BLOCK) {
            int rows = min_int(BLOCK, m - i0);
            pack(a, i0, rows, k0, depth, ROWS, packed_a);
            for (int j = 0; j < n; j += COLS) {
                int w = min_int(COLS, n - j);
                for (int i = 0; i < rows; i += ROWS) {
                    multiply_tile(depth, packed_a + i * depth, packed_b + j * depth, tile);
                    add_tile(tile, min_int(ROWS, rows - i), w, c + (long)(i0 + i) * ldc + j, ldc);
                }
            }
        }
    }
}

float vector_dot(const float *a, const float *b, int n)
{
    lanes sum = {0};
    float total = 0;
    for (int i = 0; i < n; i += LANES)
        sum += *(const lanes *)(a + i) * *(const lanes *)(b + i);
    for (int i = 0; i < LANES; i++)
        total += sum[i];
    return total;
}

void vector_add_scaled(float *y, const float *x, float s, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += s * x[i];
}
