#include <stdlib.h>

#include "child.h"

enum { unspecified = 2, max_depth = 12 };

// weights sets the share of red and blue in luma (ISO/IEC 23091-2, tables 2 and 4). Unspecified is BT.601, as in libavif and libheif.
static int weights(int matrix, int primaries, double *red, double *blue) {
  static const double of_primaries[13][2] = {
      [1] = {0.2126, 0.0722}, [4] = {0.3, 0.11}, [5] = {0.299, 0.114}, [6] = {0.299, 0.114}, [7] = {0.212, 0.087}, [9] = {0.2627, 0.0593},
  };
  int by = matrix;
  switch (matrix) {
    case 12: // from the primaries, whose numbers are those of the matrices but for these
      by = primaries;
      break;
    case unspecified: by = 6; break;
    case 3: // reserved
    case 8:
    case 0: return 0;
  }
  if (matrix == 12 && by == unspecified) {
    by = 1;
  }
  if (by < 0 || by > 12 || of_primaries[by][0] == 0) {
    return 0;
  }
  *red = of_primaries[by][0];
  *blue = of_primaries[by][1];
  return 1;
}

static int fixed(double v) { return (int)(v * 65536 + (v < 0 ? -0.5 : 0.5)); }

// set_colors sets what luma and chroma count in each color.
static enum fovea_status set_colors(struct fovea_converter *c, const struct fovea_frame *p) {
  const double most = (1 << p->depth) - 1, step = 1 << (p->depth - 8);
  const double luma = 255 / (p->full_range ? most : 219 * step), chroma = 255 / (p->full_range ? most : 224 * step);
  c->first = p->full_range ? 0 : (int)(16 * step);
  for (int i = 0; i < 3; i++) {
    c->y[i] = fixed(luma);
    c->u[i] = c->v[i] = 0;
  }
  double red = 0, blue = 0;
  if (c->alpha || p->chroma == FOVEA_GRAY) {
    return FOVEA_OK;
  }
  if (p->matrix == 8) { // YCgCo: u is green, v is orange
    static const int u[3] = {-1, 1, -1}, v[3] = {-1, 0, 1};
    for (int i = 0; i < 3; i++) {
      c->u[i] = u[i] * fixed(chroma);
      c->v[i] = v[i] * fixed(chroma);
    }
    return FOVEA_OK;
  }
  if (!weights(p->matrix, p->primaries, &red, &blue)) {
    return FOVEA_UNSUPPORTED;
  }
  const double green = 1 - red - blue;
  c->u[0] = fixed(2 * (1 - blue) * chroma);
  c->u[1] = fixed(-2 * (1 - blue) * blue / green * chroma);
  c->v[1] = fixed(-2 * (1 - red) * red / green * chroma);
  c->v[2] = fixed(2 * (1 - red) * chroma);
  return FOVEA_OK;
}

enum fovea_status fovea_converter_open(struct fovea_converter *c, const struct fovea_frame *p, int alpha) {
  *c = (struct fovea_converter){.frame = p, .alpha = alpha};
  if (p->depth < 8 || p->depth > max_depth || (p->matrix == 0 && !alpha && p->chroma != FOVEA_444 && p->chroma != FOVEA_GRAY)) {
    return FOVEA_UNSUPPORTED;
  }
  if (p->matrix != 0 || alpha || p->chroma == FOVEA_GRAY) {
    const enum fovea_status s = set_colors(c, p);
    if (s != FOVEA_OK) {
      return s;
    }
  } else { // the planes are green, blue and red
    struct fovea_frame gray = *p;
    gray.chroma = FOVEA_GRAY;
    set_colors(c, &gray);
  }
  const size_t width = (size_t)p->width + 2;
  c->rows[0] = malloc(width * sizeof **c->rows);
  c->rows[1] = malloc(width * sizeof **c->rows);
  c->column = malloc(width * sizeof *c->column);
  return c->rows[0] != NULL && c->rows[1] != NULL && c->column != NULL ? FOVEA_OK : FOVEA_MEMORY;
}

void fovea_converter_close(struct fovea_converter *c) {
  free(c->rows[0]);
  free(c->rows[1]);
  free(c->column);
}

static const void *row_of(const struct fovea_frame *p, int plane, int y) { return (const uint8_t *)p->planes[plane] + y * p->strides[plane]; }

