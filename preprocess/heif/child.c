#define _GNU_SOURCE // F_SETPIPE_SZ
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

enum {
  pipe_bytes = 1 << 20,    // Linux's limit without privileges
  answer_bytes = 256 << 10 // of rows that are written at once
};

static int answers = -1; // file that pixels are written to

static void end(enum fovea_status s) { _exit((int)s); }

static void read_all(void *to, size_t n) {
  for (uint8_t *at = to; n > 0;) {
    const ssize_t got = read(STDIN_FILENO, at, n);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      end(FOVEA_REQUEST);
    }
    at += got;
    n -= (size_t)got;
  }
}

static void write_all(const uint8_t *from, size_t n) {
  while (n > 0) {
    const ssize_t put = write(answers, from, n);
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put <= 0) {
      end(FOVEA_REQUEST); // no one reads
    }
    from += put;
    n -= (size_t)put;
  }
}

static void *allocate(size_t n) {
  void *p = malloc(n > 0 ? n : 1);
  if (p == NULL) {
    end(FOVEA_MEMORY);
  }
  return p;
}

// limit bounds memory and CPU time. SIGPROF ends the process.
static void limit(const struct fovea_request *r) {
  const struct rlimit memory = {r->memory, r->memory}, none = {0, 0};
  setrlimit(RLIMIT_DATA, &memory);
  setrlimit(RLIMIT_CORE, &none);
  signal(SIGPROF, SIG_DFL);
  signal(SIGPIPE, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigprocmask(SIG_SETMASK, &set, NULL);
  const struct itimerval timer = {.it_value = {r->cpu_ms / 1000, r->cpu_ms % 1000 * 1000L}};
  setitimer(ITIMER_PROF, &timer, NULL);
}

// answer writes the wanted pixels of a tile.
static void answer(const struct fovea_frame *p, const struct fovea_part *part, int alpha) {
  struct fovea_converter c;
  const enum fovea_status s = fovea_converter_open(&c, p, alpha);
  if (s != FOVEA_OK) {
    end(s);
  }
  const size_t whole = 3 * (size_t)p->width, wanted = 3 * (size_t)part->width;
  const size_t room = answer_bytes > whole ? answer_bytes : whole;
  uint8_t *rows = allocate(room + whole); // a row is converted as a whole behind those that are wanted of it
  size_t filled = 0;
  for (uint32_t y = part->top; y < part->top + part->height; y++) {
    if (filled + wanted > room) {
      write_all(rows, filled);
      filled = 0;
    }
    fovea_convert(&c, (int)y, rows + filled);
    if (part->left > 0) {
      memmove(rows + filled, rows + filled + 3 * (size_t)part->left, wanted);
    }
    filled += wanted;
  }
  write_all(rows, filled);
  free(rows);
  fovea_converter_close(&c);
}

static enum fovea_status open_codec(const struct fovea_request *r) {
  switch (r->codec) {
    case FOVEA_AV1: return fovea_av1_open(r);
    case FOVEA_HEVC: return fovea_hevc_open(r);
  }
  return FOVEA_REQUEST;
}

// decode_tile decodes a tile and answers with it.
static enum fovea_status decode_tile(const struct fovea_request *r, const struct fovea_part *part, const uint8_t *config, const uint8_t *data) {
  struct fovea_frame p;
  memset(&p, 0, sizeof p);
  const enum fovea_status s = r->codec == FOVEA_AV1 ? fovea_av1_decode(data, part->bytes, &p)
                                                    : fovea_hevc_decode(config, r->config_bytes, data, part->bytes, &p);
  if (s != FOVEA_OK) {
    return s;
  }
  if (p.width != (int)r->width || p.height != (int)r->height) {
    return FOVEA_SIZE;
  }
  // What the container says counts more than the stream, as in libavif and libheif.
  p.matrix = r->matrix != FOVEA_FROM_STREAM ? (int)r->matrix : p.matrix;
  p.primaries = r->primaries != FOVEA_FROM_STREAM ? (int)r->primaries : p.primaries;
  p.full_range = r->full_range != FOVEA_FROM_STREAM ? (int)r->full_range : p.full_range;
  answer(&p, part, (int)r->alpha);
  return FOVEA_OK;
}

static void run(void) {
  struct fovea_request r;
  read_all(&r, sizeof r);
  limit(&r);
  const enum fovea_status opened = open_codec(&r);
  if (opened != FOVEA_OK) {
    end(opened);
  }
  answers = fcntl(STDOUT_FILENO, F_DUPFD, STDERR_FILENO + 1);
  if (answers < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) { // what a library prints is not among the pixels
    end(FOVEA_REQUEST);
  }
  fcntl(answers, F_SETPIPE_SZ, (int)pipe_bytes); // otherwise a process switch every 64 KiB
  fovea_sandbox();
  struct fovea_part *parts = allocate(r.parts * sizeof *parts);
  read_all(parts, r.parts * sizeof *parts);
  size_t size = r.config_bytes;
  for (uint32_t i = 0; i < r.parts; i++) {
    size += parts[i].bytes;
  }
  uint8_t *data = allocate(size);
  read_all(data, size);
  const uint8_t *at = data + r.config_bytes;
  for (uint32_t i = 0; i < r.parts; at += parts[i].bytes, i++) {
    const enum fovea_status s = decode_tile(&r, &parts[i], data, at);
    if (s != FOVEA_OK) {
      end(s);
    }
  }
  end(FOVEA_OK);
}

// start runs before main, and thus before Go's runtime, in every process of the program. glibc passes the arguments.
__attribute__((constructor)) static void start(int argc, char **argv) {
  if (argc != 1 || strcmp(argv[0], FOVEA_DECODER_NAME) != 0) {
    return;
  }
  syscall(SYS_close_range, 3U, ~0U, 0U); // files that a library opened without O_CLOEXEC
  run();
}
