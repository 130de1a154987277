#ifndef FOVEA_JPEG_DECODE_H
#define FOVEA_JPEG_DECODE_H

#include <stddef.h>

// fovea_jpeg_decode decodes a JPEG of 1, 3 or 4 channels at 1/shrink of its size (1, 2, 4 or 8) into height rows of
// width pixels: blue, green, red, from the top, without gaps. Only the columns from..to are filled for sure. It returns
// NULL, or what is wrong, to be freed; pixels then hold anything. That data of a block is missing is an error, for which
// *missing is set to 1, and so is that another thread sets *stop to 1 meanwhile. *checks counts how often that was looked
// at.
char *fovea_jpeg_decode(const unsigned char *data, size_t size, int shrink, unsigned char *pixels, int width, int height,
                        int from, int to, const int *stop, long *checks,
                        int *missing);

#endif
