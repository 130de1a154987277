#include "resample.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))
#endif

enum {
  pixel = 3,
  low_bits = 12,
  group = 8, // numbers of 16 bits in a group of weights
  load = 16, // bytes that are loaded for four pixels
  block = 64 // bytes of a row that are summed at once
};

typedef struct fovea_resample_axis axis;

// Sums wrap around, and so do weights: only the last sum has to fit.
static inline unsigned weight(const short *weights, int tap) {
  const short *g = weights + group * (tap / 4) + tap % 4;
  return (unsigned)(g[0] + g[4] * (1 << low_bits));
}

static inline unsigned char clip(unsigned sum, int bits) {
  const int v = (int)sum >> bits;
  return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
}

// across_plain computes the results from begin on of a row. The first pixel of result 0 is at from.
static void across_plain(const unsigned char *from, const axis *x, int begin, unsigned char *out) {
  for (int i = begin; i < x->n; i++) {
    const short *w = x->weights + (size_t)i * group * x->groups;
    const unsigned char *p = from + pixel * (size_t)x->first[i];
    unsigned a = 1U << (x->bits - 1), b = a, c = a;
    for (int j = 0; j < x->count[i]; j++, p += pixel) {
      const unsigned v = weight(w, j);
      a += v * p[0];
      b += v * p[1];
      c += v * p[2];
    }
    out[pixel * i] = clip(a, x->bits);
    out[pixel * i + 1] = clip(b, x->bits);
    out[pixel * i + 2] = clip(c, x->bits);
  }
}

// down_block computes size results of a column pass from rows of a ring of that many rows.
static inline __attribute__((always_inline)) void down_block(const unsigned char *ring, size_t stride, int rows, const axis *y, int i,
                                                             int size, unsigned char *out) {
  const short *w = y->weights + (size_t)i * group * y->groups;
  unsigned sum[block];
  for (int k = 0; k < size; k++) {
    sum[k] = 1U << (y->bits - 1);
  }
  int row = y->first[i] % rows;
  for (int j = 0; j < y->count[i]; j++) {
    const unsigned char *from = ring + stride * row;
    const unsigned v = weight(w, j);
    for (int k = 0; k < size; k++) {
      sum[k] += v * from[k];
    }
    row = row + 1 == rows ? 0 : row + 1;
  }
  for (int k = 0; k < size; k++) {
    out[k] = clip(sum[k], y->bits);
  }
}

// down computes result i of a column pass, n bytes. Row r is row r % rows of the ring.
static inline __attribute__((always_inline)) void down(const unsigned char *ring, size_t stride, int rows, const axis *y, int i, size_t n,
                                                       unsigned char *out) {
  size_t at = 0;
  for (; at + block <= n; at += block) {
    down_block(ring + at, stride, rows, y, i, block, out + at);
  }
  if (at < n) {
    down_block(ring + at, stride, rows, y, i, (int)(n - at), out + at);
  }
}

static void down_plain(const unsigned char *ring, size_t stride, int rows, const axis *y, int i, size_t n, unsigned char *out) {
  down(ring, stride, rows, y, i, n, out);
}

#if defined(AVX2)
int fovea_resample_simd(void) { return __builtin_cpu_supports("avx2"); }

// Pairs of 16 bits are multiplied and added at once (vpmaddwd), for which weights are split into 12 low bits and the others.

