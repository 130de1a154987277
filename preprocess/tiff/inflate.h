#ifndef FOVEA_TIFF_INFLATE_H
#define FOVEA_TIFF_INFLATE_H

#include <stddef.h>

// fovea_inflate inflates zlib streams, one after another.
struct fovea_inflate;

enum fovea_inflate_result {
  FOVEA_INFLATE_OK,
  FOVEA_INFLATE_STOPPED, // *stop was set
  FOVEA_INFLATE_ENDS,    // the stream ends first
  FOVEA_INFLATE_CORRUPT,
  FOVEA_INFLATE_BLOCKS, // more blocks than allowed
  FOVEA_INFLATE_MEMORY,
};

// fovea_inflate_open returns NULL if there is no memory. blocks is the number of compressed blocks allowed for all streams.
struct fovea_inflate *fovea_inflate_open(size_t blocks);

// fovea_inflate_start begins another stream.
enum fovea_inflate_result fovea_inflate_start(struct fovea_inflate *f);

// fovea_inflate_read writes the stream's next n bytes to out. *size bytes are at in; it becomes the number of those used. Another
// thread may set *stop to 1.
enum fovea_inflate_result fovea_inflate_read(struct fovea_inflate *f, const unsigned char *in, size_t *size, unsigned char *out,
                                             size_t n, const int *stop);

void fovea_inflate_close(struct fovea_inflate *f);

#endif
