#ifndef FOVEA_JPEG_ROWS_H
#define FOVEA_JPEG_ROWS_H

#include <stddef.h>

// fovea_jpeg_rows decodes a part of an image, a strip or tile of a TIFF, some rows at a time.
struct fovea_jpeg_rows;

enum fovea_jpeg_result {
  FOVEA_JPEG_OK,
  FOVEA_JPEG_STOPPED,   // *stop was set
  FOVEA_JPEG_TRUNCATED, // the data ends before the rows do
  FOVEA_JPEG_SHAPE,     // it has another size, number of samples, or several scans
  FOVEA_JPEG_CORRUPT,
  FOVEA_JPEG_MEMORY,
};

// fovea_jpeg_rows_open reads the headers of data, whose tables may be in tables (ITU-T T.81, B.5); *rows is to be closed unless
// NULL. The image must have the width, between least and most rows, and so many samples a pixel, in a single scan. ycc converts
// YCbCr to red, green and blue; otherwise samples stay as they are. data and tables must not move before it is closed.
enum fovea_jpeg_result fovea_jpeg_rows_open(struct fovea_jpeg_rows **rows, const unsigned char *tables, size_t tables_size,
                                            const unsigned char *data, size_t size, int width, int least, int most, int samples,
                                            int ycc, const int *stop);

// fovea_jpeg_rows_read decodes the next n rows of width pixels to out, without gaps; not more in all than least. Another thread may
// set *stop to 1 to stop decoding.
enum fovea_jpeg_result fovea_jpeg_rows_read(struct fovea_jpeg_rows *rows, unsigned char *out, int n, const int *stop);

void fovea_jpeg_rows_close(struct fovea_jpeg_rows *rows);

#endif
