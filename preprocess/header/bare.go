package header

// Bare returns what a decoder of single pictures needs of data, without its alpha and without what only describes
// the picture; info must come from Read of the same data. It is data itself, except for
//
//   - a JPEG: what follows the scan that completes it is left out;
//   - an animated WebP, which OpenCV 4.6 does not read: a WebP of its first frame;
//   - a PNG with ancillary chunks: a PNG without them. Nothing in them changes the pixels that OpenCV gives for
//     IMREAD_COLOR, and for each broken one libpng prints a warning to the process's standard error.
func Bare(data []byte, info Info) []byte {
	switch {
	case info.end > 0:
		return data[:info.end]
	case info.frameEnd > 0:
		return stillWebP(data[info.frameStart:info.frameEnd])
	case info.ancillary:
		return barePNG(data)
	}
	return data
}
