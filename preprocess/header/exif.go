package header

import "encoding/binary"

// exifName precedes EXIF data in a JPEG. It does not belong in PNG and WebP, but some programs write it there too.
const exifName = "Exif\x00\x00"

// orientation parses the orientation, 1–8, from EXIF data: a TIFF header and its directory (EXIF 2.32, 4.5.2 and 4.6.2),
// optionally after exifName. It returns 0 if there is none or the data is corrupt; viewers then leave the image as stored, and
// so do we.
func orientation(tiff []byte) int {
	if has(tiff, 0, exifName) {
		tiff = tiff[len(exifName):]
	}
	if len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(tiff[:4]) {
	case "II*\x00":
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return 0
	}
	entries := tiff[at+2:]
	for n := order.Uint16(tiff[at:]); n > 0 && len(entries) >= 12; n-- {
		if order.Uint16(entries) == 0x0112 {
			return orientationValue(order, entries)
		}
		entries = entries[12:]
	}
	return 0
}

// orientationValue reads the value of the tag: a SHORT, or the LONG that some programs write and Pillow accepts.
func orientationValue(order binary.ByteOrder, entry []byte) int {
	const short, long = 3, 4
	var value uint32
	switch order.Uint16(entry[2:]) {
	case short:
		value = uint32(order.Uint16(entry[8:]))
	case long:
		value = order.Uint32(entry[8:])
	}
	if value < 1 || value > 8 {
		return 0
	}
	return int(value)
}
