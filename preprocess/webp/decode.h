#ifndef FOVEA_WEBP_DECODE_H
#define FOVEA_WEBP_DECODE_H

#include <stddef.h>

enum fovea_webp_result {
  FOVEA_WEBP_OK,
  FOVEA_WEBP_STOPPED, // *stop was set
  FOVEA_WEBP_TRUNCATED,     // the data ends before the rows do
  FOVEA_WEBP_CORRUPT, // the data is not valid
  FOVEA_WEBP_SIZE,    // the size differs from the requested one
  FOVEA_WEBP_CODES,   // the prefix codes take more than 64 MiB
  FOVEA_WEBP_MEMORY,
};

// fovea_webp_content is what is written of a lossless image: three bytes a pixel.
enum fovea_webp_content {
  FOVEA_WEBP_COLORS, // blue, green, red
  FOVEA_WEBP_ALPHA,  // alpha, three times
  FOVEA_WEBP_PLANE,  // green, three times, of an image without a header: the alpha of a lossy image
};

// Both write height rows of width pixels from the top, without gaps. Another thread may set *stop to 1 to stop decoding. *rows is
// the number of rows written. After an error pixels are undefined.

// fovea_webp_lossless decodes the body of a VP8L chunk (RFC 9649, 3), or the compressed data of an ALPH chunk (2.7.1.2).
enum fovea_webp_result fovea_webp_lossless(const unsigned char *data, size_t size, unsigned char *pixels, int width, int height,
                                           enum fovea_webp_content content, const int *stop, int *rows);

// fovea_webp_lossy decodes a VP8 chunk, including its header, to blue, green and red.
enum fovea_webp_result fovea_webp_lossy(const unsigned char *data, size_t size, unsigned char *pixels, int width, int height,
                                        const int *stop, int *rows);

#endif