// down_32 computes 32 bytes of a column pass. It takes pairs of rows; of an odd number the last one is taken twice, the second
// time with a weight of 0.
AVX2 static inline void down_32(const unsigned char *ring, size_t stride, int rows, int row, const short *w, int count, int bits,
                                unsigned char *out) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i low[4] = {zero, zero, zero, zero}, high[4] = {zero, zero, zero, zero};
  for (int j = 0; j < count; j += 2) {
    const int other = j + 1 == count ? row : row + 1 == rows ? 0 : row + 1;
    const __m256i a = _mm256_loadu_si256((const __m256i *)(ring + stride * row));
    const __m256i b = _mm256_loadu_si256((const __m256i *)(ring + stride * other));
    row = other + 1 == rows ? 0 : other + 1;
    int pair[2];
    memcpy(&pair[0], w + group * (j / 4) + j % 4, sizeof pair[0]);
    memcpy(&pair[1], w + group * (j / 4) + j % 4 + 4, sizeof pair[1]);
    const __m256i lows = _mm256_set1_epi32(pair[0]), highs = _mm256_set1_epi32(pair[1]);
    const __m256i ab = _mm256_unpacklo_epi8(a, b), cd = _mm256_unpackhi_epi8(a, b);
    const __m256i v[4] = {_mm256_unpacklo_epi8(ab, zero), _mm256_unpackhi_epi8(ab, zero), //
                          _mm256_unpacklo_epi8(cd, zero), _mm256_unpackhi_epi8(cd, zero)};
    for (int k = 0; k < 4; k++) {
      low[k] = _mm256_add_epi32(low[k], _mm256_madd_epi16(v[k], lows));
      high[k] = _mm256_add_epi32(high[k], _mm256_madd_epi16(v[k], highs));
    }
  }
  const __m256i half = _mm256_set1_epi32(1 << (bits - 1));
  const __m128i shift = _mm_cvtsi32_si128(bits);
  for (int k = 0; k < 4; k++) {
    low[k] = _mm256_add_epi32(_mm256_add_epi32(low[k], half), _mm256_slli_epi32(high[k], low_bits));
    low[k] = _mm256_sra_epi32(low[k], shift);
  }
  const __m256i ab = _mm256_packs_epi32(low[0], low[1]), cd = _mm256_packs_epi32(low[2], low[3]);
  _mm256_storeu_si256((__m256i *)out, _mm256_packus_epi16(ab, cd));
}

// The last block overlaps the one before.
AVX2 static void down_simd(const unsigned char *ring, size_t stride, int rows, const axis *y, int i, size_t n, unsigned char *out) {
  const short *w = y->weights + (size_t)i * group * y->groups;
  const int row = y->first[i] % rows, count = y->count[i], bits = y->bits;
  for (size_t at = 0; at < n; at += 32) {
    const size_t from = at + 32 <= n ? at : n - 32;
    down_32(ring + from, stride, rows, row, w, count, bits, out + from);
  }
}

// FOUR multiplies four pixels, and adds the products.
#define FOUR(p, lows, highs) \
  v = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(p))), pairs); \
  lows = _mm256_add_epi32(lows, _mm256_madd_epi16(v, low)); \
  highs = _mm256_add_epi32(highs, _mm256_madd_epi16(v, high))

// store rounds a sum and writes its three bytes and one more.
AVX2 static inline void store(__m256i lows, __m256i highs, __m128i half, __m128i shift, unsigned char *out) {
  lows = _mm256_add_epi32(lows, _mm256_slli_epi32(highs, low_bits));
  __m128i sum = _mm_add_epi32(_mm_add_epi32(_mm256_castsi256_si128(lows), _mm256_extracti128_si256(lows, 1)), half);
  sum = _mm_sra_epi32(sum, shift);
  sum = _mm_packs_epi32(sum, sum);
  const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
  memcpy(out, &bytes, sizeof bytes);
}

// across_simd computes safe results of two rows, which may be the same, four pixels at a time.
AVX2 static void across_simd(const unsigned char *from, const unsigned char *other, const axis *x, int safe, unsigned char *out,
                             unsigned char *other_out) {
  const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
                                         6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const __m256i to_low = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1), to_high = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  const __m128i half = _mm_set1_epi32(1 << (x->bits - 1)), shift = _mm_cvtsi32_si128(x->bits);
  const int *first = x->first, *count = x->count;
  const short *weights = x->weights;
  const size_t stride = (size_t)group * x->groups;
  for (int i = 0; i < safe; i++, out += pixel, other_out += pixel, weights += stride) {
    const short *w = weights;
    __m256i v, lows = _mm256_setzero_si256(), highs = lows, other_lows = lows, other_highs = lows;
    for (size_t at = pixel * (size_t)first[i], end = at + pixel * (size_t)count[i]; at < end; at += 4 * pixel, w += group) {
      const __m256i both = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)w));
      const __m256i low = _mm256_permutevar8x32_epi32(both, to_low), high = _mm256_permutevar8x32_epi32(both, to_high);
      FOUR(from + at, lows, highs);
      FOUR(other + at, other_lows, other_highs);
    }
    store(lows, highs, half, shift, out);
    store(other_lows, other_highs, half, shift, other_out);
  }
}
#else
int fovea_resample_simd(void) { return 0; }

