#include <stdlib.h>

#include "codes.h"
#include "decode.h"
#include "transforms.h"

enum {
  max_distance = 1 << 20, // pixels; above the largest of the 40 distance codes
  most_cache_bits = 11,
  lengths_from = 256, // first length among the symbols of the first code, after the values of green
  cache_from = 256 + 24,
};

// group is the five prefix codes of a part of the image: green, lengths and color cache; red; blue; alpha; distances.
struct group {
  struct code codes[5];
  int is_plain;   // red, blue and alpha take no bits
  int is_uniform; // nor does green, which is no length
  uint32_t plain; // the pixel, without green unless uniform
};

// image is a coded image: the image itself, or one of lower resolution with parameters of its coding.
struct image {
  int width, height;
  struct group *groups;
  const uint32_t *parts; // group of each block of 1 << part_bits pixels; NULL for one group
  int part_bits;
  uint32_t *cache; // of colors, with 1 << cache_bits entries; NULL without
  int cache_bits;
};

struct decoder {
  struct bits bits;
  const int *stop;
  struct transform transforms[4]; // in the order of the encoder
  int count;
  struct tables tables;
  struct image main;
  uint32_t *parts, *window, *spare[2];
  enum fovea_webp_content content;
  unsigned char *pixels;
  int width; // of the image, all transforms undone
  int *rows;
};

static int is_stopped(const struct decoder *d) { return __atomic_load_n(d->stop, __ATOMIC_RELAXED); }

static int blocks(int size, int bits) { return (size + (1 << bits) - 1) >> bits; }

// plane_distance converts a distance code of 1 to 120 to pixels: those near in two dimensions have short codes (RFC 9649,
// 5.2.2). A byte of the table is rows in its upper four bits, and 8 − columns in its lower ones.
static int plane_distance(int code, int width) {
  static const unsigned char plane[120] = {
    0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a, 0x38, 0x05, 0x37, 0x39, 0x15, 0x1b, 0x36, 0x3a,
    0x25, 0x2b, 0x48, 0x04, 0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a, 0x24, 0x2c, 0x58, 0x45, 0x4b, 0x34, 0x3c, 0x03,
    0x57, 0x59, 0x13, 0x1d, 0x56, 0x5a, 0x23, 0x2d, 0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d, 0x68, 0x02, 0x67, 0x69, 0x12, 0x1e,
    0x66, 0x6a, 0x22, 0x2e, 0x54, 0x5c, 0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e, 0x78, 0x01, 0x77, 0x79, 0x53, 0x5d, 0x11, 0x1f,
    0x64, 0x6c, 0x42, 0x4e, 0x76, 0x7a, 0x21, 0x2f, 0x75, 0x7b, 0x31, 0x3f, 0x63, 0x6d, 0x52, 0x5e, 0x00, 0x74, 0x7c, 0x41,
    0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d, 0x51, 0x5f, 0x40, 0x72, 0x7e, 0x61, 0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70,
  };
  const int distance = (plane[code - 1] >> 4) * width + 8 - (plane[code - 1] & 15);
  return distance < 1 ? 1 : distance;
}

// read_number reads the rest of a length or a distance whose prefix is known (RFC 9649, 5.2.2).
static inline int read_number(struct bits *b, int prefix) {
  if (prefix < 4) {
    return prefix + 1;
  }
  const int extra = (prefix - 2) >> 1;
  return ((2 + (prefix & 1)) << extra) + (int)bits_take(b, extra) + 1;
}

static inline uint32_t *cache_entry(const struct image *m, uint32_t pixel) {
  return m->cache + (uint32_t)(0x1E35A7BDu * pixel >> (32 - m->cache_bits));
}

static inline void remember(const struct image *m, const uint32_t *from, const uint32_t *to) {
  for (; m->cache != NULL && from < to; from++) {
    *cache_entry(m, *from) = *from;
  }
}

// line is the state of decoding an image's rows.
struct line {
  uint32_t *row;
  int y, copies, distance; // copies: pixels still to be copied, possibly beyond the row
};

// copy copies earlier pixels, up to the row's end, and returns where it stopped.
static inline int copy(struct line *l, int x, int width) {
  const int n = l->copies < width - x ? l->copies : width - x;
  uint32_t *to = l->row + x;
  const uint32_t *from = to - l->distance;
  if (l->distance >= n) {
    memcpy(to, from, n * sizeof *to);
  } else {
    for (int i = 0; i < n; i++) {
      to[i] = from[i];
    }
  }
  l->copies -= n;
  return x + n;
}

