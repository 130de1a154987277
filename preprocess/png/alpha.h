#ifndef FOVEA_PNG_ALPHA_H
#define FOVEA_PNG_ALPHA_H

#include "decode.h"

// fovea_alpha_row converts a row's samples to three times their alpha, in 3 × width bytes: the alpha channel, the palette
// entry's alpha, or 0 where a pixel has the transparent color.
void fovea_alpha_row(const struct fovea_png_image *image, const unsigned char *from, unsigned char *to, int width);

#endif
