//go:build !noavif

#include <errno.h>
#include <dav1d/dav1d.h>

#include "child.h"

static Dav1dContext *decoder;
static Dav1dPicture shown;

static void keep(const uint8_t *data, void *cookie) {
  (void)data;
  (void)cookie;
}

static void quiet(void *cookie, const char *format, va_list list) {
  (void)cookie;
  (void)format;
  (void)list;
}

enum fovea_status fovea_av1_open(const struct fovea_request *r) {
  Dav1dSettings s;
  dav1d_default_settings(&s);
  s.n_threads = 1; // the caller has one core for it
  s.max_frame_delay = 1;
  s.all_layers = 0;
  s.frame_size_limit = r->width * r->height;
  s.logger.callback = quiet;
  return dav1d_open(&decoder, &s) == 0 ? FOVEA_OK : FOVEA_MEMORY;
}

static enum fovea_status reason(int error) {
  switch (error) {
    case DAV1D_ERR(ENOMEM): return FOVEA_MEMORY;
    case DAV1D_ERR(ENOPROTOOPT): return FOVEA_UNSUPPORTED;
    case DAV1D_ERR(ERANGE): return FOVEA_SIZE; // beyond frame_size_limit
  }
  return FOVEA_CORRUPT;
}

// next_frame decodes until there is a frame: of several layers, the highest.
static enum fovea_status next_frame(const uint8_t *data, size_t size) {
  Dav1dData in = {0};
  int result = dav1d_data_wrap(&in, data, size, keep, NULL);
  if (result != 0) {
    return FOVEA_CORRUPT;
  }
  do {
    result = in.sz > 0 ? dav1d_send_data(decoder, &in) : 0;
    if (result == 0 || result == DAV1D_ERR(EAGAIN)) {
      const int got = dav1d_get_picture(decoder, &shown);
      if (got == 0) {
        break;
      }
      // Without data left the second call drains.
      if (got == DAV1D_ERR(EAGAIN) && in.sz == 0) {
        result = dav1d_get_picture(decoder, &shown);
        break;
      }
      result = got == DAV1D_ERR(EAGAIN) ? 0 : got;
    }
  } while (result == 0);
  dav1d_data_unref(&in);
  return result == 0 ? FOVEA_OK : reason(result);
}

enum fovea_status fovea_av1_decode(const uint8_t *data, size_t size, struct fovea_frame *out) {
  dav1d_picture_unref(&shown);
  dav1d_flush(decoder);
  const enum fovea_status s = next_frame(data, size);
  if (s != FOVEA_OK) {
    return s;
  }
  static const enum fovea_chroma chroma[] = {FOVEA_GRAY, FOVEA_420, FOVEA_422, FOVEA_444}; // by enum Dav1dPixelLayout
  for (int i = 0; i < 3; i++) {
    out->planes[i] = shown.data[i];
    out->strides[i] = shown.stride[i > 0];
  }
  out->width = shown.p.w;
  out->height = shown.p.h;
  out->depth = shown.p.bpc;
  out->chroma = chroma[shown.p.layout];
  out->matrix = shown.seq_hdr->mtrx;
  out->primaries = shown.seq_hdr->pri;
  out->full_range = shown.seq_hdr->color_range;
  return FOVEA_OK;
}
