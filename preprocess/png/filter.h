#ifndef FOVEA_PNG_FILTER_H
#define FOVEA_PNG_FILTER_H

#include <stddef.h>

// fovea_unfilter undoes one of the five filters of PNG (third edition, 9.2) on a row of n bytes, of which pixel make a
// pixel. It returns 0 for an unknown filter. above is the unfiltered row above. row and above are preceded by at least 8
// bytes of zeros; 8 bytes after each of the three may be read, and after row written.
int fovea_unfilter(int filter, const unsigned char *from, const unsigned char *above, unsigned char *row, size_t n, int pixel);

#endif
