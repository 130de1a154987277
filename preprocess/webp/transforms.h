#ifndef FOVEA_WEBP_TRANSFORMS_H
#define FOVEA_WEBP_TRANSFORMS_H

#include <stdint.h>

enum transform_kind { predictor, cross_color, subtract_green, color_indexing };

// transform was applied to the image before coding (RFC 9649, 4), and is undone row by row. Pixels are alpha,
// red, green and blue from the highest byte down.
struct transform {
  enum transform_kind kind;
  int bits;       // a block is 1 << bits pixels wide and high; with color_indexing a pixel holds 1 << bits of them
  int width;      // pixels of a row after undoing it
  uint32_t *data; // of each block, or the palette
  uint32_t *rows; // predictor: this row and the one above, each of width + 1 pixels
};

// add_pixels adds each of the four bytes.
static inline uint32_t add_pixels(uint32_t a, uint32_t b) {
  const uint32_t odd = 0xFF00FF00, even = 0x00FF00FF;
  return (((a & odd) + (b & odd)) & odd) | (((a & even) + (b & even)) & even);
}

// undo undoes a transform on row y and returns where the result is: in spare, of width pixels, or in the
// transform's own rows. The row may lie in spare, except for color_indexing.
const uint32_t *undo(struct transform *t, int y, const uint32_t *row, uint32_t *spare);

// to_bgr writes 3 × width bytes, and repeat one byte of each pixel three times, from bit shift on.
void to_bgr(const uint32_t *row, unsigned char *to, int width);
void repeat(const uint32_t *row, int shift, unsigned char *to, int width);

#endif
