package header

import (
	"image"
	"slices"

	"fovea/internal/apierror"
)

// HEIFFile is the primary image of an AVIF or a HEIC (ISO/IEC 23008-12; AVIF 1.2).
type HEIFFile struct {
	Format        Format // AVIF or HEIC
	Width, Height int    // pixels as stored, within the clean aperture
	Crop          image.Rectangle
	Color         HEIFImage
	Alpha         *HEIFImage // nil for an opaque image; as large as Color
	Multiplied    bool       // the colors are multiplied by alpha

	orientation int
}

// HEIFImage is a coded image: one, or a grid of tiles of the same size, in rows from the top left. The last ones may extend beyond the
// image.
type HEIFImage struct {
	Config                []byte // body of the hvcC or av1C box that describes all tiles
	BitDepth, Channels    int
	TileWidth, TileHeight int
	Columns, Rows         int
	Tiles                 [][][]byte // data of each tile, in parts of the file
	Frames                int        // that a tile holds at most: layers, or hidden ones
	// Matrix, Primaries and FullRange are what the file says of the colors (ISO/IEC 23091-2); -1 where it leaves that to the codec.
	Matrix, Primaries, FullRange int

	width, height int // of the whole
}

const (
	maxHEIFTiles = 4096 // of 64×64 pixels in 16 megapixels; phones make 200 for 50 megapixels
	minHEIFTile  = 64   // ISO/IEC 23000-22 (MIAF), 7.3.11.4.2
	maxFrames    = 4    // of an AV1 image item: its layers (AVIF 1.2, 2.3.2.1)
)

// codedKinds are the types of coded items that are supported.
var codedKinds = map[string]struct {
	format Format
	config string
}{"av01": {AVIF, "av1C"}, "hvc1": {HEIC, "hvcC"}, "hev1": {HEIC, "hvcC"}}

// readHEIF reads an AVIF or a HEIC. f is what its brands say, but what counts is how the primary image is coded.
func readHEIF(f Format, data []byte) (Info, error) {
	file, err := parseHEIF(f, data)
	if file.Width == 0 {
		return Info{}, err
	}
	info := Info{Format: file.Format, Width: file.Width, Height: file.Height, Orientation: file.orientation, BitDepth: file.Color.BitDepth,
		Channels: file.Color.Channels}
	if file.Alpha != nil {
		info.Channels++
	}
	for _, i := range []*HEIFImage{&file.Color, file.Alpha} {
		if i != nil {
			info.padded = max(info.padded, float64(i.TileWidth)*float64(i.TileHeight)*float64(i.Columns)*float64(i.Rows))
			info.frames = max(info.frames, i.Frames)
		}
	}
	return info, err
}

// ParseHEIF reads the primary image of an AVIF or a HEIC, and checks that its data is there, its tiles do not overlap and each holds one
// frame. Errors are *apierror.Error; the result holds the size if that was reached.
func ParseHEIF(data []byte) (HEIFFile, error) { return parseHEIF(sniff(data), data) }

func parseHEIF(f Format, data []byte) (HEIFFile, error) {
	meta, err := parseMeta(f, data)
	if err != nil {
		return HEIFFile{}, err
	}
	file := HEIFFile{Format: f}
	primary := meta.items[meta.primary]
	if primary == nil || primary.kind == "" {
		return HEIFFile{}, corrupt(f, "its primary image is not described")
	}
	if file.Format, err = meta.formatOf(f, primary); err != nil {
		return HEIFFile{}, err
	}
	size, err := sizeOf(file.Format, primary)
	if err != nil {
		return HEIFFile{}, err
	}
	if err := file.transform(primary, size); err != nil {
		return HEIFFile{}, err
	}
	if file.Color, err = meta.image(file.Format, primary, size); err != nil {
		return file, err
	}
	return file, file.readAlpha(meta)
}

