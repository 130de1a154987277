#include "shrink.h"

#include <stdlib.h>

// The compiler turns the loops over rows into SIMD: SSE2 or NEON, which every machine has, or AVX2 where available.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

// span is the source of one target pixel: count pixels from first on, with weights that add up to 1.
struct span {
  int first, count;
  const float *weights;
};

// spans computes a side in one allocation; NULL if out of memory.
static struct span *spans(struct fovea_area_side s) {
  const double factor = (s.high - s.low) / s.size;
  const size_t most = (size_t)factor + 3;
  struct span *list = malloc(s.count * (sizeof *list + most * sizeof(float)));
  if (list == NULL) {
    return NULL;
  }
  float *weights = (float *)(list + s.count);
  for (int i = 0; i < s.count; i++, weights += most) {
    const double low = s.low + (s.begin + i) * factor, high = low + factor;
    int first = (int)low, count = 0;
    if (first + 1 - low < 1e-3) { // only a rounding error
      first++;
    }
    for (int j = first; j < s.high && (count == 0 || high - j > 1e-3) && (size_t)count < most; j++) {
      const double from = j > low ? j : low, to = j + 1 < high ? j + 1 : high;
      weights[count++] = (float)((to - from) / factor);
    }
    list[i] = (struct span){first, count, weights};
  }
  return list;
}

CLONES static void add_row(float *restrict sum, const unsigned char *restrict from, int n, float weight, int is_first) {
  if (is_first) {
    for (int i = 0; i < n; i++) {
      sum[i] = weight * from[i];
    }
    return;
  }
  for (int i = 0; i < n; i++) {
    sum[i] += weight * from[i];
  }
}

static void across(const float *sum, const struct span *x, int count, unsigned char *out) {
  for (int i = 0; i < count; i++, out += 3) {
    const float *from = sum + 3 * (x[i].first - x[0].first);
    float a = 0.5f, b = 0.5f, c = 0.5f; // the cast below rounds down
    for (int j = 0; j < x[i].count; j++, from += 3) {
      const float weight = x[i].weights[j];
      a += weight * from[0];
      b += weight * from[1];
      c += weight * from[2];
    }
    out[0] = (unsigned char)a;
    out[1] = (unsigned char)b;
    out[2] = (unsigned char)c;
  }
}

int fovea_area_shrink(const unsigned char *from, size_t stride, struct fovea_area_side x, struct fovea_area_side y,
                      unsigned char *out) {
  struct span *columns = spans(x), *rows = spans(y);
  float *sum = NULL;
  if (columns != NULL && rows != NULL) {
    const struct span last = columns[x.count - 1];
    const int n = 3 * (last.first + last.count - columns[0].first);
    sum = malloc(n * sizeof(float));
    from += 3 * columns[0].first;
    for (int i = 0; sum != NULL && i < y.count; i++, out += 3 * x.count) {
      for (int j = 0; j < rows[i].count; j++) {
        add_row(sum, from + stride * (rows[i].first + j), n, rows[i].weights[j], j == 0);
      }
      across(sum, columns, x.count, out);
    }
  }
  free(columns);
  free(rows);
  free(sum);
  return sum == NULL ? -1 : 0;
}
