#include "alpha.h"

#include <string.h>

enum { gray = 0, rgb = 2, indexed = 3, gray_alpha = 4, rgb_alpha = 6 };

// index_at reads the sample of 1, 2, 4 or 8 bits of a pixel, the first in the highest bits of a byte.
static int index_at(const unsigned char *from, int x, int depth) {
  const int bit = x * depth;
  return from[bit / 8] >> (8 - depth - bit % 8) & ((1 << depth) - 1);
}

static unsigned char alpha_at(const struct fovea_png_image *image, const unsigned char *from, int x) {
  const int sample = image->depth == 16 ? 2 : 1; // bytes
  switch (image->color) {
  case gray_alpha:
    return from[(2 * x + 1) * sample]; // of 16 bits the higher eight
  case rgb_alpha:
    return from[(4 * x + 3) * sample];
  case indexed:
    return image->alphas[index_at(from, x, image->depth)];
  case rgb: {
    unsigned char pixel[6] = {0};
    for (int c = 0; c < 3; c++) {
      memcpy(pixel + 2 * c + 2 - sample, from + (3 * x + c) * sample, sample);
    }
    return memcmp(pixel, image->transparent, 6) ? 255 : 0;
  }
  }
  if (sample == 2) {
    return memcmp(from + 2 * x, image->transparent, 2) ? 255 : 0;
  }
  return index_at(from, x, image->depth) == image->transparent[1] ? 0 : 255;
}

void fovea_alpha_row(const struct fovea_png_image *image, const unsigned char *from, unsigned char *to, int width) {
  for (int x = 0; x < width; x++, to += 3) {
    to[0] = to[1] = to[2] = alpha_at(image, from, x);
  }
}