// decode_row decodes one row.
static enum fovea_webp_result decode_row(struct bits *shared, const struct image *m, struct line *l) {
  struct bits b = *shared; // in registers
  const int width = m->width;
  const uint32_t *parts = m->parts == NULL ? NULL : m->parts + (size_t)(l->y >> m->part_bits) * blocks(width, m->part_bits);
  const struct group *g = m->groups;
  int part_end = parts == NULL ? width : 0, remembered = 0;
  int x = copy(l, 0, width);
  while (x < width) {
    if (x >= part_end) {
      g = m->groups + parts[x >> m->part_bits];
      part_end = ((x >> m->part_bits) + 1) << m->part_bits;
    }
    if (g->is_uniform) {
      for (const int end = part_end < width ? part_end : width; x < end; x++) {
        l->row[x] = g->plain;
      }
      continue;
    }
    bits_fill(&b);
    const uint32_t s = symbol(&g->codes[0], &b);
    if (s < lengths_from) {
      uint32_t pixel = g->plain | s << 8;
      if (!g->is_plain) {
        const uint32_t red = symbol(&g->codes[1], &b), blue = symbol(&g->codes[2], &b);
        if (g->codes[3].mask != 0) {
          bits_fill(&b);
        }
        pixel = symbol(&g->codes[3], &b) << 24 | red << 16 | s << 8 | blue;
      }
      l->row[x++] = pixel;
    } else if (s < cache_from) {
      l->copies = read_number(&b, (int)s - lengths_from);
      bits_fill(&b);
      const int prefix = (int)symbol(&g->codes[4], &b), code = read_number(&b, prefix);
      l->distance = code > 120 ? code - 120 : plane_distance(code, width);
      const size_t before = (size_t)l->y * width + x, behind = (size_t)m->height * width - before;
      if (bits_ended(&b) || (size_t)l->distance > before || (size_t)l->copies > behind) {
        return bits_ended(&b) ? FOVEA_WEBP_TRUNCATED : FOVEA_WEBP_CORRUPT;
      }
      x = copy(l, x, width);
    } else {
      remember(m, l->row + remembered, l->row + x);
      remembered = x;
      l->row[x++] = m->cache[s - cache_from];
    }
    if (bits_ended(&b)) {
      return FOVEA_WEBP_TRUNCATED;
    }
  }
  remember(m, l->row + remembered, l->row + width);
  *shared = b;
  return FOVEA_WEBP_OK;
}

// decode_image decodes an image whose codes were read into a buffer of capacity pixels, and calls done for each row. A buffer
// smaller than the image must hold max_distance pixels and two rows.
static enum fovea_webp_result decode_image(struct decoder *d, const struct image *m, uint32_t *room, size_t capacity,
                                           void (*done)(struct decoder *, const uint32_t *, int)) {
  struct line l = {.row = room};
  for (; l.y < m->height; l.y++) {
    if (is_stopped(d)) {
      return FOVEA_WEBP_STOPPED;
    }
    if (l.row + m->width > room + capacity) {
      memmove(room, l.row - max_distance, max_distance * sizeof *room);
      l.row = room + max_distance;
    }
    const enum fovea_webp_result result = decode_row(&d->bits, m, &l);
    if (result != FOVEA_WEBP_OK) {
      return result;
    }
    if (done != NULL) {
      done(d, l.row, l.y);
    }
    l.row += m->width;
  }
  return FOVEA_WEBP_OK;
}

// read_group reads the five codes of a group.
static enum fovea_webp_result read_group(struct decoder *d, const struct image *m, struct group *g) {
  const int symbols[5] = {cache_from + (m->cache_bits > 0 ? 1 << m->cache_bits : 0), 256, 256, 256, 40};
  if (is_stopped(d)) {
    return FOVEA_WEBP_STOPPED;
  }
  for (int i = 0; i < 5; i++) {
    const enum fovea_webp_result result = read_code(&d->bits, symbols[i], &d->tables, &g->codes[i]);
    if (result != FOVEA_WEBP_OK) {
      return result;
    }
  }
  const struct code *c = g->codes;
  g->is_plain = c[1].mask == 0 && c[2].mask == 0 && c[3].mask == 0;
  g->plain = 0;
  if (g->is_plain) {
    g->plain = (uint32_t)c[3].table->value << 24 | (uint32_t)c[1].table->value << 16 | c[2].table->value;
    g->is_uniform = c[0].mask == 0 && c[0].table->value < lengths_from;
    g->plain |= g->is_uniform ? (uint32_t)c[0].table->value << 8 : 0;
  }
  return FOVEA_WEBP_OK;
}

