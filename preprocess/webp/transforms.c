#include "transforms.h"

#include <stdlib.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// The compiler turns the loops into SIMD: SSE2 or NEON, which every machine has, or AVX2 where available.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

static const uint32_t black = 0xFF000000;

static inline uint32_t average(uint32_t a, uint32_t b) { return (((a ^ b) & 0xFEFEFEFE) >> 1) + (a & b); }

// EACH predicts each pixel of a stretch and adds what is coded. L, T, TL and TR are the pixels to the left, above, and
// above to the left and right.
#define EACH(prediction)                                                            \
  for (int x = from; x < to; x++) {                                                 \
    const uint32_t L = left, T = above[x], TL = above[x - 1], TR = above[x + 1];    \
    (void)L, (void)T, (void)TL, (void)TR;                                           \
    left = out[x] = add_pixels(row[x], (prediction));                                      \
  }                                                                                 \
  break

#if defined(__SSE2__)

// The predictions that are expensive, and most frequent in photographs, use SIMD registers. Each pixel depends on the one to its
// left, so that latency counts.
static inline __m128i pixel(uint32_t v) { return _mm_cvtsi32_si128((int)v); }
static inline __m128i wide(__m128i v) { return _mm_unpacklo_epi8(v, _mm_setzero_si128()); }
static inline __m128i narrow(__m128i v) { return _mm_packus_epi16(v, v); }

// nearer is that of left and top which is nearer to left + top − corner.
static inline __m128i nearer(__m128i left, __m128i top, __m128i corner) {
  const __m128i to_left = _mm_sad_epu8(top, corner), to_top = _mm_sad_epu8(left, corner);
  const __m128i is_left = _mm_cmpgt_epi32(to_top, to_left);
  return _mm_or_si128(_mm_and_si128(is_left, left), _mm_andnot_si128(is_left, top));
}

static inline __m128i gradient(__m128i left, __m128i top, __m128i corner) {
  return narrow(_mm_add_epi16(wide(left), _mm_sub_epi16(wide(top), wide(corner))));
}

static inline __m128i half_gradient(__m128i left, __m128i top, __m128i corner) {
  const __m128i b = wide(corner), a = _mm_srli_epi16(_mm_add_epi16(wide(left), wide(top)), 1), d = _mm_sub_epi16(a, b);
  const __m128i half = _mm_srai_epi16(_mm_sub_epi16(d, _mm_cmpgt_epi16(b, a)), 1); // rounded toward 0
  return narrow(_mm_add_epi16(a, half));
}

#define EACH_COSTLY(prediction)                                              \
  {                                                                          \
    __m128i at_left = pixel(left);                                           \
    for (int x = from; x < to; x++) {                                        \
      const __m128i v = prediction(at_left, pixel(above[x]), pixel(above[x - 1])); \
      at_left = _mm_add_epi8(v, pixel(row[x]));                              \
      out[x] = (uint32_t)_mm_cvtsi128_si32(at_left);                         \
    }                                                                        \
    break;                                                                   \
  }

#else

static inline int byte_of(uint32_t v, int i) { return (int)(v >> 8 * i & 255); }
static inline uint32_t clamp(int v) { return v < 0 ? 0 : v > 255 ? 255 : (uint32_t)v; }

static inline int distance(uint32_t a, uint32_t b) {
  int sum = 0;
  for (int i = 0; i < 4; i++) {
    sum += abs(byte_of(a, i) - byte_of(b, i));
  }
  return sum;
}

// nearer is that of left and top which is nearer to left + top − corner.
static inline uint32_t nearer(uint32_t left, uint32_t top, uint32_t corner) {
  return distance(top, corner) < distance(left, corner) ? left : top;
}

static inline uint32_t gradient(uint32_t left, uint32_t top, uint32_t corner) {
  uint32_t v = 0;
  for (int i = 0; i < 4; i++) {
    v |= clamp(byte_of(left, i) + byte_of(top, i) - byte_of(corner, i)) << 8 * i;
  }
  return v;
}

static inline uint32_t half_gradient(uint32_t left, uint32_t top, uint32_t corner) {
  const uint32_t mean = average(left, top);
  uint32_t v = 0;
  for (int i = 0; i < 4; i++) {
    const int a = byte_of(mean, i);
    v |= clamp(a + (a - byte_of(corner, i)) / 2) << 8 * i;
  }
  return v;
}

#define EACH_COSTLY(prediction) EACH(prediction(L, T, TL));

#endif

