#ifndef FOVEA_WEBP_CODES_H
#define FOVEA_WEBP_CODES_H

#include <stddef.h>

#include "bits.h"
#include "decode.h"

// code is a prefix code: a table indexed by the next bits under the mask, at most code_root. Longer codes continue in a second
// table.
struct entry {
  uint16_t value; // a symbol, or the offset of a second table
  uint8_t length; // bits; above code_root: of both tables together
};
struct code {
  const struct entry *table;
  uint32_t mask;
};

enum {
  code_root = 8,
  max_length = 15,                      // bits of a code
  max_symbols = 256 + 24 + (1 << 11),   // of an alphabet: green, lengths and the largest color cache
  max_entries = (1 << code_root) << 7 | 1 << code_root, // of a table, if each entry of the first had a second one
};

// symbol consumes one symbol; 15 bits must be ready.
static inline uint32_t symbol(const struct code *c, struct bits *b) {
  const struct entry *e = c->table + (b->value & c->mask);
  if (e->length > code_root) {
    bits_take(b, code_root);
    e = c->table + e->value + (b->value & ((1u << (e->length - code_root)) - 1));
  }
  b->value >>= e->length;
  b->count -= e->length;
  return e->value;
}

// tables holds decoding tables in blocks.
struct tables {
  struct block *blocks;
  size_t free, total;                // entries: left in the first block, and in all tables
  struct entry scratch[max_entries]; // the table being built
};

void tables_free(struct tables *a);

// read_code reads a prefix code of an alphabet (RFC 9649, 6.2.1).
enum fovea_webp_result read_code(struct bits *b, int symbols, struct tables *a, struct code *out);

#endif
