#include "decode.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "alpha.h"
#include "filter.h"
#include "spread.h"

enum {
  batch = 1 << 16, // bytes of rows inflated at once: zlib is slow in small pieces
  step = 1 << 18,  // bytes inflated between two checks of the stop flag: less than a millisecond
  margin = 16,     // bytes before and after a row that SIMD may read or write
};

// decoder is the state of a decode.
struct decoder {
  const struct fovea_png_image *image;
  z_stream z;
  const unsigned char *next; // the next chunk
  size_t left;               // bytes from there on
  const int *stop;
  size_t most_blocks;
  struct fovea_png_counts *counts;
  int bits;                      // per pixel
  unsigned char *raw;            // filtered rows, each after its filter type
  unsigned char *row, *above;    // unfiltered, after a margin
  unsigned char *line;           // the pixels of an interlaced row
  struct fovea_spread spread;
};

static unsigned be32(const unsigned char *b) { return (unsigned)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]; }

// next_chunk passes the next IDAT chunk to zlib, or what there is of it in a truncated file. Ancillary chunks in between are
// skipped. It returns 0 if there is none.
static int next_chunk(struct decoder *d) {
  while (d->left >= 8) {
    const size_t length = be32(d->next), there = d->left - 8;
    const unsigned char *type = d->next + 4, *body = d->next + 8;
    const int is_idat = memcmp(type, "IDAT", 4) == 0;
    if (!is_idat && !(type[0] & 0x20)) {
      return 0;
    }
    const size_t passed = length + 4 < there ? length + 4 : there; // with the checksum
    d->next = body + passed;
    d->left = there - passed;
    if (is_idat && length > 0 && there > 0) {
      d->z.next_in = (unsigned char *)body;
      d->z.avail_in = length < there ? length : there;
      return 1;
    }
  }
  return 0;
}

// inflate_rows inflates exactly n bytes. It is not called again once the rows are complete, so that what follows them is never
// inflated. Blocks are counted since empty ones cost time and produce nothing.
static enum fovea_png_result inflate_rows(struct decoder *d, unsigned char *to, size_t n) {
  d->z.next_out = to;
  while (n > 0) {
    if (__atomic_load_n(d->stop, __ATOMIC_RELAXED)) {
      return FOVEA_PNG_STOPPED;
    }
    if (d->z.avail_in == 0 && !next_chunk(d)) {
      return FOVEA_PNG_TRUNCATED;
    }
    const uInt some = n < step ? n : step;
    d->z.avail_out = some;
    const int status = inflate(&d->z, Z_BLOCK); // returns at the end of each block
    n -= some - d->z.avail_out;
    d->counts->inflated += some - d->z.avail_out;
    if (status == Z_STREAM_END) {
      return n == 0 ? FOVEA_PNG_OK : FOVEA_PNG_ROWS;
    }
    if (status != Z_OK && status != Z_BUF_ERROR) {
      return status == Z_MEM_ERROR ? FOVEA_PNG_MEMORY : FOVEA_PNG_CORRUPT;
    }
    if ((d->z.data_type & 128) && ++d->counts->blocks > d->most_blocks) {
      return FOVEA_PNG_BLOCKS;
    }
  }
  return FOVEA_PNG_OK;
}

// pass is a part of the image whose rows are stored consecutively: every dx-th column from x on of every dy-th row from y
// on.
struct pass {
  int x, y, dx, dy;
};

// The passes of Adam7 (PNG, third edition, 8.1).
static const struct pass adam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
static const struct pass whole[] = {{0, 0, 1, 1}};

static size_t row_bytes(const struct decoder *d, size_t width) { return (width * d->bits + 7) / 8; }

// convert writes the pixels of a row, or their alpha.
static void convert(struct decoder *d, unsigned char *to, int width) {
  if (d->image->alpha) {
    fovea_alpha_row(d->image, d->row, to, width);
  } else {
    fovea_spread_row(&d->spread, d->row, to, width);
  }
}

