package header

import (
	"slices"

	"fovea/internal/apierror"
)

const (
	// maxHEIFMeta bounds the boxes that describe items; those of a photograph in a thousand tiles take 60 KB.
	maxHEIFMeta = 1 << 20
	// maxHEIFItems bounds the items, their properties and what they refer to.
	maxHEIFItems = 1 << 13
)

// heifItem is an item of a HEIF file (ISO/IEC 14496-12, 8.11).
type heifItem struct {
	kind       string // of infe; "" if the item is not described
	protected  bool
	inIdat     bool
	derived    bool // its data comes from another item
	extents    []heifExtent
	properties []heifProperty
}

type heifExtent struct{ offset, length uint64 }

// heifProperty is a property (8.11.14) that an item has.
type heifProperty struct {
	isoBox
	essential bool
}

// heifReference says what an item is derived from or belongs to (8.11.12).
type heifReference struct {
	kind string
	from int
	to   []int
}

// heifMeta is the content of a meta box.
type heifMeta struct {
	data       []byte // the file
	idat       []byte
	primary    int
	items      map[int]*heifItem
	references []heifReference
}

// parseMeta reads the boxes that describe the items of a file.
func parseMeta(f Format, data []byte) (*heifMeta, error) {
	var meta []byte
	var isCut bool
	valid := isoBoxes(data, func(b isoBox) bool {
		if b.kind == "meta" {
			meta, isCut = b.body, b.cut
		} else if b.cut {
			isCut = true
		}
		return meta == nil && !isCut
	})
	switch {
	case isCut:
		return nil, truncated(f)
	case meta == nil && valid:
		return nil, apierror.New(apierror.UnsupportedFormat, "%s without a still image is not supported; %s; allowed: %s", f, asJPEG, Allowed)
	case len(meta) < 4:
		return nil, corrupt(f, "its boxes are not valid")
	}
	m := &heifMeta{data: data, items: map[int]*heifItem{}}
	boxes := map[string][]byte{}
	size := 0
	valid = isoBoxes(meta[4:], func(b isoBox) bool {
		if boxes[b.kind] == nil {
			boxes[b.kind] = b.body
		}
		if b.kind != "idat" {
			size += len(b.body)
		}
		return !b.cut
	})
	if size > maxHEIFMeta {
		return nil, corrupt(f, "its meta box has %d bytes; the limit is %d", size, maxHEIFMeta)
	}
	m.idat = boxes["idat"]
	for _, read := range []struct {
		kind string
		read func([]byte) bool
	}{{"pitm", m.readPrimary}, {"iinf", m.readInfos}, {"iloc", m.readLocations}, {"iprp", m.readProperties}, {"iref", m.readReferences}} {
		body, found := boxes[read.kind]
		if !found && read.kind == "iref" {
			continue
		}
		if !valid || !found || !read.read(body) {
			return nil, corrupt(f, "its %s box is missing or not valid", read.kind)
		}
	}
	return m, nil
}

// item returns an item, a new one if need be; nil if there are too many.
func (m *heifMeta) item(id int) *heifItem {
	if m.items[id] == nil {
		if len(m.items) >= maxHEIFItems {
			return nil
		}
		m.items[id] = &heifItem{}
	}
	return m.items[id]
}

// readPrimary reads pitm (8.11.4).
func (m *heifMeta) readPrimary(body []byte) bool {
	r := isoReader{rest: body}
	version, _ := r.full()
	m.primary = int(r.number(wide(version > 0)))
	return !r.short
}

// readInfos reads iinf and infe (8.11.6).
func (m *heifMeta) readInfos(body []byte) bool {
	r := isoReader{rest: body}
	version, _ := r.full()
	r.number(wide(version > 0))
	return isoBoxes(r.rest, func(b isoBox) bool {
		e := isoReader{rest: b.body}
		version, _ := e.full()
		if b.kind != "infe" || version < 2 {
			return true
		}
		item := m.item(int(e.number(wide(version > 2))))
		protection, kind := e.u16(), string(e.bytes(4))
		if item != nil && !e.short {
			item.kind, item.protected = kind, protection != 0
		}
		return item != nil
	})
}