static inline uint8_t clip(int v) {
  v = (v + (1 << 15)) >> 16;
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

// SAMPLES defines the functions of a type of sample.
#define SAMPLES(TYPE)                                                                                                    \
  /* blend_TYPE is three parts of the nearer row of chroma and one of the other. */                                      \
  static void blend_##TYPE(uint16_t *restrict to, const TYPE *restrict near, const TYPE *restrict far, int width) {      \
    for (int x = 0; x < width; x++) {                                                                                    \
      to[x] = (uint16_t)(3 * near[x] + far[x]);                                                                          \
    }                                                                                                                    \
  }                                                                                                                      \
  static void widen_##TYPE(uint16_t *restrict to, const TYPE *restrict from, int width) {                                \
    for (int x = 0; x < width; x++) {                                                                                    \
      to[x] = from[x];                                                                                                   \
    }                                                                                                                    \
  }                                                                                                                      \
  static void twice_##TYPE(uint16_t *restrict to, const TYPE *restrict from, int width) {                                \
    for (int x = 0; x < width; x++) {                                                                                    \
      to[x] = from[x / 2];                                                                                               \
    }                                                                                                                    \
  }                                                                                                                      \
  static void luma_##TYPE(const struct fovea_converter *c, const TYPE *restrict y, int width, uint8_t *restrict to) {    \
    for (int x = 0; x < width; x++) {                                                                                    \
      to[3 * x] = to[3 * x + 1] = to[3 * x + 2] = clip((y[x] - c->first) * c->y[0]);                                     \
    }                                                                                                                    \
  }                                                                                                                      \
  static void planes_##TYPE(const struct fovea_converter *c, const TYPE *const from[3], int width, uint8_t *restrict to) { \
    for (int x = 0; x < width; x++) {                                                                                    \
      for (int i = 0; i < 3; i++) {                                                                                      \
        to[3 * x + i] = clip((from[i][x] - c->first) * c->y[0]);                                                         \
      }                                                                                                                  \
    }                                                                                                                    \
  }                                                                                                                      \
  static void colors_##TYPE(const struct fovea_converter *c, const TYPE *restrict y, int width, uint8_t *restrict to) {  \
    const struct fovea_converter k = *c;                                                                                 \
    const uint16_t *restrict us = k.rows[0], *restrict vs = k.rows[1];                                                   \
    const int middle = 1 << (k.frame->depth - 1);                                                                      \
    for (int x = 0; x < width; x++) {                                                                                    \
      const int luma = (y[x] - k.first) * k.y[0], u = us[x] - middle, v = vs[x] - middle;                                \
      to[3 * x] = clip(luma + u * k.u[0] + v * k.v[0]);                                                                  \
      to[3 * x + 1] = clip(luma + u * k.u[1] + v * k.v[1]);                                                              \
      to[3 * x + 2] = clip(luma + u * k.u[2] + v * k.v[2]);                                                              \
    }                                                                                                                    \
  }                                                                                                                      \
  /* chroma_TYPE fills a row of chroma at full width. */                                                                 \
  static void chroma_##TYPE(const struct fovea_converter *c, int plane, int y, uint16_t *to) {                           \
    const struct fovea_frame *p = c->frame;                                                                          \
    const int half = (p->width + 1) / 2, rows = p->chroma == FOVEA_420 ? (p->height + 1) / 2 : p->height;                \
    const int row = p->chroma == FOVEA_420 ? y / 2 : y;                                                                  \
    if (p->chroma == FOVEA_444) {                                                                                        \
      widen_##TYPE(to, row_of(p, plane, y), p->width);                                                                   \
      return;                                                                                                            \
    }                                                                                                                    \
    if (p->nearest) {                                                                                                    \
      twice_##TYPE(to, row_of(p, plane, row), p->width);                                                                 \
      return;                                                                                                            \
    }                                                                                                                    \
    int far = row;                                                                                                       \
    if (p->chroma == FOVEA_420) {                                                                                        \
      far = y % 2 == 0 ? row - 1 : row + 1;                                                                              \
      far = far < 0 ? 0 : far >= rows ? rows - 1 : far;                                                                  \
    }                                                                                                                    \
    blend_##TYPE(c->column, row_of(p, plane, row), row_of(p, plane, far), half);                                         \
    spread(c->column, half, to, p->width);                                                                               \
  }                                                                                                                      \
  static void convert_##TYPE(struct fovea_converter *c, int y, uint8_t *to) {                                            \
    const struct fovea_frame *p = c->frame;                                                                          \
    const TYPE *luma = row_of(p, 0, y);                                                                                  \
    if (c->alpha || p->chroma == FOVEA_GRAY) {                                                                           \
      luma_##TYPE(c, luma, p->width, to);                                                                                \
    } else if (p->matrix == 0) {                                                                                         \
      const TYPE *const planes[3] = {row_of(p, 1, y), luma, row_of(p, 2, y)};                                            \
      planes_##TYPE(c, planes, p->width, to);                                                                            \
    } else {                                                                                                             \
      chroma_##TYPE(c, 1, y, c->rows[0]);                                                                                \
      chroma_##TYPE(c, 2, y, c->rows[1]);                                                                                \
      colors_##TYPE(c, luma, p->width, to);                                                                              \
    }                                                                                                                    \
  }

// spread interpolates four times chroma to twice its width: three parts of the nearer value and one of the other, but for the first and the
// last, as libyuv's ScaleRowUp2_Linear does.
static void spread(const uint16_t *restrict from, int half, uint16_t *restrict to, int width) {
  to[0] = (uint16_t)((from[0] + 2) >> 2);
  for (int x = 0; x + 1 < half; x++) {
    to[2 * x + 1] = (uint16_t)((3 * from[x] + from[x + 1] + 8) >> 4);
    to[2 * x + 2] = (uint16_t)((from[x] + 3 * from[x + 1] + 8) >> 4);
  }
  to[width - 1] = (uint16_t)((from[half - 1] + 2) >> 2);
}

SAMPLES(uint8_t)
SAMPLES(uint16_t)

void fovea_convert(struct fovea_converter *c, int y, uint8_t *to) {
  if (c->frame->depth > 8) {
    convert_uint16_t(c, y, to);
  } else {
    convert_uint8_t(c, y, to);
  }
}
