#ifndef FOVEA_WEBP_BITS_H
#define FOVEA_WEBP_BITS_H

#include <stdint.h>
#include <string.h>

// bits reads bits, the lowest of a byte first. Zeros follow the end, and count falls below 0 once one of them is consumed.
struct bits {
  uint64_t value;
  int count;
  const unsigned char *next, *end;
};

// bits_fill makes at least 56 bits ready, if there are as many.
static inline void bits_fill(struct bits *b) {
  if (b->end - b->next >= 8) {
    uint64_t more = 0;
    for (int i = 0; i < 8; i++) {
      more |= (uint64_t)b->next[i] << 8 * i; // one load
    }
    b->value |= more << b->count;
    b->next += (63 - b->count) >> 3;
    b->count |= 56;
    return;
  }
  while (b->next < b->end && b->count <= 56) {
    b->value |= (uint64_t)*b->next++ << b->count;
    b->count += 8;
  }
}

// bits_take consumes n bits, at most 31, which must be ready.
static inline uint32_t bits_take(struct bits *b, int n) {
  const uint32_t v = (uint32_t)b->value & ((1u << n) - 1);
  b->value >>= n;
  b->count -= n;
  return v;
}

static inline uint32_t bits_read(struct bits *b, int n) {
  bits_fill(b);
  return bits_take(b, n);
}

static inline int bits_ended(const struct bits *b) { return b->count < 0; }

#endif
