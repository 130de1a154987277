#include <pthread.h>

#include <webp/decode.h>

#include "decode.h"

// libwebp has no callback during decoding. It decodes images of 512 columns or more with a worker thread if allowed, and waits
// for it after each row of blocks. The worker's interface can be replaced (WebPSetWorkerInterface, exported since libwebp 0.4.1,
// but its header src/utils/thread_utils.h is not installed). This worker is no thread: it runs synchronously, and waiting for it
// fails once decoding should stop. Narrower images are fed to libwebp in slices instead.

typedef struct {
  void *impl;
  int status; // 0: not made, 1: idle, 2: at work
  int (*hook)(void *, void *);
  void *data1, *data2;
  int had_error;
} worker;

typedef struct {
  void (*init)(worker *);
  int (*reset)(worker *);
  int (*sync)(worker *);
  void (*launch)(worker *);
  void (*execute)(worker *);
  void (*end)(worker *);
} worker_interface;

extern int WebPSetWorkerInterface(const worker_interface *);

static __thread const int *stop_now; // of this thread's decode; NULL outside of one

static void init(worker *w) { *w = (worker){0}; }

static int reset(worker *w) {
  w->status = 1;
  w->had_error = 0;
  return 1;
}

static int sync(worker *w) {
  const int is_stopped = stop_now != NULL && __atomic_load_n(stop_now, __ATOMIC_RELAXED);
  return !w->had_error && !is_stopped;
}

static void execute(worker *w) {
  if (w->hook != NULL) {
    w->had_error |= !w->hook(w->data1, w->data2);
  }
}

static void end(worker *w) { w->status = 0; }

static void replace_workers(void) {
  static const worker_interface here = {init, reset, sync, execute, execute, end};
  WebPSetWorkerInterface(&here);
}

static enum fovea_webp_result result_of(VP8StatusCode status) {
  switch (status) {
  case VP8_STATUS_OK:
    return FOVEA_WEBP_OK;
  case VP8_STATUS_OUT_OF_MEMORY:
    return FOVEA_WEBP_MEMORY;
  case VP8_STATUS_SUSPENDED:
  case VP8_STATUS_NOT_ENOUGH_DATA:
    return FOVEA_WEBP_TRUNCATED;
  default:
    return FOVEA_WEBP_CORRUPT;
  }
}

// feed passes the data to libwebp in slices of a few milliseconds' work.
static enum fovea_webp_result feed(WebPIDecoder *decoder, const unsigned char *data, size_t size, const int *stop) {
  const size_t slice = 1 << 15;
  VP8StatusCode status = VP8_STATUS_SUSPENDED;
  for (size_t given = 0; status == VP8_STATUS_SUSPENDED && given < size;) {
    if (__atomic_load_n(stop, __ATOMIC_RELAXED)) {
      return FOVEA_WEBP_STOPPED;
    }
    given = size - given < slice ? size : given + slice;
    status = WebPIUpdate(decoder, data, given);
  }
  return status != VP8_STATUS_OK && __atomic_load_n(stop, __ATOMIC_RELAXED) ? FOVEA_WEBP_STOPPED : result_of(status);
}

enum fovea_webp_result fovea_webp_lossy(const unsigned char *data, size_t size, unsigned char *pixels, int width, int height,
                                        const int *stop, int *rows) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, replace_workers);
  *rows = 0;
  int w, h;
  WebPDecoderConfig config;
  if (!WebPGetInfo(data, size, &w, &h) || !WebPInitDecoderConfig(&config)) {
    return FOVEA_WEBP_CORRUPT;
  }
  if (w != width || h != height) {
    return FOVEA_WEBP_SIZE;
  }
  config.options.use_threads = 1;
  config.output.colorspace = MODE_BGR;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = (WebPRGBABuffer){pixels, 3 * width, (size_t)3 * width * height};
  WebPIDecoder *decoder = WebPIDecode(NULL, 0, &config);
  if (decoder == NULL) {
    return FOVEA_WEBP_MEMORY;
  }
  stop_now = stop;
  const enum fovea_webp_result result = feed(decoder, data, size, stop);
  stop_now = NULL;
  WebPIDecGetRGB(decoder, rows, NULL, NULL, NULL);
  WebPIDelete(decoder);
  WebPFreeDecBuffer(&config.output);
  return result;
}
