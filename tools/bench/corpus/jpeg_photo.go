package corpus

import "math"

// texture returns blocks of quantized coefficients in zigzag order, as photographs have them: Laplacian, less of the higher
// frequencies. Images are made of these in turn.
func texture(detail float64) [][64]int16 {
	random := seeded(2)
	blocks := make([][64]int16, 4099) // a prime, so that rows do not repeat
	for i := range blocks {
		busy := detail * math.Exp(random.NormFloat64()*0.7)
		for k := range blocks[i] {
			spread := 60.0
			if k > 0 {
				spread = busy * 24 / math.Pow(float64(k), 1.1)
			}
			v := random.ExpFloat64() * spread
			if random.IntN(2) == 0 {
				v = -v
			}
			blocks[i][k] = int16(max(-1000, min(v, 1000)))
		}
	}
	return blocks
}

// step is one scan of a progressive JPEG: of one component, or of all when it is −1.
type step struct{ component, first, last, high, low int }

// standard returns the script of libjpeg's jpeg_simple_progression: for YCbCr 10 scans, for n other components 2 + 4·n.
func standard(components int) []step {
	if components == 3 {
		return []step{
			{-1, 0, 0, 0, 1}, {0, 1, 5, 0, 2}, {2, 1, 63, 0, 1}, {1, 1, 63, 0, 1}, {0, 6, 63, 0, 2}, {0, 1, 63, 2, 1},
			{-1, 0, 0, 1, 0}, {2, 1, 63, 1, 0}, {1, 1, 63, 1, 0}, {0, 1, 63, 1, 0},
		}
	}
	script := []step{{-1, 0, 0, 0, 1}}
	each := func(s step) {
		for c := range components {
			s.component = c
			script = append(script, s)
		}
	}
	each(step{0, 1, 5, 0, 2})
	each(step{0, 6, 63, 0, 2})
	each(step{0, 1, 63, 2, 1})
	script = append(script, step{-1, 0, 0, 1, 0})
	each(step{0, 1, 63, 1, 0})
	return script
}

// progressive writes a JPEG of blocks by a script.
func progressive(width, height int, components []component, script []step, blocks [][64]int16) []byte {
	f := newJPEG(sof2, width, height, components)
	for _, s := range script {
		f.step(s, blocks)
	}
	return f.end()
}

func (f *jpegFile) step(s step, blocks [][64]int16) {
	members := []int{s.component}
	if s.component < 0 {
		members = f.componentIndexes()
	}
	header := func() { f.scanHeader(members, s.first, s.last, s.high, s.low) }
	period := len(blocks)
	if s.first == 0 {
		units, _ := f.mcus()
		f.writeScan(units, period, header, f.encodeDC(s, blocks))
		return
	}
	if period == 1 && blocks[0] == empty[0] {
		f.writeScan(1, 1, header, func(e *entropy, _ int) { e.emptyBlocks(f.blocks(s.component)) })
		return
	}
	f.writeScan(f.blocks(s.component), period, header, func(e *entropy, i int) {
		if s.high == 0 {
			e.first(&blocks[i%period], s.first, s.last, s.low)
		} else {
			e.refine(&blocks[i%period], s.first, s.last, s.low)
		}
	})
}

// encodeDC returns what codes the DC of a unit of all components.
func (f *jpegFile) encodeDC(s step, blocks [][64]int16) func(*entropy, int) {
	_, each := f.mcus()
	return func(e *entropy, i int) {
		at := i * each
		for c, comp := range f.components {
			for range comp.h * comp.v {
				v := int(blocks[at%len(blocks)][0]) >> s.low
				if at++; s.high > 0 {
					e.raw(uint32(v), 1)
					continue
				}
				e.value(0, 0, v-e.last[c])
				e.last[c] = v
			}
		}
	}
}

// baseline writes a sequential JPEG of blocks in one scan; interval is the units between two restarts, 0 for none.
func baseline(width, height int, components []component, blocks [][64]int16, interval int) []byte {
	f := newJPEG(sof0, width, height, components)
	if interval > 0 {
		f.segment(dri, []byte{byte(interval >> 8), byte(interval)})
	}
	units, each := f.mcus()
	header := func() { f.scanHeader(f.componentIndexes(), 0, 63, 0, 0) }
	f.writeScan(units, len(blocks), header, func(e *entropy, i int) {
		if interval > 0 && i > 0 && i%interval == 0 {
			e.restart(i/interval - 1)
		}
		at := i * each
		for c, comp := range components {
			for range comp.h * comp.v {
				b := &blocks[at%len(blocks)]
				e.sequential(b, e.last[c])
				e.last[c] = int(b[0])
				at++
			}
		}
	})
	return f.end()
}

// restart ends the data of an interval with a marker of its number.
func (e *entropy) restart(number int) {
	e.last = [4]int{}
	if e.codes != nil {
		e.align()
		e.n = 0
		e.out = append(e.out, 0xFF, byte(rst0+number%8))
	}
}