// readLocations reads iloc (8.11.3).
func (m *heifMeta) readLocations(body []byte) bool {
	r := isoReader{rest: body}
	version, _ := r.full()
	sizes := r.u16()
	offsetBytes, lengthBytes, baseBytes, indexBytes := sizes>>12, sizes>>8&15, sizes>>4&15, sizes&15
	if max(offsetBytes, lengthBytes, baseBytes, indexBytes) > 8 || version > 2 {
		return false
	}
	if version == 0 {
		indexBytes = 0
	}
	total := 0
	for n := r.number(wide(version > 1)); n > 0 && !r.short; n-- {
		item := m.item(int(r.number(wide(version > 1))))
		if item == nil {
			return false
		}
		if version > 0 {
			method := r.u16() & 15
			item.inIdat, item.derived = method == 1, method > 1
		}
		reference, base := r.u16(), r.number(baseBytes)
		item.derived = item.derived || reference != 0 // in another file
		item.extents = nil
		for extents := r.u16(); extents > 0 && !r.short; extents-- {
			if total++; total > maxHEIFItems {
				return false
			}
			r.number(indexBytes)
			offset := r.number(offsetBytes)
			item.extents = append(item.extents, heifExtent{base + offset, r.number(lengthBytes)})
		}
	}
	return !r.short
}

// readProperties reads iprp: the properties in ipco, and which items have them in ipma (ISO/IEC 23008-12, 9.3).
func (m *heifMeta) readProperties(body []byte) bool {
	var all []isoBox
	var uses [][]byte
	valid := isoBoxes(body, func(b isoBox) bool {
		switch b.kind {
		case "ipco":
			isoBoxes(b.body, func(p isoBox) bool {
				all = append(all, p)
				return len(all) < maxHEIFItems
			})
		case "ipma":
			uses = append(uses, b.body)
		}
		return !b.cut
	})
	for _, use := range uses {
		valid = valid && m.readUses(use, all)
	}
	return valid
}

// readUses reads ipma.
func (m *heifMeta) readUses(body []byte, all []isoBox) bool {
	r := isoReader{rest: body}
	version, flags := r.full()
	bytes, bit := 1, 1<<7
	if flags&1 != 0 {
		bytes, bit = 2, 1<<15
	}
	total := 0
	for n := r.u32(); n > 0 && !r.short; n-- {
		item := m.item(int(r.number(wide(version > 0))))
		if item == nil {
			return false
		}
		for uses := r.u8(); uses > 0 && !r.short; uses-- {
			v := int(r.number(bytes))
			index := v &^ bit
			if total++; total > 4*maxHEIFItems {
				return false
			}
			if index == 0 {
				continue // none
			}
			if index > len(all) {
				return false
			}
			item.properties = append(item.properties, heifProperty{all[index-1], v&bit != 0})
		}
	}
	return !r.short
}

// readReferences reads iref.
func (m *heifMeta) readReferences(body []byte) bool {
	r := isoReader{rest: body}
	version, _ := r.full()
	total, valid := 0, true
	inside := isoBoxes(r.rest, func(b isoBox) bool {
		e := isoReader{rest: b.body}
		reference := heifReference{kind: b.kind, from: int(e.number(wide(version > 0)))}
		for n := e.u16(); n > 0 && !e.short; n-- {
			reference.to = append(reference.to, int(e.number(wide(version > 0))))
			total++
		}
		m.references = append(m.references, reference)
		total++
		valid = !e.short && total <= maxHEIFItems
		return valid
	})
	return inside && valid && !r.short
}

// property returns the body of an item's first property of a kind, nil without one.
func (i *heifItem) property(kind string) []byte {
	for _, p := range i.properties {
		if p.kind == kind {
			return p.body
		}
	}
	return nil
}

// parts returns the data of an item as slices of the file, which together are not larger than it.
func (m *heifMeta) parts(f Format, i *heifItem) ([][]byte, error) {
	from := m.data
	if i.inIdat {
		from = m.idat
	}
	if i.derived || len(i.extents) == 0 {
		return nil, corrupt(f, "the data of an image is not in the file")
	}
	var parts [][]byte
	size, sum := uint64(len(from)), uint64(0)
	for _, e := range i.extents {
		if e.offset > size || e.length > size-e.offset {
			return nil, truncated(f)
		}
		if e.length == 0 {
			e.length = size - e.offset // all
		}
		if sum += e.length; sum > size {
			return nil, corrupt(f, "parts of an image overlap")
		}
		parts = append(parts, from[e.offset:][:e.length])
	}
	return parts, nil
}

// whole returns the data of an item in one piece.
func (m *heifMeta) whole(f Format, i *heifItem) ([]byte, error) {
	parts, err := m.parts(f, i)
	if err == nil && len(parts) == 1 {
		return parts[0], nil
	}
	return slices.Concat(parts...), err
}
