#ifndef FOVEA_RESAMPLE_H
#define FOVEA_RESAMPLE_H

#include <stddef.h>

// fovea_resample_axis is how the results along one axis are computed: result i is the sum of count[i] pixels from first[i] on,
// each times its weight, rounded and shifted down by bits, within 0 and 255. first never decreases.
//
// Weights come in groups of four, which are the taps of four adjacent pixels; those beyond count are 0. A weight w is two
// numbers of 16 bits, w & 4095 and w >> 12: four of the former, then four of the latter, for each of groups groups a result.
struct fovea_resample_axis {
  const int *first, *count;
  const short *weights;
  int n, groups, bits;
};

// fovea_resample resamples an image of 3 bytes a pixel, whose rows are stride bytes apart, and writes y.n rows of x.n pixels to out,
// without gaps. The first pass, over rows unless columns_first, is rounded to 8 bits. Nothing is read beyond the pixels that
// the axes name, except within their rows, of which row_bytes bytes may be read. It returns 0, or -1 if out of memory. Without
// simd it uses only plain C.
int fovea_resample(const unsigned char *from, size_t stride, size_t row_bytes, struct fovea_resample_axis x,
                   struct fovea_resample_axis y, int columns_first, int simd, unsigned char *out);

// fovea_resample_simd reports whether this machine has what simd needs.
int fovea_resample_simd(void);

#endif
