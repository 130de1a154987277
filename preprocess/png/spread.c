#include "spread.h"

// The compiler turns the loops into SIMD: SSE2 or NEON, which every machine has, or AVX2 where available.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

enum { gray = 0, rgb = 2, indexed = 3, gray_alpha = 4, rgb_alpha = 6 };

void fovea_spread_init(struct fovea_spread *s, const struct fovea_png_image *image) {
  s->depth = image->depth;
  s->color = image->color;
  for (int i = 0; i < 256; i++) {
    const int top = (1 << image->depth) - 1, level = image->depth < 8 ? (i & top) * 255 / top : i;
    for (int c = 0; c < 3; c++) {
      s->table[i][c] = image->color == indexed ? image->palette[3 * i + 2 - c] : (unsigned char)level;
    }
  }
}

// from_table reads indices of 1, 2, 4 or 8 bits, the first in the highest bits of a byte.
static void from_table(const struct fovea_spread *s, const unsigned char *from, unsigned char *to, int width) {
  const int depth = s->depth, mask = (1 << depth) - 1;
  int shift = 8;
  for (int x = 0; x < width; x++, to += 3) {
    shift -= depth;
    const unsigned char *color = s->table[*from >> shift & mask];
    to[0] = color[0];
    to[1] = color[1];
    to[2] = color[2];
    if (shift == 0) {
      shift = 8;
      from++;
    }
  }
}

static inline void grays(const unsigned char *from, unsigned char *to, int width, int pixel) {
  for (int x = 0; x < width; x++, from += pixel, to += 3) {
    to[0] = to[1] = to[2] = from[0];
  }
}

// colors takes the first byte of each sample, the higher one.
static inline void colors(const unsigned char *from, unsigned char *to, int width, int pixel, int sample) {
  for (int x = 0; x < width; x++, from += pixel, to += 3) {
    to[0] = from[2 * sample];
    to[1] = from[sample];
    to[2] = from[0];
  }
}

CLONES void fovea_spread_row(const struct fovea_spread *s, const unsigned char *from, unsigned char *to, int width) {
  const int wide = s->depth == 16;
  switch (s->color) {
  case gray:
    if (s->depth < 8) {
      from_table(s, from, to, width);
    } else if (wide) {
      grays(from, to, width, 2);
    } else {
      grays(from, to, width, 1);
    }
    break;
  case gray_alpha:
    if (wide) {
      grays(from, to, width, 4);
    } else {
      grays(from, to, width, 2);
    }
    break;
  case rgb:
    if (wide) {
      colors(from, to, width, 6, 2);
    } else {
      colors(from, to, width, 3, 1);
    }
    break;
  case rgb_alpha:
    if (wide) {
      colors(from, to, width, 8, 2);
    } else {
      colors(from, to, width, 4, 1);
    }
    break;
  default:
    from_table(s, from, to, width);
  }
}
