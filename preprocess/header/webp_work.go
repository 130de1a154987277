package header

import "fovea/internal/apierror"

// What decoding a lossy WebP costs at most, in nanoseconds on a processor of 2024: each pixel is predicted and filtered, and
// each has 1.5 coefficients. Data can be made so that it decodes to coefficients faster than any encoder's does, but not to
// more than there are.
const (
	lossyPixel       = 2
	lossyByte        = 88
	lossyCoefficient = 30 // those of a pixel
)

// maxLossyWork is what is allowed for each pixel of an image at the limit of pixels, or at the default limit where that is
// higher: 1.5 times the cost of a photograph of 50 megapixels in 16 MiB. Only images above 40 megapixels can exceed it.
const maxLossyWork = 26

// checkLossy refuses a lossy WebP whose data costs too much.
func (l Limits) checkLossy(info Info) error {
	coded := info.Coded()
	pixels := int64(coded.X) * int64(coded.Y)
	allowed := maxLossyWork*max(l.pixels(), DefaultMaxPixels) - lossyPixel*pixels
	if min(lossyByte*int64(info.lossyBytes), lossyCoefficient*pixels) <= allowed {
		return nil
	}
	return apierror.New(apierror.ImageTooLarge, "WebP has %d bytes of lossy data for %d×%d pixels; the limit for that size is %d bytes: save it with a lower quality, or smaller",
		info.lossyBytes, info.Width, info.Height, allowed/lossyByte)
}
