#include "decode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

// manager is libjpeg's way to report, without its lines on standard error.
struct manager {
  struct jpeg_error_mgr base; // first, so that a pointer to it is one to the whole
  jmp_buf failed;
  char why[JMSG_LENGTH_MAX];
};

static void fail(j_common_ptr info) {
  struct manager *m = (struct manager *)info->err;
  info->err->format_message(info, m->why);
  longjmp(m->failed, 1);
}

// warn ends the decoding where libjpeg would go on with grey. Other warnings, such as of stray bytes between two
// markers, are of pictures that are whole.
static void warn(j_common_ptr info, int level) {
  if (level < 0 && (info->err->msg_code == JWRN_HIT_MARKER || info->err->msg_code == JWRN_JPEG_EOF)) {
    fail(info);
  }
}

static void say_nothing(j_common_ptr info) { (void)info; }

// read_bgr has libjpeg write the rows where they belong.
static void read_bgr(j_decompress_ptr info, unsigned char *pixels) {
  const size_t stride = (size_t)3 * info->output_width;
  while (info->output_scanline < info->output_height) {
    JSAMPROW rows[16];
    for (int i = 0; i < 16; i++) {
      rows[i] = pixels + stride * (info->output_scanline + i); // no more are written than are left
    }
    jpeg_read_scanlines(info, rows, 16);
  }
}

// read_cmyk reads the four colours of printing, which every program writes inverted as Adobe does: 255 is no ink.
static void read_cmyk(j_decompress_ptr info, unsigned char *pixels) {
  JSAMPARRAY row = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, 4 * info->output_width, 1);
  while (info->output_scanline < info->output_height) {
    jpeg_read_scanlines(info, row, 1);
    const unsigned char *from = row[0];
    for (JDIMENSION x = 0; x < info->output_width; x++, from += 4, pixels += 3) {
      const int black = from[3];
      pixels[0] = (unsigned char)((from[2] * black + 127) / 255);
      pixels[1] = (unsigned char)((from[1] * black + 127) / 255);
      pixels[2] = (unsigned char)((from[0] * black + 127) / 255);
    }
  }
}

char *fovea_jpeg_decode(const unsigned char *data, size_t size, int shrink, unsigned char *pixels, int width, int height) {
  struct jpeg_decompress_struct info;
  struct manager m;
  info.err = jpeg_std_error(&m.base);
  m.base.error_exit = fail;
  m.base.emit_message = warn;
  m.base.output_message = say_nothing;
  if (setjmp(m.failed)) {
    jpeg_destroy_decompress(&info);
    return strdup(m.why);
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, data, size);
  jpeg_read_header(&info, TRUE);
  info.out_color_space = info.num_components == 4 ? JCS_CMYK : JCS_EXT_BGR;
  info.scale_num = 1;
  info.scale_denom = shrink;
  jpeg_start_decompress(&info);
  if (info.output_width != (JDIMENSION)width || info.output_height != (JDIMENSION)height) {
    snprintf(m.why, sizeof m.why, "it has %u×%u pixels and not %d×%d", info.output_width, info.output_height, width, height);
    longjmp(m.failed, 1);
  }
  if (info.num_components == 4) {
    read_cmyk(&info, pixels);
  } else {
    read_bgr(&info, pixels);
  }
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  return NULL;
}