// put writes a row of a pass to its pixels in the image.
static void put(struct decoder *d, unsigned char *to, int width, int dx) {
  if (dx == 1) {
    convert(d, to, width);
    return;
  }
  convert(d, d->line, width);
  const unsigned char *from = d->line;
  for (int x = 0; x < width; x++, from += 3, to += 3 * dx) {
    memcpy(to, from, 3);
  }
}

static enum fovea_png_result decode_pass(struct decoder *d, struct pass p, unsigned char *pixels) {
  const int w = d->image->width, h = d->image->height;
  if (p.x >= w || p.y >= h) {
    return FOVEA_PNG_OK; // a pass without pixels has no rows either
  }
  const int width = (w - p.x + p.dx - 1) / p.dx, height = (h - p.y + p.dy - 1) / p.dy;
  const size_t bytes = row_bytes(d, width), at_once = bytes + 1 < batch ? batch / (bytes + 1) : 1;
  const int pixel = d->bits < 8 ? 1 : d->bits / 8;
  unsigned char *to = pixels + 3 * ((size_t)p.y * w + p.x);
  memset(d->above, 0, bytes);
  for (int y = 0; y < height;) {
    const int rows = (size_t)(height - y) < at_once ? height - y : (int)at_once;
    const enum fovea_png_result result = inflate_rows(d, d->raw, rows * (bytes + 1));
    if (result != FOVEA_PNG_OK) {
      return result;
    }
    for (int i = 0; i < rows; i++, y++, to += 3 * (size_t)w * p.dy) {
      const unsigned char *filtered = d->raw + i * (bytes + 1);
      if (!fovea_unfilter(filtered[0], filtered + 1, d->above, d->row, bytes, pixel)) {
        return FOVEA_PNG_FILTER;
      }
      put(d, to, width, p.dx);
      unsigned char *last = d->above;
      d->above = d->row;
      d->row = last;
    }
  }
  return FOVEA_PNG_OK;
}

// prepare allocates the memory of a decode besides the image: a few rows.
static int prepare(struct decoder *d, unsigned char **memory) {
  const struct fovea_png_image *image = d->image;
  const size_t bytes = row_bytes(d, image->width), whole_row = margin + bytes + margin;
  const size_t raw = (bytes + 1 > batch ? bytes + 1 : batch) + margin, line = image->interlaced ? 3 * (size_t)image->width : 0;
  *memory = malloc(raw + 2 * whole_row + line);
  if (*memory == NULL) {
    return 0;
  }
  d->raw = *memory;
  d->row = d->raw + raw + margin;
  d->above = d->row + whole_row;
  d->line = d->above + bytes + margin;
  memset(d->row - margin, 0, 2 * whole_row); // zeros to the left of a row; never overwritten
  memset(d->raw + raw - margin, 0, margin);
  return inflateInit2(&d->z, MAX_WBITS) == Z_OK && inflateValidate(&d->z, 0) == Z_OK;
}

enum fovea_png_result fovea_png_decode(const struct fovea_png_image *image, const unsigned char *chunks, size_t size,
                                       unsigned char *pixels, const int *stop, struct fovea_png_counts *counts) {
  static const int channels[] = {1, 0, 3, 1, 2, 0, 4};
  struct decoder d = {.image = image, .next = chunks, .left = size, .stop = stop, .counts = counts};
  d.bits = channels[image->color] * image->depth;
  // Compressors begin a block every few kilobytes. Some end one after each row.
  d.most_blocks = (1 << 14) + row_bytes(&d, image->width) * image->height / 1024;
  *counts = (struct fovea_png_counts){0};
  fovea_spread_init(&d.spread, image);
  unsigned char *memory = NULL;
  enum fovea_png_result result = FOVEA_PNG_MEMORY;
  if (prepare(&d, &memory)) {
    const struct pass *pass = image->interlaced ? adam7 : whole;
    const struct pass *end = image->interlaced ? adam7 + 7 : whole + 1;
    result = FOVEA_PNG_OK;
    for (; result == FOVEA_PNG_OK && pass < end; pass++) {
      result = decode_pass(&d, *pass, pixels);
    }
  }
  inflateEnd(&d.z);
  free(memory);
  return result;
}
