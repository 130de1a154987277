#include "filter.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// A pixel depends on the one to its left, so that only the bytes of one pixel can be processed at once: up to eight, in eight
// lanes of 16 bits. Eight bytes are always loaded and stored; those of the next pixel are overwritten by it.
typedef unsigned char bytes8 __attribute__((vector_size(8)));
typedef unsigned char bytes16 __attribute__((vector_size(16)));
typedef short lanes __attribute__((vector_size(16)));

// add adds only the lower halves of the lanes, and so wraps around like bytes.
static inline lanes add(lanes a, lanes b) { return (lanes)((bytes16)a + (bytes16)b); }

static inline lanes choose(lanes mask, lanes yes, lanes no) { return (mask & yes) | (~mask & no); }

#if defined(__SSE2__)
static inline lanes load(const unsigned char *from) {
  return (lanes)_mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)from), _mm_setzero_si128());
}
static inline void store(unsigned char *to, lanes v) { _mm_storel_epi64((__m128i *)to, _mm_packus_epi16((__m128i)v, (__m128i)v)); }
static inline lanes magnitude(lanes v) { return (lanes)_mm_max_epi16((__m128i)v, (__m128i)-v); }
static inline lanes least(lanes a, lanes b) { return (lanes)_mm_min_epi16((__m128i)a, (__m128i)b); }
#else
static inline lanes load(const unsigned char *from) {
  bytes8 b;
  memcpy(&b, from, sizeof b);
  return __builtin_convertvector(b, lanes);
}
static inline void store(unsigned char *to, lanes v) {
  const bytes8 b = __builtin_convertvector(v, bytes8);
  memcpy(to, &b, sizeof b);
}
static inline lanes magnitude(lanes v) { return (v ^ (v >> 15)) - (v >> 15); }
static inline lanes least(lanes a, lanes b) { return choose(a < b, a, b); }
#endif

// paeth is the predictor of PNG's fourth filter: the one of left, above and corner that is nearest to left + above − corner.
static inline lanes paeth(lanes left, lanes above, lanes corner) {
  const lanes to_above = left - corner, to_left = above - corner;
  const lanes pa = magnitude(to_left), pb = magnitude(to_above), pc = magnitude(to_left + to_above);
  const lanes p = least(pc, least(pa, pb));
  return choose(p == pa, left, choose(p == pb, above, corner));
}

static inline unsigned char paeth_byte(int left, int above, int corner) {
  const int pa = abs(above - corner), pb = abs(left - corner), pc = abs(left + above - 2 * corner);
  return (unsigned char)(pa <= pb && pa <= pc ? left : pb <= pc ? above : corner);
}

// The filters, for pixel sizes that the compiler knows.

static inline void sub(const unsigned char *from, unsigned char *row, size_t n, int pixel) {
  lanes left = {0};
  for (size_t i = 0; i < n; i += pixel) {
    left = add(left, load(from + i));
    store(row + i, left);
  }
}

static void up(const unsigned char *from, const unsigned char *above, unsigned char *row, size_t n) {
  for (size_t i = 0; i < n; i++) {
    row[i] = (unsigned char)(from[i] + above[i]);
  }
}

static inline void average(const unsigned char *from, const unsigned char *above, unsigned char *row, size_t n, int pixel) {
  lanes left = {0};
  for (size_t i = 0; i < n; i += pixel) {
    left = add(load(from + i), (left + load(above + i)) >> 1);
    store(row + i, left);
  }
}

static inline void paeths(const unsigned char *from, const unsigned char *above, unsigned char *row, size_t n, int pixel) {
  lanes left = {0}, corner = {0};
  for (size_t i = 0; i < n; i += pixel) {
    const lanes b = load(above + i);
    left = add(load(from + i), paeth(left, b, corner));
    corner = b;
    store(row + i, left);
  }
}

// bytewise is for pixels of one byte, which allow no parallelism.
static void bytewise(int filter, const unsigned char *from, const unsigned char *above, unsigned char *row, size_t n) {
  unsigned char left = 0, corner = 0;
  for (size_t i = 0; i < n; i++) {
    const unsigned char b = above[i];
    const unsigned char guess = filter == 1 ? left : filter == 3 ? (unsigned char)((left + b) >> 1) : paeth_byte(left, b, corner);
    left = row[i] = (unsigned char)(from[i] + guess);
    corner = b;
  }
}

static inline void pixelwise(int filter, const unsigned char *from, const unsigned char *above, unsigned char *row, size_t n, int pixel) {
  switch (filter) {
  case 1:
    sub(from, row, n, pixel);
    break;
  case 3:
    average(from, above, row, n, pixel);
    break;
  default:
    paeths(from, above, row, n, pixel);
  }
}

int fovea_unfilter(int filter, const unsigned char *from, const unsigned char *above, unsigned char *row, size_t n, int pixel) {
  if (filter > 4) {
    return 0;
  }
  if (filter == 0) {
    memcpy(row, from, n);
  } else if (filter == 2) {
    up(from, above, row, n);
  } else if (pixel == 1) {
    bytewise(filter, from, above, row, n);
  } else if (pixel == 2) {
    pixelwise(filter, from, above, row, n, 2);
  } else if (pixel == 3) {
    pixelwise(filter, from, above, row, n, 3);
  } else if (pixel == 4) {
    pixelwise(filter, from, above, row, n, 4);
  } else if (pixel == 6) {
    pixelwise(filter, from, above, row, n, 6);
  } else {
    pixelwise(filter, from, above, row, n, 8);
  }
  return 1;
}
