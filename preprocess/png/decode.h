#ifndef FOVEA_PNG_DECODE_H
#define FOVEA_PNG_DECODE_H

#include <stddef.h>

// fovea_png_image is the content of IHDR and PLTE (PNG, third edition, 11.2.1 and 11.2.2), already validated.
struct fovea_png_image {
  int width, height;            // pixels
  int depth, color, interlaced; // bits of a sample or of a palette index; color type; Adam7 or not
  unsigned char palette[768];   // red, green, blue; missing entries are black
  int alpha;                    // decode alpha instead of colors
  unsigned char alphas[256];    // of the palette's entries (tRNS)
  unsigned char transparent[6]; // the transparent color of gray or rgb (tRNS): big-endian samples of 16 bits
};

enum fovea_png_result {
  FOVEA_PNG_OK,
  FOVEA_PNG_STOPPED,     // *stop was set
  FOVEA_PNG_TRUNCATED,         // the IDAT chunks end before the rows do
  FOVEA_PNG_ROWS,        // the compressed data ends before the rows do
  FOVEA_PNG_CORRUPT,     // the compressed data is not valid
  FOVEA_PNG_FILTER,      // a row has an unknown filter
  FOVEA_PNG_BLOCKS,      // the compressed data has too many blocks
  FOVEA_PNG_MEMORY,
};

// fovea_png_counts is the work done, for tests.
struct fovea_png_counts {
  size_t inflated; // bytes of filtered rows
  size_t blocks;   // of compressed data
};

// fovea_png_decode decodes the IDAT chunks, the first of which begins at chunks, into height rows of width pixels:
// blue, green, red, or three times their alpha, from the top, without gaps. Samples of 16 bits lose their lower eight. No more
// is inflated than the rows need. Another thread may set *stop to 1 to stop decoding. After an error pixels are undefined.
enum fovea_png_result fovea_png_decode(const struct fovea_png_image *image, const unsigned char *chunks, size_t size,
                                       unsigned char *pixels, const int *stop, struct fovea_png_counts *counts);

#endif