static void down_simd(const unsigned char *ring, size_t stride, int rows, const axis *y, int i, size_t n, unsigned char *out) {
  down_plain(ring, stride, rows, y, i, n, out);
}

static void across_simd(const unsigned char *from, const unsigned char *other, const axis *x, int safe, unsigned char *out,
                        unsigned char *other_out) {
  (void)from, (void)other, (void)x, (void)safe, (void)out, (void)other_out;
}
#endif

// safe_results is how many results can load four pixels at a time from a row of n bytes, and store one byte more than theirs.
static int safe_results(const axis *x, size_t n) {
  int i = 0;
  while (i < x->n - 1 && pixel * (size_t)(x->first[i] + (x->count[i] - 1) / 4 * 4) + load <= n) {
    i++;
  }
  return i;
}

// across computes the results of two rows, which may be the same.
static void across(const unsigned char *from, const unsigned char *other, const axis *x, int safe, unsigned char *out,
                   unsigned char *other_out) {
  if (safe > 0) {
    across_simd(from, other, x, safe, out, other_out);
  }
  across_plain(from, x, safe, out);
  if (other != from) {
    across_plain(other, x, safe, other_out);
  }
}

// end returns the pixel after the last one that an axis reads, and how many must be kept: from the first one that a result takes
// to the last one that it or an earlier one does.
static int end(const axis *a, int *kept) {
  int after = 0;
  *kept = 0;
  for (int i = 0; i < a->n; i++) {
    after = a->first[i] + a->count[i] > after ? a->first[i] + a->count[i] : after;
    *kept = after - a->first[i] > *kept ? after - a->first[i] : *kept;
  }
  return after;
}

// rows_first keeps the rows of the first pass in a ring, which holds as many as a result of the second one takes, and one. Rows are
// computed in pairs, of which the next result takes the second one, at the latest.
static int rows_first(const unsigned char *from, size_t stride, size_t row_bytes, const axis *x, const axis *y, int simd,
                      unsigned char *out) {
  int rows;
  end(y, &rows);
  rows++;
  const size_t n = pixel * (size_t)x->n;
  unsigned char *ring = malloc(n * rows);
  if (ring == NULL) {
    return -1;
  }
  const int safe = simd ? safe_results(x, row_bytes) : 0;
  for (int i = 0, next = 0; i < y->n; i++, out += n) {
    const int after = y->first[i] + y->count[i], last = i + 1 == y->n;
    next = next > y->first[i] ? next : y->first[i];
    while (next < after) {
      const int pair = next + 1 < after || (!last && y->first[i + 1] <= next + 1 && next + 1 < y->first[i + 1] + y->count[i + 1]);
      const int other = next + pair;
      across(from + stride * next, from + stride * other, x, safe, ring + n * (next % rows), ring + n * (other % rows));
      next = other + 1;
    }
    (simd && n >= 32 ? down_simd : down_plain)(ring, n, rows, y, i, n, out);
  }
  free(ring);
  return 0;
}

static int columns_first(const unsigned char *from, size_t stride, axis x, const axis *y, int simd, unsigned char *out) {
  int kept;
  const int begin = x.first[0];
  const size_t n = pixel * (size_t)(end(&x, &kept) - begin);
  unsigned char *row = calloc(n + load, 1);
  int *first = malloc(x.n * sizeof *first);
  if (row != NULL && first != NULL) {
    for (int i = 0; i < x.n; i++) {
      first[i] = x.first[i] - begin;
    }
    x.first = first;
    const int safe = simd ? safe_results(&x, n + load) : 0;
    for (int i = 0; i < y->n; i++, out += pixel * (size_t)x.n) {
      (simd && n >= 32 ? down_simd : down_plain)(from + pixel * (size_t)begin, stride, y->first[i] + y->count[i], y, i, n, row);
      across(row, row, &x, safe, out, out);
    }
  }
  const int failed = row == NULL || first == NULL;
  free(row);
  free(first);
  return failed ? -1 : 0;
}

int fovea_resample(const unsigned char *from, size_t stride, size_t row_bytes, axis x, axis y, int is_columns_first, int simd,
                   unsigned char *out) {
  simd = simd && fovea_resample_simd();
  if (is_columns_first) {
    return columns_first(from, stride, x, &y, simd, out);
  }
  return rows_first(from, stride, row_bytes, &x, &y, simd, out);
}