// formatOf returns the format that an item is coded in, or its tiles.
func (m *heifMeta) formatOf(f Format, i *heifItem) (Format, error) {
	kind := i.kind
	if kind == "grid" {
		tiles := m.referred("dimg", i)
		if len(tiles) == 0 || m.items[tiles[0]] == nil {
			return f, corrupt(f, "the tiles of its grid are not described")
		}
		kind = m.items[tiles[0]].kind
	}
	coded, known := codedKinds[kind]
	switch {
	case !known:
		return f, apierror.New(apierror.UnsupportedFormat, "%s whose primary image is of type %q is not supported; %s; allowed: %s", f, kind, asJPEG, Allowed)
	case !isBuiltIn(coded.format):
		return f, notBuiltIn(coded.format)
	}
	return coded.format, nil
}

// referred returns what an item refers to.
func (m *heifMeta) referred(kind string, i *heifItem) []int {
	for _, r := range m.references {
		if r.kind == kind && m.items[r.from] == i {
			return r.to
		}
	}
	return nil
}

// sizeOf reads an item's ispe (ISO/IEC 23008-12, 6.5.3).
func sizeOf(f Format, i *heifItem) (image.Point, error) {
	r := isoReader{rest: i.property("ispe")}
	r.full()
	w, h := r.u32(), r.u32()
	if r.short || w < 1 || h < 1 {
		return image.Point{}, corrupt(f, "the size of an image is missing")
	}
	return image.Pt(w, h), nil
}

// handled are the properties that are read, or say nothing about pixels. Others that are essential make a file unsupported.
var handled = []string{"ispe", "pixi", "av1C", "hvcC", "colr", "irot", "imir", "clap", "auxC", "pasp", "a1lx", "clli", "mdcv"}

// checkEssential refuses an item with an essential property that is not handled.
func checkEssential(f Format, i *heifItem) error {
	for _, p := range i.properties {
		switch {
		case !p.essential || slices.Contains(handled, p.kind):
		case p.kind == "a1op" && len(p.body) == 1 && p.body[0] == 0: // the usual operating point
		case p.kind == "lsel" && len(p.body) == 2 && p.body[0] == 0xFF && p.body[1] == 0xFF: // the highest layer
		default:
			return apierror.New(apierror.UnsupportedFormat, "%s with the property %q is not supported; %s", f, p.kind, asJPEG)
		}
	}
	if i.protected {
		return apierror.New(apierror.UnsupportedFormat, "%s with encrypted images is not supported; %s", f, asJPEG)
	}
	return nil
}

// image reads a coded item or a grid of them, of a size.
func (m *heifMeta) image(f Format, i *heifItem, size image.Point) (HEIFImage, error) {
	img := HEIFImage{Columns: 1, Rows: 1, TileWidth: size.X, TileHeight: size.Y, width: size.X, height: size.Y, Matrix: -1, Primaries: -1, FullRange: -1}
	if err := checkEssential(f, i); err != nil {
		return img, err
	}
	tiles := []*heifItem{i}
	if i.kind == "grid" {
		var err error
		if tiles, err = m.grid(f, i, &img); err != nil {
			return img, err
		}
	}
	return img, m.readTiles(f, &img, i, tiles)
}

// readTiles reads the tiles, which have one configuration in common.
func (m *heifMeta) readTiles(f Format, img *HEIFImage, whole *heifItem, tiles []*heifItem) error {
	kind := tiles[0].kind
	if codedKinds[kind].format != f {
		return corrupt(f, "an image of type %q belongs to one of another", kind)
	}
	img.Config = tiles[0].property(codedKinds[kind].config)
	if err := img.configure(f); err != nil {
		return err
	}
	img.colors(whole, tiles[0])
	sum := 0
	for _, tile := range tiles {
		size, err := sizeOf(f, tile)
		if err != nil {
			return err
		}
		if tile.kind != kind || size != image.Pt(img.TileWidth, img.TileHeight) || string(tile.property(codedKinds[kind].config)) != string(img.Config) {
			return corrupt(f, "its tiles differ in size or coding")
		}
		if err := checkEssential(f, tile); err != nil {
			return err
		}
		parts, err := m.parts(f, tile)
		if err != nil {
			return err
		}
		for _, p := range parts {
			sum += len(p)
		}
		img.Tiles = append(img.Tiles, parts)
	}
	if sum > len(m.data) {
		return corrupt(f, "its tiles overlap")
	}
	return img.countFrames(f)
}