// read_cache reads whether there is a color cache, and allocates it.
static enum fovea_webp_result read_cache(struct decoder *d, struct image *m) {
  if (!bits_read(&d->bits, 1)) {
    return FOVEA_WEBP_OK;
  }
  m->cache_bits = (int)bits_read(&d->bits, 4);
  if (m->cache_bits < 1 || m->cache_bits > most_cache_bits) {
    return FOVEA_WEBP_CORRUPT;
  }
  m->cache = calloc((size_t)1 << m->cache_bits, sizeof *m->cache);
  return m->cache == NULL ? FOVEA_WEBP_MEMORY : FOVEA_WEBP_OK;
}

static void image_free(struct image *m) {
  free(m->groups);
  free(m->cache);
}

// read_small decodes an image of lower resolution; *out is to be freed.
static enum fovea_webp_result read_small(struct decoder *d, int width, int height, uint32_t **out) {
  struct image m = {.width = width, .height = height};
  const size_t pixels = (size_t)width * height;
  enum fovea_webp_result result = read_cache(d, &m);
  m.groups = calloc(1, sizeof *m.groups);
  *out = malloc(pixels * sizeof **out);
  if (m.groups == NULL || *out == NULL) {
    result = FOVEA_WEBP_MEMORY;
  }
  if (result == FOVEA_WEBP_OK) {
    result = read_group(d, &m, m.groups);
  }
  if (result == FOVEA_WEBP_OK) {
    result = decode_image(d, &m, *out, pixels, NULL);
  }
  image_free(&m);
  return result;
}

// read_groups reads the groups of the image itself, and discards unused ones.
static enum fovea_webp_result read_groups(struct decoder *d, struct image *m) {
  const int has_parts = (int)bits_read(&d->bits, 1);
  size_t pixels = 0;
  uint32_t last = 0;
  if (has_parts) {
    m->part_bits = 2 + (int)bits_read(&d->bits, 3);
    const int w = blocks(m->width, m->part_bits), h = blocks(m->height, m->part_bits);
    const enum fovea_webp_result result = read_small(d, w, h, &d->parts);
    if (result != FOVEA_WEBP_OK) {
      return result;
    }
    m->parts = d->parts;
    pixels = (size_t)w * h;
    for (size_t i = 0; i < pixels; i++) {
      d->parts[i] = d->parts[i] >> 8 & 0xFFFF;
      last = d->parts[i] > last ? d->parts[i] : last;
    }
  }
  m->groups = calloc((size_t)last + 1, sizeof *m->groups);
  if (m->groups == NULL) {
    return FOVEA_WEBP_MEMORY;
  }
  for (uint32_t i = 0; i <= last; i++) {
    const enum fovea_webp_result result = read_group(d, m, &m->groups[i]);
    if (result != FOVEA_WEBP_OK) {
      return result;
    }
  }
  return FOVEA_WEBP_OK;
}

// read_palette reads up to 256 colors, each as the difference to the previous one, and pads with 0. With few colors several
// pixels are packed into one, and the coded image is narrower.
static enum fovea_webp_result read_palette(struct decoder *d, struct transform *t, int *width) {
  const int colors = 1 + (int)bits_read(&d->bits, 8);
  t->bits = colors > 16 ? 0 : colors > 4 ? 1 : colors > 2 ? 2 : 3;
  uint32_t *given = NULL;
  enum fovea_webp_result result = read_small(d, colors, 1, &given);
  t->data = calloc(256, sizeof *t->data);
  if (result == FOVEA_WEBP_OK && t->data == NULL) {
    result = FOVEA_WEBP_MEMORY;
  }
  for (int i = 0; result == FOVEA_WEBP_OK && i < colors; i++) {
    t->data[i] = i == 0 ? given[0] : add_pixels(given[i], t->data[i - 1]);
  }
  free(given);
  *width = blocks(*width, t->bits);
  return result;
}

