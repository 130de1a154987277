#ifndef FOVEA_PNG_SPREAD_H
#define FOVEA_PNG_SPREAD_H

#include "decode.h"

// fovea_spread converts a row's samples to pixels of blue, green and red.
struct fovea_spread {
  int depth, color;
  unsigned char table[256][3]; // of indices, and of gray below 8 bits
};

void fovea_spread_init(struct fovea_spread *s, const struct fovea_png_image *image);

// fovea_spread_row writes 3 × width bytes.
void fovea_spread_row(const struct fovea_spread *s, const unsigned char *from, unsigned char *to, int width);

#endif
