//go:build noheic

#include "child.h"

enum fovea_status fovea_hevc_open(const struct fovea_request *r) {
  (void)r;
  return FOVEA_UNSUPPORTED;
}

enum fovea_status fovea_hevc_decode(const uint8_t *config, size_t config_bytes, const uint8_t *data, size_t size, struct fovea_frame *out) {
  (void)config;
  (void)config_bytes;
  (void)data;
  (void)size;
  (void)out;
  return FOVEA_UNSUPPORTED;
}
