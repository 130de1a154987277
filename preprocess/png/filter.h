#ifndef FOVEA_PNG_FILTER_H
#define FOVEA_PNG_FILTER_H

#include <stddef.h>

// fovea_unfilter undoes one of the five filters of PNG (third edition, 9.2) on a row of n bytes, of which pixel make a
// pixel. It returns 0 for a filter that does not exist. above is the row above without filter. Before row and above
// there are at least 8 bytes of zeros; behind these and behind from 8 bytes may be read, and behind row written.
int fovea_unfilter(int filter, const unsigned char *from, const unsigned char *above, unsigned char *row, size_t n, int pixel);

#endif