// stretch undoes one of the predictions (RFC 9649, 4.1) on a part of a row, not its first pixel.
static void stretch(int mode, const uint32_t *row, const uint32_t *above, uint32_t *out, int from, int to) {
  uint32_t left = out[from - 1];
  switch (mode) {
  case 1: EACH(L);
  case 2: EACH(T);
  case 3: EACH(TR);
  case 4: EACH(TL);
  case 5: EACH(average(average(L, TR), T));
  case 6: EACH(average(L, TL));
  case 7: EACH(average(L, T));
  case 8: EACH(average(TL, T));
  case 9: EACH(average(T, TR));
  case 10: EACH(average(average(L, TL), average(T, TR)));
  case 11: EACH_COSTLY(nearer)
  case 12: EACH_COSTLY(gradient)
  case 13: EACH_COSTLY(half_gradient)
  default: EACH(black);
  }
}

static const uint32_t *unpredict(struct transform *t, int y, const uint32_t *row) {
  uint32_t *out = t->rows + (y & 1) * (t->width + 1), *above = t->rows + (~y & 1) * (t->width + 1);
  if (y == 0) {
    out[0] = add_pixels(row[0], black);
    stretch(1, row, out, out, 1, t->width);
    return out;
  }
  out[0] = add_pixels(row[0], above[0]);
  above[t->width] = out[0]; // right of the row above lies the first pixel of this one
  const int size = 1 << t->bits, blocks = (t->width + size - 1) >> t->bits;
  const uint32_t *modes = t->data + (size_t)(y >> t->bits) * blocks;
  for (int from = 1; from < t->width;) {
    const int end = (from | (size - 1)) + 1, to = end < t->width ? end : t->width;
    stretch(modes[from >> t->bits] >> 8 & 15, row, above, out, from, to);
    from = to;
  }
  return out;
}

CLONES static void uncross(uint32_t code, const uint32_t *row, uint32_t *out, int n) {
  const int to_red = (int8_t)code, to_blue = (int8_t)(code >> 8), red_to_blue = (int8_t)(code >> 16);
#pragma GCC ivdep // row may be out
  for (int i = 0; i < n; i++) {
    const uint32_t v = row[i];
    const int green = (int8_t)(v >> 8);
    const int red = (int)(v >> 16 & 255) + ((to_red * green) >> 5);
    const int blue = (int)(v & 255) + ((to_blue * green) >> 5) + ((red_to_blue * (int8_t)red) >> 5);
    out[i] = (v & 0xFF00FF00) | ((uint32_t)red & 255) << 16 | ((uint32_t)blue & 255);
  }
}

CLONES static void add_green(const uint32_t *row, uint32_t *out, int n) {
#pragma GCC ivdep // row may be out
  for (int i = 0; i < n; i++) {
    const uint32_t green = row[i] >> 8 & 255;
    out[i] = (row[i] & 0xFF00FF00) | (((row[i] & 0x00FF00FF) + (green << 16 | green)) & 0x00FF00FF);
  }
}

static void unindex(const struct transform *t, const uint32_t *row, uint32_t *out) {
  const int depth = 8 >> t->bits, more = (1 << t->bits) - 1;
  const uint32_t mask = (1u << depth) - 1;
  uint32_t packed = 0;
  for (int x = 0; x < t->width; x++) {
    packed = (x & more) == 0 ? *row++ >> 8 & 255 : packed >> depth;
    out[x] = t->data[packed & mask];
  }
}

const uint32_t *undo(struct transform *t, int y, const uint32_t *row, uint32_t *spare) {
  switch (t->kind) {
  case predictor:
    return unpredict(t, y, row);
  case cross_color: {
    const int size = 1 << t->bits, blocks = (t->width + size - 1) >> t->bits;
    const uint32_t *codes = t->data + (size_t)(y >> t->bits) * blocks;
    for (int x = 0; x < t->width; x += size) {
      uncross(*codes++, row + x, spare + x, size < t->width - x ? size : t->width - x);
    }
    return spare;
  }
  case subtract_green:
    add_green(row, spare, t->width);
    return spare;
  default:
    unindex(t, row, spare);
    return spare;
  }
}

CLONES void to_bgr(const uint32_t *row, unsigned char *to, int width) {
  for (int x = 0; x < width; x++) {
    to[3 * x] = (unsigned char)row[x];
    to[3 * x + 1] = (unsigned char)(row[x] >> 8);
    to[3 * x + 2] = (unsigned char)(row[x] >> 16);
  }
}

void repeat(const uint32_t *row, int shift, unsigned char *to, int width) {
  for (int x = 0; x < width; x++, to += 3) {
    to[0] = to[1] = to[2] = (unsigned char)(row[x] >> shift);
  }
}
