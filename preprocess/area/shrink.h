#ifndef FOVEA_AREA_SHRINK_H
#define FOVEA_AREA_SHRINK_H

#include <stddef.h>

// fovea_area_side is how one side is shrunk: the span from low to high, in pixels, becomes size pixels, of which count from begin
// on are computed.
struct fovea_area_side {
  double low, high;
  int size, begin, count;
};

// fovea_area_shrink shrinks an image of 3 bytes per pixel, whose rows are stride bytes apart, by averaging the area of each target
// pixel, and writes the computed part to out, without gaps. It returns 0, or -1 if out of memory.
int fovea_area_shrink(const unsigned char *from, size_t stride, struct fovea_area_side x, struct fovea_area_side y,
                      unsigned char *out);

#endif
