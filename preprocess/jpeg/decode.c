#include "decode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

// manager receives libjpeg's messages instead of standard error.
struct manager {
  struct jpeg_error_mgr base; // first, so that pointers to it can be cast
  jmp_buf failed;
  char why[JMSG_LENGTH_MAX];
  const int *stop;
  long *checks;
  int *missing;
};

static void fail(j_common_ptr info) {
  struct manager *m = (struct manager *)info->err;
  info->err->format_message(info, m->why);
  longjmp(m->failed, 1);
}

// check stops decoding once *stop is set.
static void check(j_common_ptr info) {
  struct manager *m = (struct manager *)info->err;
  ++*m->checks;
  if (__atomic_load_n(m->stop, __ATOMIC_RELAXED)) {
    strcpy(m->why, "stopped");
    longjmp(m->failed, 1);
  }
}

// message is called with warnings, and with a trace of each marker and table, of which a file may have many before a row of
// blocks. Decoding fails where libjpeg would continue with gray: JWRN_HIT_MARKER means that a block needed more bits than there
// were. JWRN_JPEG_EOF only means that the end marker is missing, and complete images have other warnings, such as of stray bytes
// between two markers.
static void message(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_HIT_MARKER) {
    *((struct manager *)info->err)->missing = 1;
    fail(info);
  }
  check(info);
}

static void say_nothing(j_common_ptr info) { (void)info; }

// crop makes libjpeg decode only the columns from..to and a margin, and returns the first one decoded. The margin is needed since
// chroma upsampling uses adjacent columns. It must be called once and before any row is read, or jpeg_crop_scanline uses freed
// memory (libjpeg-turbo#669). Rows are not skipped: jpeg_skip_scanlines has bugs (libjpeg-turbo#915) and would not notice the end
// of the data.
static size_t crop(j_decompress_ptr info, JDIMENSION from, JDIMENSION to) {
  const JDIMENSION margin = 16;
  JDIMENSION left = from > margin ? from - margin : 0;
  JDIMENSION columns = (to + margin < info->output_width ? to + margin : info->output_width) - left;
  if (columns < info->output_width) {
    jpeg_crop_scanline(info, &left, &columns); // moves left to where a block begins
  }
  return left;
}

// read_bgr makes libjpeg write the rows to pixels.
static void read_bgr(j_decompress_ptr info, unsigned char *pixels, size_t stride) {
  while (info->output_scanline < info->output_height) {
    JSAMPROW rows[16];
    for (int i = 0; i < 16; i++) {
      rows[i] = pixels + stride * (info->output_scanline + i); // no more are written than are left
    }
    jpeg_read_scanlines(info, rows, 16);
  }
}

// read_cmyk converts CMYK, which all programs write inverted as Adobe does: 255 is no ink.
static void read_cmyk(j_decompress_ptr info, unsigned char *pixels, size_t stride) {
  JSAMPARRAY row = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, 4 * info->output_width, 1);
  while (info->output_scanline < info->output_height) {
    jpeg_read_scanlines(info, row, 1);
    const unsigned char *from = row[0];
    unsigned char *to = pixels;
    for (JDIMENSION x = 0; x < info->output_width; x++, from += 4, to += 3) {
      const int black = from[3];
      to[0] = (unsigned char)((from[2] * black + 127) / 255);
      to[1] = (unsigned char)((from[1] * black + 127) / 255);
      to[2] = (unsigned char)((from[0] * black + 127) / 255);
    }
    pixels += stride;
  }
}

char *fovea_jpeg_decode(const unsigned char *data, size_t size, int shrink, unsigned char *pixels, int width, int height,
                        int from, int to, const int *stop, long *checks, int *missing) {
  struct jpeg_decompress_struct info;
  struct manager m = {.stop = stop, .checks = checks, .missing = missing};
  struct jpeg_progress_mgr monitor = {.progress_monitor = check}; // called for each row of blocks of each scan
  info.err = jpeg_std_error(&m.base);
  m.base.error_exit = fail;
  m.base.emit_message = message;
  m.base.output_message = say_nothing;
  if (setjmp(m.failed)) {
    jpeg_destroy_decompress(&info);
    return strdup(m.why);
  }
  jpeg_create_decompress(&info);
  info.progress = &monitor;
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
  const size_t stride = (size_t)3 * width;
  pixels += 3 * crop(&info, from, to);
  if (info.num_components == 4) {
    read_cmyk(&info, pixels, stride);
  } else {
    read_bgr(&info, pixels, stride);
  }
  // The rest of the file is not needed, so that decoding is aborted rather than finished.
  jpeg_destroy_decompress(&info);
  return NULL;
}