// read_transform reads the next transform. Each may occur once.
static enum fovea_webp_result read_transform(struct decoder *d, int *width, int height) {
  struct transform *t = &d->transforms[d->count];
  *t = (struct transform){.kind = (enum transform_kind)bits_read(&d->bits, 2), .width = *width};
  for (int i = 0; i < d->count; i++) {
    if (d->transforms[i].kind == t->kind) {
      return FOVEA_WEBP_CORRUPT;
    }
  }
  d->count++;
  switch (t->kind) {
  case color_indexing:
    return read_palette(d, t, width);
  case subtract_green:
    return FOVEA_WEBP_OK;
  case predictor:
    t->rows = calloc(2 * (size_t)(*width + 1), sizeof *t->rows);
    if (t->rows == NULL) {
      return FOVEA_WEBP_MEMORY;
    }
    break;
  case cross_color:
    break;
  }
  t->bits = 2 + (int)bits_read(&d->bits, 3);
  return read_small(d, blocks(*width, t->bits), blocks(height, t->bits), &t->data);
}

// write_row undoes the transforms on a row and writes its pixels.
static void write_row(struct decoder *d, const uint32_t *row, int y) {
  for (int i = d->count - 1; i >= 0; i--) {
    struct transform *t = &d->transforms[i];
    row = undo(t, y, row, d->spare[t->kind == color_indexing]);
  }
  unsigned char *to = d->pixels + 3 * (size_t)y * d->width;
  switch (d->content) {
  case FOVEA_WEBP_COLORS:
    to_bgr(row, to, d->width);
    break;
  case FOVEA_WEBP_ALPHA:
    repeat(row, 24, to, d->width);
    break;
  case FOVEA_WEBP_PLANE:
    repeat(row, 8, to, d->width);
  }
  *d->rows = y + 1;
}

// read_header reads the header: a byte, 14 bits of width − 1 and of height − 1, whether there is alpha, and a version.
static enum fovea_webp_result read_header(struct decoder *d, int width, int height) {
  if (bits_read(&d->bits, 8) != 0x2F) {
    return FOVEA_WEBP_CORRUPT;
  }
  const int w = 1 + (int)bits_read(&d->bits, 14), h = 1 + (int)bits_read(&d->bits, 14);
  bits_read(&d->bits, 1);
  if (bits_read(&d->bits, 3) != 0) {
    return FOVEA_WEBP_CORRUPT;
  }
  return w == width && h == height ? FOVEA_WEBP_OK : FOVEA_WEBP_SIZE;
}

static enum fovea_webp_result decode(struct decoder *d, int width, int height) {
  enum fovea_webp_result result = d->content == FOVEA_WEBP_PLANE ? FOVEA_WEBP_OK : read_header(d, width, height);
  int coded = width;
  while (result == FOVEA_WEBP_OK && bits_read(&d->bits, 1)) {
    if (d->count == 4) {
      return FOVEA_WEBP_CORRUPT;
    }
    result = read_transform(d, &coded, height);
  }
  d->main = (struct image){.width = coded, .height = height};
  if (result == FOVEA_WEBP_OK) {
    result = read_cache(d, &d->main);
  }
  if (result == FOVEA_WEBP_OK) {
    result = read_groups(d, &d->main);
  }
  if (result != FOVEA_WEBP_OK) {
    return result;
  }
  const size_t all = (size_t)coded * height, capacity = all < 2 * max_distance ? all : 2 * max_distance;
  d->window = malloc(capacity * sizeof *d->window);
  d->spare[0] = malloc(width * sizeof *d->spare[0]);
  d->spare[1] = malloc(width * sizeof *d->spare[1]);
  if (d->window == NULL || d->spare[0] == NULL || d->spare[1] == NULL) {
    return FOVEA_WEBP_MEMORY;
  }
  return decode_image(d, &d->main, d->window, capacity, write_row);
}

enum fovea_webp_result fovea_webp_lossless(const unsigned char *data, size_t size, unsigned char *pixels, int width, int height,
                                           enum fovea_webp_content content, const int *stop, int *rows) {
  struct decoder *d = calloc(1, sizeof *d);
  if (d == NULL) {
    return FOVEA_WEBP_MEMORY;
  }
  d->bits = (struct bits){.next = data, .end = data + size};
  d->stop = stop, d->content = content, d->pixels = pixels, d->width = width, d->rows = rows;
  *rows = 0;
  const enum fovea_webp_result result = decode(d, width, height);
  for (int i = 0; i < d->count; i++) {
    free(d->transforms[i].data);
    free(d->transforms[i].rows);
  }
  image_free(&d->main);
  tables_free(&d->tables);
  free(d->parts);
  free(d->window);
  free(d->spare[0]);
  free(d->spare[1]);
  free(d);
  return result;
}
