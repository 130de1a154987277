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

// The compiler turns the loops into SIMD.
AVX2 static void down_simd(const unsigned char *ring, size_t stride, int rows, const axis *y, int i, size_t n, unsigned char *out) {
  down(ring, stride, rows, y, i, n, out);
}

// across_simd multiplies four pixels at a time. Pairs of 16 bits are multiplied and added at once (vpmaddwd), for which the weights
// are split into 12 low bits and the others.
AVX2 static void across_simd(const unsigned char *from, const axis *x, int safe, unsigned char *out) {
  const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
                                         6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const __m256i low = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1), high = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  const __m128i half = _mm_set1_epi32(1 << (x->bits - 1)), shift = _mm_cvtsi32_si128(x->bits);
  for (int i = 0; i < safe; i++, out += pixel) {
    const short *w = x->weights + (size_t)i * group * x->groups;
    const unsigned char *p = from + pixel * (size_t)x->first[i];
    __m256i lows = _mm256_setzero_si256(), highs = lows;
    for (int j = 0; j < x->count[i]; j += 4, p += 4 * pixel, w += group) {
      const __m256i v = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p)), pairs);
      const __m256i weights = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)w));
      lows = _mm256_add_epi32(lows, _mm256_madd_epi16(v, _mm256_permutevar8x32_epi32(weights, low)));
      highs = _mm256_add_epi32(highs, _mm256_madd_epi16(v, _mm256_permutevar8x32_epi32(weights, high)));
    }
    const __m256i both = _mm256_add_epi32(lows, _mm256_slli_epi32(highs, low_bits));
    __m128i sum = _mm_add_epi32(_mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1)), half);
    sum = _mm_sra_epi32(sum, shift);
    sum = _mm_packs_epi32(sum, sum);
    const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
    memcpy(out, &bytes, pixel);
  }
}
#else
int fovea_resample_simd(void) { return 0; }

static void down_simd(const unsigned char *ring, size_t stride, int rows, const axis *y, int i, size_t n, unsigned char *out) {
  down_plain(ring, stride, rows, y, i, n, out);
}

static void across_simd(const unsigned char *from, const axis *x, int safe, unsigned char *out) {
  (void)from, (void)x, (void)safe, (void)out;
}
#endif

// safe_results is how many results can load four pixels at a time from a row of n bytes.
static int safe_results(const axis *x, size_t n) {
  int i = 0;
  while (i < x->n && pixel * (size_t)(x->first[i] + (x->count[i] - 1) / 4 * 4) + load <= n) {
    i++;
  }
  return i;
}

static void across(const unsigned char *from, const axis *x, int safe, unsigned char *out) {
  if (safe > 0) {
    across_simd(from, x, safe, out);
  }
  across_plain(from, x, safe, out);
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

// rows_first keeps the rows of the first pass in a ring, which holds as many as a result of the second one takes.
static int rows_first(const unsigned char *from, size_t stride, size_t row_bytes, const axis *x, const axis *y, int simd,
                      unsigned char *out) {
  int rows;
  end(y, &rows);
  const size_t n = pixel * (size_t)x->n;
  unsigned char *ring = malloc(n * rows);
  if (ring == NULL) {
    return -1;
  }
  const int safe = simd ? safe_results(x, row_bytes) : 0;
  for (int i = 0, next = 0; i < y->n; i++, out += n) {
    next = next > y->first[i] ? next : y->first[i];
    for (; next < y->first[i] + y->count[i]; next++) {
      across(from + stride * next, x, safe, ring + n * (next % rows));
    }
    (simd ? down_simd : down_plain)(ring, n, rows, y, i, n, out);
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
      (simd ? down_simd : down_plain)(from + pixel * (size_t)begin, stride, y->first[i] + y->count[i], y, i, n, row);
      across(row, &x, safe, out);
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
