#include "codes.h"

#include <stdlib.h>

enum {
  block_entries = 1 << 14,
  max_total = 1 << 24, // entries of 4 bytes; encoders use a tenth of it for the largest image
};

struct block {
  struct block *next;
  struct entry entries[block_entries];
};

void tables_free(struct tables *a) {
  while (a->blocks != NULL) {
    struct block *next = a->blocks->next;
    free(a->blocks);
    a->blocks = next;
  }
}

// tables_keep copies the table in scratch.
static enum fovea_webp_result tables_keep(struct tables *a, size_t n, const struct entry **kept) {
  a->total += n;
  if (a->total > max_total || n > block_entries) {
    return FOVEA_WEBP_CODES;
  }
  if (a->free < n) {
    struct block *block = malloc(sizeof *block);
    if (block == NULL) {
      return FOVEA_WEBP_MEMORY;
    }
    block->next = a->blocks;
    a->blocks = block;
    a->free = block_entries;
  }
  struct entry *to = a->blocks->entries + (block_entries - a->free);
  memcpy(to, a->scratch, n * sizeof *to);
  a->free -= n;
  *kept = to;
  return FOVEA_WEBP_OK;
}

// next_key is the code after one of the same length, with its first bit lowest.
static uint32_t next_key(uint32_t key, int length) {
  uint32_t step = 1u << (length - 1);
  while (key & step) {
    step >>= 1;
  }
  return step != 0 ? (key & (step - 1)) + step : key;
}

static void put_every(struct entry *table, uint32_t step, uint32_t size, struct entry e) {
  for (uint32_t i = 0; i < size; i += step) {
    table[i] = e;
  }
}

// further_bits is the size of the second table for codes that begin like the next one, by its longest code.
static int further_bits(const int *left, int length) {
  int open = 1 << (length - code_root);
  for (; length < max_length; length++, open <<= 1) {
    open -= left[length];
    if (open <= 0) {
      break;
    }
  }
  return length - code_root;
}

// fill_table builds the table of a complete code and returns its size. sorted holds the symbols by length, count the number of
// each length.
static size_t fill_table(struct entry *table, const uint16_t *sorted, int *count, int root) {
  const uint32_t mask = (1u << root) - 1;
  size_t size = (size_t)1 << root, further = 0, further_size = 0;
  uint32_t key = 0, prefix = ~0u;
  for (int length = 1; length <= max_length; length++) {
    for (; count[length] > 0; count[length]--, key = next_key(key, length)) {
      struct entry e = {*sorted++, (uint8_t)length};
      if (length <= root) {
        put_every(table + key, 1u << length, (1u << root) - key, e);
        continue;
      }
      if ((key & mask) != prefix) {
        prefix = key & mask;
        const int bits = further_bits(count, length);
        further = size;
        further_size = (size_t)1 << bits;
        size += further_size;
        table[prefix] = (struct entry){(uint16_t)further, (uint8_t)(root + bits)};
      }
      e.length = (uint8_t)(length - root);
      put_every(table + further + (key >> root), 1u << e.length, further_size - (key >> root), e);
    }
  }
  return size;
}

// build makes a table from code lengths, 0 for unused symbols. The code must be complete, or have a single symbol, which takes no
// bits. It returns the size, or 0.
static size_t build(const uint8_t *lengths, int symbols, struct entry *table, uint32_t *mask) {
  int count[max_length + 1] = {0}, place[max_length + 2] = {0}, used = 0;
  uint16_t sorted[max_symbols];
  for (int i = 0; i < symbols; i++) {
    count[lengths[i]]++;
  }
  uint32_t room = 1u << max_length;
  int longest = 0;
  for (int length = 1; length <= max_length; length++) {
    place[length + 1] = place[length] + count[length];
    room -= (uint32_t)count[length] << (max_length - length);
    longest = count[length] > 0 ? length : longest;
  }
  used = place[max_length + 1];
  for (int i = 0; i < symbols; i++) {
    if (lengths[i] > 0) {
      sorted[place[lengths[i]]++] = (uint16_t)i;
    }
  }
  if (used == 1) {
    table[0] = (struct entry){sorted[0], 0};
    *mask = 0;
    return 1;
  }
  if (room != 0) {
    return 0;
  }
  const int root = longest < code_root ? longest : code_root;
  *mask = (1u << root) - 1;
  return fill_table(table, sorted, count, root);
}

// read_simple reads a code of one or two symbols.
static void read_simple(struct bits *b, uint8_t *lengths) {
  const int two = bits_read(b, 1), is_byte = bits_read(b, 1);
  lengths[bits_read(b, is_byte ? 8 : 1)] = 1;
  if (two) {
    lengths[bits_read(b, 8)] = 1;
  }
}

// read_lengths reads code lengths that are themselves coded, with repetitions.
static enum fovea_webp_result read_lengths(struct bits *b, int symbols, uint8_t *lengths, struct entry *table) {
  static const uint8_t order[19] = {17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  uint8_t of_lengths[19] = {0};
  const int given = 4 + bits_read(b, 4);
  for (int i = 0; i < given; i++) {
    of_lengths[order[i]] = (uint8_t)bits_read(b, 3);
  }
  struct code code = {.table = table};
  if (build(of_lengths, 19, table, &code.mask) == 0) {
    return FOVEA_WEBP_CORRUPT;
  }
  int left = symbols;
  if (bits_read(b, 1)) {
    left = 2 + bits_read(b, 2 + 2 * bits_read(b, 3));
    if (left > symbols) {
      return FOVEA_WEBP_CORRUPT;
    }
  }
  uint8_t last = 8;
  for (int i = 0; i < symbols && left > 0; left--) {
    bits_fill(b);
    const uint32_t s = symbol(&code, b);
    if (s < 16) {
      lengths[i++] = (uint8_t)s;
      last = s > 0 ? (uint8_t)s : last;
      continue;
    }
    static const int extra[] = {2, 3, 7}, least[] = {3, 3, 11};
    const int repeat = least[s - 16] + bits_take(b, extra[s - 16]);
    if (repeat > symbols - i) {
      return FOVEA_WEBP_CORRUPT;
    }
    memset(lengths + i, s == 16 ? last : 0, repeat);
    i += repeat;
  }
  return FOVEA_WEBP_OK;
}

enum fovea_webp_result read_code(struct bits *b, int symbols, struct tables *a, struct code *out) {
  uint8_t lengths[max_symbols];
  memset(lengths, 0, symbols < 256 ? 256 : symbols);
  enum fovea_webp_result result = FOVEA_WEBP_OK;
  if (bits_read(b, 1)) {
    read_simple(b, lengths);
  } else {
    result = read_lengths(b, symbols, lengths, a->scratch);
  }
  if (bits_ended(b)) {
    return FOVEA_WEBP_TRUNCATED;
  }
  if (result != FOVEA_WEBP_OK) {
    return result;
  }
  const size_t size = build(lengths, symbols, a->scratch, &out->mask);
  return size == 0 ? FOVEA_WEBP_CORRUPT : tables_keep(a, size, &out->table);
}
