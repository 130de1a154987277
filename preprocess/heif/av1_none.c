//go:build noavif

#include "child.h"

enum fovea_status fovea_av1_open(const struct fovea_request *r) {
  (void)r;
  return FOVEA_UNSUPPORTED;
}

enum fovea_status fovea_av1_decode(const uint8_t *data, size_t size, struct fovea_frame *out) {
  (void)data;
  (void)size;
  (void)out;
  return FOVEA_UNSUPPORTED;
}