// grid reads a grid (ISO/IEC 23008-12, 6.6.2.3) and returns its tiles.
func (m *heifMeta) grid(f Format, i *heifItem, img *HEIFImage) ([]*heifItem, error) {
	body, err := m.whole(f, i)
	if err != nil {
		return nil, err
	}
	r := isoReader{rest: body}
	r.u8()
	bytes := wide(r.u8()&1 != 0)
	img.Rows, img.Columns = r.u8()+1, r.u8()+1
	size := image.Pt(int(r.number(bytes)), int(r.number(bytes)))
	ids := m.referred("dimg", i)
	if r.short || len(ids) != img.Rows*img.Columns || size != image.Pt(img.width, img.height) {
		return nil, corrupt(f, "its grid of %d×%d tiles is not valid", img.Columns, img.Rows)
	}
	if len(ids) > maxHEIFTiles {
		return nil, apierror.New(apierror.ImageTooLarge, "%s has %d tiles; the limit is %d: save it with larger ones", f, len(ids), maxHEIFTiles)
	}
	var tiles []*heifItem
	for _, id := range ids {
		if m.items[id] == nil || m.items[id].kind == "grid" {
			return nil, corrupt(f, "the tiles of its grid are not described")
		}
		tiles = append(tiles, m.items[id])
	}
	tile, err := sizeOf(f, tiles[0])
	if err != nil {
		return nil, err
	}
	img.TileWidth, img.TileHeight = tile.X, tile.Y
	covers := func(tile, n, whole int) bool { return tile >= minHEIFTile && tile*n >= whole && tile*(n-1) < whole }
	if max(tile.X, tile.Y) > maxSide || !covers(tile.X, img.Columns, size.X) || !covers(tile.Y, img.Rows, size.Y) {
		return nil, corrupt(f, "its grid of %d×%d tiles of %d×%d pixels does not fit %d×%d pixels", img.Columns, img.Rows, tile.X, tile.Y, size.X, size.Y)
	}
	return tiles, nil
}

// colors reads colr of the whole image or its first tile (ISO/IEC 14496-12, 12.1.5). ICC profiles are ignored.
func (img *HEIFImage) colors(items ...*heifItem) {
	for _, i := range items {
		for _, p := range i.properties {
			if p.kind == "colr" && has(p.body, 0, "nclx") && len(p.body) >= 11 {
				r := isoReader{rest: p.body[4:]}
				img.Primaries, _, img.Matrix = r.u16(), r.u16(), r.u16()
				img.FullRange = r.u8() >> 7
				return
			}
		}
	}
}

// alphaKinds are the types of auxiliary images that are alpha (ISO/IEC 23008-12, 6.5.8; MIAF, 7.3.5.2).
var alphaKinds = []string{"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", "urn:mpeg:hevc:2015:auxid:1"}

// readAlpha finds the alpha of the primary image.
func (file *HEIFFile) readAlpha(m *heifMeta) error {
	for _, r := range m.references {
		item := m.items[r.from]
		if r.kind != "auxl" || item == nil || !slices.Contains(r.to, m.primary) {
			continue
		}
		kind := item.property("auxC")
		isAlpha := func(name string) bool { return has(kind, 4, name+"\x00") }
		if !slices.ContainsFunc(alphaKinds, isAlpha) {
			continue // a depth or gain map
		}
		size, err := sizeOf(file.Format, item)
		if err != nil {
			return err
		}
		if size != image.Pt(file.Color.width, file.Color.height) {
			return corrupt(file.Format, "its alpha is of another size")
		}
		alpha, err := m.image(file.Format, item, size)
		file.Alpha = &alpha
		file.Multiplied = slices.Contains(m.referred("prem", m.items[m.primary]), r.from)
		return err
	}
	return nil
}

// checkLayers rejects an image whose layers, which are all decoded, hold more pixels than the limit.
func (l Limits) checkLayers(info Info) error {
	if n := max(1, info.frames); info.weightedPixels()*float64(n) > float64(max(l.pixels(), minPixels)) {
		return apierror.New(apierror.ImageTooLarge, "%s of %d×%d pixels has %d layers; the limit is %s megapixels in all", info.Format, info.Width,
			info.Height, n, megapixels(l.pixels()))
	}
	return nil
}
