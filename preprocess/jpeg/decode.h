#ifndef FOVEA_JPEG_DECODE_H
#define FOVEA_JPEG_DECODE_H

#include <stddef.h>

// fovea_jpeg_decode decodes a JPEG of 1, 3 or 4 channels at 1/shrink of its size (1, 2, 4 or 8) into height rows of
// width pixels: blue, green, red, from the top, without gaps. Columns outside from..to are undefined. It returns NULL, or an
// error message to be freed; pixels are undefined then. Missing data is an error and sets *missing to 1. Another thread may set
// *stop to 1 to stop decoding with an error; *checks counts the checks of that.
char *fovea_jpeg_decode(const unsigned char *data, size_t size, int shrink, unsigned char *pixels, int width, int height,
                        int from, int to, const int *stop, long *checks,
                        int *missing);

#endif
