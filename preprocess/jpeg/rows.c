#include "rows.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include <jerror.h>

struct fovea_jpeg_rows {
  struct jpeg_error_mgr errors; // first, so that pointers to it can be cast
  struct jpeg_progress_mgr progress;
  struct jpeg_decompress_struct info;
  jmp_buf failed; // of the current call
  enum fovea_jpeg_result result;
  const int *stop; // of the current call
};

static void rows_fail(j_common_ptr info) {
  struct fovea_jpeg_rows *r = (struct fovea_jpeg_rows *)info->err;
  if (r->result == FOVEA_JPEG_OK) {
    r->result = info->err->msg_code == JERR_OUT_OF_MEMORY ? FOVEA_JPEG_MEMORY : FOVEA_JPEG_CORRUPT;
  }
  longjmp(r->failed, 1);
}

static void rows_check(j_common_ptr info) {
  struct fovea_jpeg_rows *r = (struct fovea_jpeg_rows *)info->err;
  if (__atomic_load_n(r->stop, __ATOMIC_RELAXED)) {
    r->result = FOVEA_JPEG_STOPPED;
    rows_fail(info);
  }
}

// rows_message fails where libjpeg would continue with gray; see message in decode.c.
static void rows_message(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_HIT_MARKER) {
    ((struct fovea_jpeg_rows *)info->err)->result = FOVEA_JPEG_TRUNCATED;
    rows_fail(info);
  }
  rows_check(info);
}

static void rows_say_nothing(j_common_ptr info) { (void)info; }

enum fovea_jpeg_result fovea_jpeg_rows_open(struct fovea_jpeg_rows **rows, const unsigned char *tables, size_t tables_size,
                                            const unsigned char *data, size_t size, int width, int least, int most, int samples,
                                            int ycc, const int *stop) {
  struct fovea_jpeg_rows *r = *rows = calloc(1, sizeof *r);
  if (r == NULL) {
    return FOVEA_JPEG_MEMORY;
  }
  j_decompress_ptr info = &r->info;
  info->err = jpeg_std_error(&r->errors);
  r->errors.error_exit = rows_fail;
  r->errors.emit_message = rows_message;
  r->errors.output_message = rows_say_nothing;
  r->progress.progress_monitor = rows_check;
  r->stop = stop;
  if (setjmp(r->failed)) {
    return r->result;
  }
  jpeg_create_decompress(info);
  info->progress = &r->progress;
  if (tables_size > 0) {
    jpeg_mem_src(info, tables, tables_size);
    if (jpeg_read_header(info, FALSE) != JPEG_HEADER_TABLES_ONLY) {
      return r->result = FOVEA_JPEG_SHAPE;
    }
  }
  jpeg_mem_src(info, data, size);
  jpeg_read_header(info, TRUE);
  if (info->image_width != (JDIMENSION)width || info->image_height < (JDIMENSION)least || info->image_height > (JDIMENSION)most ||
      info->num_components != samples || info->progressive_mode || info->arith_code || jpeg_has_multiple_scans(info)) {
    return r->result = FOVEA_JPEG_SHAPE;
  }
  info->jpeg_color_space = ycc ? JCS_YCbCr : JCS_UNKNOWN; // the TIFF says what the samples are, as libtiff takes them
  info->out_color_space = ycc ? JCS_RGB : JCS_UNKNOWN;
  jpeg_start_decompress(info);
  return FOVEA_JPEG_OK;
}

enum fovea_jpeg_result fovea_jpeg_rows_read(struct fovea_jpeg_rows *r, unsigned char *out, int n, const int *stop) {
  if (r->result != FOVEA_JPEG_OK) {
    return r->result;
  }
  r->stop = stop;
  if (setjmp(r->failed)) {
    return r->result;
  }
  const size_t stride = (size_t)r->info.output_width * r->info.output_components;
  for (int done = 0; done < n;) {
    JSAMPROW rows[16];
    for (int i = 0; i < 16; i++) {
      rows[i] = out + stride * (done + (i < n - done ? i : 0));
    }
    const int read = jpeg_read_scanlines(&r->info, rows, n - done < 16 ? n - done : 16);
    if (read == 0) {
      return r->result = FOVEA_JPEG_SHAPE; // behind the last row
    }
    done += read;
  }
  return FOVEA_JPEG_OK;
}

void fovea_jpeg_rows_close(struct fovea_jpeg_rows *r) {
  if (r != NULL) {
    jpeg_destroy_decompress(&r->info);
    free(r);
  }
}
