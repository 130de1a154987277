//go:build !noheic

#include <stdbool.h>
#include <libde265/de265.h>

#include "child.h"

enum {
  max_unit_type = 31, // of units that hold a frame's data (ITU-T H.265, table 7-1); others are not needed
  config_head = 23    // bytes before the arrays of the hvcC box (ISO/IEC 14496-15, 8.3.3.1.2)
};

static de265_decoder_context *decoder;
static size_t length_bytes;

enum fovea_status fovea_hevc_open(const struct fovea_request *r) {
  (void)r;
  decoder = de265_new_decoder();
  return decoder != NULL ? FOVEA_OK : FOVEA_MEMORY;
}

static size_t big_endian(const uint8_t *at, size_t n) {
  size_t v = 0;
  for (size_t i = 0; i < n; i++) {
    v = v << 8 | at[i];
  }
  return v;
}

// push gives the decoder a unit with a length of so many bytes before it. It returns what follows, or NULL if the unit is cut.
static const uint8_t *push(const uint8_t *at, const uint8_t *stop, size_t prefix, bool only_slices) {
  if ((size_t)(stop - at) < prefix) {
    return NULL;
  }
  const size_t n = big_endian(at, prefix);
  at += prefix;
  if (n > (size_t)(stop - at)) {
    return NULL;
  }
  if (n >= 2 && (!only_slices || (at[0] >> 1 & 0x3F) <= max_unit_type)) {
    if (de265_push_NAL(decoder, at, (int)n, 0, NULL) != DE265_OK) {
      return NULL;
    }
  }
  return at + n;
}

// push_config gives the decoder the parameter sets of the hvcC box.
static enum fovea_status push_config(const uint8_t *config, size_t size) {
  if (size < config_head) {
    return FOVEA_CORRUPT;
  }
  length_bytes = (config[21] & 3) + 1;
  const uint8_t *at = config + config_head, *const stop = config + size;
  for (int arrays = config[22]; arrays > 0; arrays--) {
    if (stop - at < 3) {
      return FOVEA_CORRUPT;
    }
    size_t units = big_endian(at + 1, 2);
    for (at += 3; units > 0; units--) {
      at = push(at, stop, 2, false);
      if (at == NULL) {
        return FOVEA_CORRUPT;
      }
    }
  }
  return FOVEA_OK;
}

static enum fovea_status reason(de265_error e) {
  switch (e) {
    case DE265_ERROR_OUT_OF_MEMORY: return FOVEA_MEMORY;
    case DE265_ERROR_NOT_IMPLEMENTED_YET: return FOVEA_UNSUPPORTED;
    default: return FOVEA_CORRUPT;
  }
}

// damages are the warnings after which pixels are missing.
static bool damages(de265_error e) {
  switch (e) {
    case DE265_WARNING_PREMATURE_END_OF_SLICE_SEGMENT:
    case DE265_WARNING_CTB_OUTSIDE_IMAGE_AREA:
    case DE265_WARNING_SPS_HEADER_INVALID:
    case DE265_WARNING_PPS_HEADER_INVALID:
    case DE265_WARNING_SLICEHEADER_INVALID:
    case DE265_WARNING_NONEXISTING_PPS_REFERENCED:
    case DE265_WARNING_NONEXISTING_SPS_REFERENCED:
    case DE265_WARNING_SLICE_SEGMENT_ADDRESS_INVALID:
    case DE265_WARNING_INCORRECT_ENTRY_POINT_OFFSET:
    case DE265_WARNING_DEPENDENT_SLICE_WITH_ADDRESS_ZERO: return true;
    default: return false;
  }
}

// decode_frame decodes until there is a frame.
static enum fovea_status decode_frame(const struct de265_image **image) {
  if (de265_flush_data(decoder) != DE265_OK) {
    return FOVEA_CORRUPT;
  }
  *image = NULL;
  for (int more = 1; more && *image == NULL;) {
    const de265_error e = de265_decode(decoder, &more);
    if (!de265_isOK(e)) {
      return reason(e);
    }
    *image = de265_get_next_picture(decoder);
  }
  for (de265_error e; (e = de265_get_warning(decoder)) != DE265_OK;) {
    if (damages(e)) {
      return FOVEA_CORRUPT;
    }
  }
  return *image != NULL ? FOVEA_OK : FOVEA_CORRUPT;
}

enum fovea_status fovea_hevc_decode(const uint8_t *config, size_t config_bytes, const uint8_t *data, size_t size, struct fovea_frame *out) {
  de265_reset(decoder);
  enum fovea_status s = push_config(config, config_bytes);
  const uint8_t *at = data;
  while (s == FOVEA_OK && at < data + size) {
    at = push(at, data + size, length_bytes, true);
    s = at != NULL ? FOVEA_OK : FOVEA_CORRUPT;
  }
  const struct de265_image *image;
  if (s == FOVEA_OK) {
    s = decode_frame(&image);
  }
  if (s != FOVEA_OK) {
    return s;
  }
  static const enum fovea_chroma chroma[] = {FOVEA_GRAY, FOVEA_420, FOVEA_422, FOVEA_444}; // by enum de265_chroma
  out->chroma = chroma[de265_get_chroma_format(image)];
  out->depth = de265_get_bits_per_pixel(image, 0);
  for (int i = 0; i < (out->chroma == FOVEA_GRAY ? 1 : 3); i++) {
    int stride = 0;
    out->planes[i] = de265_get_image_plane(image, i, &stride);
    out->strides[i] = stride;
    if (de265_get_bits_per_pixel(image, i) != out->depth) {
      return FOVEA_UNSUPPORTED;
    }
  }
  out->width = de265_get_image_width(image, 0);
  out->height = de265_get_image_height(image, 0);
  out->matrix = de265_get_image_matrix_coefficients(image);
  out->primaries = de265_get_image_colour_primaries(image);
  out->full_range = de265_get_image_full_range_flag(image);
  out->nearest = 1; // as libheif does by default
  return FOVEA_OK;
}
