#ifndef FOVEA_AREA_SHRINK_H
#define FOVEA_AREA_SHRINK_H

#include <stddef.h>

// fovea_area_side is how one side is shrunk: the span of low to high, in pixels, becomes size pixels, of which count are
// wanted from begin on.
struct fovea_area_side {
  double low, high;
  int size, begin, count;
};

// fovea_area_shrink shrinks an image of 3 bytes a pixel, whose rows are stride bytes apart, by the mean over the area
// that falls on a pixel, and writes the wanted part to out, rows without gaps. It returns 0, or -1 without memory.
int fovea_area_shrink(const unsigned char *from, size_t stride, struct fovea_area_side x, struct fovea_area_side y,
                      unsigned char *out);

#endif
