package header

import "image"

// transform reads what is to be done with an image of a size after it was decoded: a crop, then quarter turns and mirroring in the order of
// the properties (ISO/IEC 23008-12, 6.5.9 to 6.5.12).
func (file *HEIFFile) transform(i *heifItem, size image.Point) error {
	file.Crop, file.orientation = image.Rectangle{Max: size}, 1
	for _, p := range i.properties {
		r := isoReader{rest: p.body}
		switch p.kind {
		case "irot":
			for range r.u8() & 3 {
				file.orientation = turnedLeft[file.orientation]
			}
		case "imir":
			if r.u8()&1 == 0 {
				file.orientation = mirroredDown[file.orientation]
			} else {
				file.orientation = mirroredAcross[file.orientation]
			}
		case "clap":
			if file.orientation != 1 {
				return corrupt(file.Format, "its clean aperture follows its rotation")
			}
			crop, valid := aperture(r, size)
			if !valid {
				return corrupt(file.Format, "its clean aperture lies outside the image")
			}
			file.Crop = crop
		}
		if r.short {
			return corrupt(file.Format, "its property %s is truncated", p.kind)
		}
	}
	file.Width, file.Height = file.Crop.Dx(), file.Crop.Dy()
	return nil
}

// What an EXIF orientation becomes if the upright image is then turned left by a quarter, its top exchanged with its bottom, or its left
// with its right.
var (
	turnedLeft     = [9]int{1: 8, 2: 5, 3: 6, 4: 7, 5: 4, 6: 1, 7: 2, 8: 3}
	mirroredDown   = [9]int{1: 4, 2: 3, 3: 2, 4: 1, 5: 8, 6: 7, 7: 6, 8: 5}
	mirroredAcross = [9]int{1: 2, 2: 1, 3: 4, 4: 3, 5: 6, 6: 5, 7: 8, 8: 7}
)

// aperture reads clap (ISO/IEC 14496-12, 12.1.4): size and distance of the centers, as fractions. Only whole pixels are supported, as in
// libavif.
func aperture(r isoReader, size image.Point) (image.Rectangle, bool) {
	var v [8]int64
	for i := range v {
		v[i] = int64(int32(r.number(4)))
	}
	if r.short || v[1] <= 0 || v[3] <= 0 || v[5] <= 0 || v[7] <= 0 || v[0]%v[1] != 0 || v[2]%v[3] != 0 {
		return image.Rectangle{}, false
	}
	w, h := v[0]/v[1], v[2]/v[3]
	left, exactX := start(int64(size.X), w, v[4], v[5])
	top, exactY := start(int64(size.Y), h, v[6], v[7])
	crop := image.Rect(int(left), int(top), int(left+w), int(top+h))
	return crop, exactX && exactY && w > 0 && h > 0 && crop.In(image.Rectangle{Max: size})
}

// start is where a crop begins whose center is offset/divisor from that of an image: (size − crop)/2 + offset/divisor.
func start(size, crop, offset, divisor int64) (int64, bool) {
	sum := (size-crop)*divisor + 2*offset
	return sum / (2 * divisor), sum >= 0 && sum%(2*divisor) == 0
}
