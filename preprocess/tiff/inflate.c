#include "inflate.h"

#include <stdlib.h>

#include <zlib.h>

struct fovea_inflate {
  z_stream z;
  size_t blocks; // still allowed
};

enum { step = 1 << 18 }; // bytes inflated between two checks of the stop flag: less than a millisecond

struct fovea_inflate *fovea_inflate_open(size_t blocks) {
  struct fovea_inflate *f = calloc(1, sizeof *f);
  if (f != NULL) {
    f->blocks = blocks;
    if (inflateInit2(&f->z, MAX_WBITS) == Z_OK) {
      return f;
    }
    free(f);
  }
  return NULL;
}

enum fovea_inflate_result fovea_inflate_start(struct fovea_inflate *f) {
  return inflateReset(&f->z) == Z_OK && inflateValidate(&f->z, 0) == Z_OK ? FOVEA_INFLATE_OK : FOVEA_INFLATE_CORRUPT;
}

// Blocks are counted since empty ones cost time and produce nothing.
static enum fovea_inflate_result inflate_all(struct fovea_inflate *f, size_t n, const int *stop) {
  while (n > 0) {
    if (__atomic_load_n(stop, __ATOMIC_RELAXED)) {
      return FOVEA_INFLATE_STOPPED;
    }
    if (f->z.avail_in == 0) {
      return FOVEA_INFLATE_ENDS;
    }
    const uInt some = n < step ? n : step;
    f->z.avail_out = some;
    const int status = inflate(&f->z, Z_BLOCK); // returns at the end of each block
    n -= some - f->z.avail_out;
    if (status == Z_STREAM_END) {
      return n == 0 ? FOVEA_INFLATE_OK : FOVEA_INFLATE_ENDS;
    }
    if (status != Z_OK && status != Z_BUF_ERROR) {
      return status == Z_MEM_ERROR ? FOVEA_INFLATE_MEMORY : FOVEA_INFLATE_CORRUPT;
    }
    if ((f->z.data_type & 128) && f->blocks-- == 0) {
      return FOVEA_INFLATE_BLOCKS;
    }
  }
  return FOVEA_INFLATE_OK;
}

enum fovea_inflate_result fovea_inflate_read(struct fovea_inflate *f, const unsigned char *in, size_t *size, unsigned char *out,
                                             size_t n, const int *stop) {
  f->z.next_in = (unsigned char *)in;
  f->z.avail_in = *size;
  f->z.next_out = out;
  const enum fovea_inflate_result result = inflate_all(f, n, stop);
  *size -= f->z.avail_in;
  f->z.next_in = f->z.next_out = NULL;
  return result;
}

void fovea_inflate_close(struct fovea_inflate *f) {
  if (f != NULL) {
    inflateEnd(&f->z);
    free(f);
  }
}
