// The decoder process: the program runs itself again to decode one image, and this code replaces its main function.
#ifndef FOVEA_HEIF_CHILD_H
#define FOVEA_HEIF_CHILD_H

#include <stddef.h>
#include <stdint.h>

// fovea_decoder_name is the first argument of a decoder process.
#define FOVEA_DECODER_NAME "fovea image decoder"

enum fovea_codec { FOVEA_AV1 = 1, FOVEA_HEVC = 2 };

// The exit statuses of a decoder process.
enum fovea_status {
  FOVEA_OK = 0,
  FOVEA_CORRUPT = 10,     // the data is not valid
  FOVEA_UNSUPPORTED = 11, // valid, and of a kind that is not decoded
  FOVEA_SIZE = 12,        // the frame has another size than the request says
  FOVEA_MEMORY = 13,      // more memory than the limit
  FOVEA_REQUEST = 14,     // the request is not complete
};

enum { FOVEA_FROM_STREAM = 0xFFFF }; // a matrix, primaries or range that the stream says

// fovea_request is what a decoder process reads first, in the machine's byte order. Then come struct fovea_part for each tile, the
// configuration (the body of the hvcC box, empty for AV1) and the data of each tile. It answers with the pixels of each tile, three
// bytes each: blue, green and red, or three times the luma.
struct fovea_request {
  uint32_t codec, alpha;
  uint32_t width, height; // of each tile, in pixels
  uint32_t matrix, primaries, full_range;
  uint32_t parts, config_bytes;
  uint32_t cpu_ms;
  uint64_t memory; // limit in bytes
};

// fovea_part is a tile: the size of its data, and which of its pixels are wanted.
struct fovea_part {
  uint32_t bytes, left, top, width, height;
};

enum fovea_chroma { FOVEA_GRAY, FOVEA_420, FOVEA_422, FOVEA_444 };

// fovea_frame is a decoded tile, of bytes, or of 16-bit numbers if it has more than 8 bits.
struct fovea_frame {
  const void *planes[3]; // luma, blue and red differences
  ptrdiff_t strides[3];  // bytes
  int width, height, depth;
  enum fovea_chroma chroma;
  int matrix, primaries, full_range; // as ISO/IEC 23091-2 numbers them
  int nearest;                       // repeat chroma instead of interpolating it
};

// Each codec prepares itself, then decodes one tile after another. A frame is valid until the next one.
enum fovea_status fovea_av1_open(const struct fovea_request *r);
enum fovea_status fovea_av1_decode(const uint8_t *data, size_t size, struct fovea_frame *out);
enum fovea_status fovea_hevc_open(const struct fovea_request *r);
enum fovea_status fovea_hevc_decode(const uint8_t *config, size_t config_bytes, const uint8_t *data, size_t size, struct fovea_frame *out);

// fovea_converter turns a frame's rows into blue, green and red.
struct fovea_converter {
  const struct fovea_frame *frame;
  int alpha;            // write luma instead
  int y[3], u[3], v[3]; // of blue, green and red, in 1/65536
  int first;            // luma of black
  uint16_t *rows[2];    // chroma of a row at full width
  uint16_t *column;     // chroma of a row at its own width
};

// fovea_converter_open allocates; it is used once per frame and freed by fovea_converter_close.
enum fovea_status fovea_converter_open(struct fovea_converter *c, const struct fovea_frame *p, int alpha);
void fovea_converter_close(struct fovea_converter *c);
// fovea_convert writes the pixels of row y of the frame.
void fovea_convert(struct fovea_converter *c, int y, uint8_t *to);

// fovea_sandbox leaves the process only what decoding takes: reading and writing what is open, memory, and its end.
void fovea_sandbox(void);

#endif
