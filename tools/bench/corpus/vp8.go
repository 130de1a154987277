package corpus

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// boolEncoder is VP8's arithmetic coder (RFC 6386, 7.3).
type boolEncoder struct {
	out      []byte
	width    uint32 // of the interval, 128 to 255
	bottom   uint32
	bitCount int
}

func newBoolEncoder(capacity int) *boolEncoder {
	return &boolEncoder{out: make([]byte, 0, capacity), width: 255, bitCount: 24}
}

// write codes a bit that is 0 with the probability zero/256.
func (e *boolEncoder) write(bit bool, zero byte) {
	split := 1 + (e.width-1)*uint32(zero)>>8
	if bit {
		e.bottom += split
		if e.bottom < split {
			e.carry()
		}
		e.width -= split
	} else {
		e.width = split
	}
	for e.width < 128 {
		e.width <<= 1
		if e.bottom&(1<<31) != 0 {
			e.carry()
		}
		e.bottom <<= 1
		if e.bitCount--; e.bitCount == 0 {
			e.out = append(e.out, byte(e.bottom>>24))
			e.bottom &= 1<<24 - 1
			e.bitCount = 8
		}
	}
}

// carry adds 1 to what is written.
func (e *boolEncoder) carry() {
	i := len(e.out) - 1
	for ; i >= 0 && e.out[i] == 0xFF; i-- {
		e.out[i] = 0
	}
	e.out[i]++
}

// number writes a number of evenly distributed bits, the highest first.
func (e *boolEncoder) number(v, bits int) {
	for bits--; bits >= 0; bits-- {
		e.write(v>>bits&1 != 0, 128)
	}
}

// end writes what is left.
func (e *boolEncoder) end() []byte {
	e.number(0, 32)
	return e.out
}

// tokenUpdates are the probabilities, in 256ths, that one of the 1,056 probabilities of tokens is not updated (RFC 6386,
// 13.4), where they are not 255.
var tokenUpdates = map[int]byte{
	33: 176, 34: 246, 44: 223, 45: 241, 46: 252, 55: 249, 56: 253, 57: 253, 67: 244, 68: 252, 77: 234, 78: 254, 79: 254,
	88: 253, 100: 246, 101: 254, 110: 239, 111: 253, 112: 254, 121: 254, 123: 254, 133: 248, 134: 254, 143: 251,
	145: 254, 166: 253, 167: 254, 176: 251, 177: 254, 178: 254, 187: 254, 189: 254, 199: 254, 200: 253, 202: 254,
	209: 250, 211: 254, 213: 254, 220: 254, 264: 217, 275: 225, 276: 252, 277: 241, 278: 253, 281: 254, 286: 234,
	287: 250, 288: 241, 289: 250, 290: 253, 292: 253, 293: 254, 298: 254, 308: 223, 309: 254, 310: 254, 319: 238,
	320: 253, 321: 254, 322: 254, 331: 248, 332: 254, 341: 249, 342: 254, 364: 253, 374: 247, 375: 254, 397: 253,
	398: 254, 407: 252, 430: 254, 431: 254, 440: 253, 463: 254, 464: 253, 473: 250, 484: 254, 528: 186, 529: 251,
	530: 250, 539: 234, 540: 251, 541: 244, 542: 254, 550: 251, 551: 251, 552: 243, 553: 253, 554: 254, 556: 254,
	562: 253, 563: 254, 572: 236, 573: 253, 574: 254, 583: 251, 584: 253, 585: 253, 586: 254, 587: 254, 595: 254,
	596: 254, 605: 254, 606: 254, 607: 254, 628: 254, 638: 254, 639: 254, 649: 254, 671: 254, 792: 248, 803: 250,
	804: 254, 805: 252, 806: 254, 814: 248, 815: 254, 816: 249, 817: 253, 826: 253, 827: 253, 836: 246, 837: 253,
	838: 253, 847: 252, 848: 254, 849: 251, 850: 254, 851: 254, 859: 254, 860: 252, 869: 248, 870: 254, 871: 253,
	880: 253, 882: 254, 883: 254, 892: 251, 893: 254, 902: 245, 903: 251, 904: 254, 913: 253, 914: 253, 915: 254,
	925: 251, 926: 253, 935: 252, 936: 253, 937: 254, 947: 254, 958: 252, 968: 249, 970: 254, 981: 254, 992: 253,
	1001: 250, 1034: 254,
}

// tokenTree holds the probabilities of the branches of VP8's token tree (RFC 6386, 13.3), here the same in every context.
type tokenTree [11]byte

var (
	// photographic needs about as many bits a coefficient as a photograph of high quality.
	photographic = tokenTree{25, 110, 128, 200, 128, 128, 200, 128, 200, 128, 128}
	// cheap makes all coefficients 3, 4 or their negatives, which takes the most branches per bit: six that cost next to
	// nothing, and the sign. No encoder writes such data.
	cheap = tokenTree{1, 1, 1, 255, 1, 255, 255, 255, 255, 255, 255}
)

// extraBits are the probabilities, in 256ths, that the extra bits of a token are 0 (RFC 6386, 13.2).
var extraBits = [6][]byte{{159}, {165, 145}, {173, 148, 140}, {176, 155, 140, 135}, {180, 157, 141, 134, 130},
	{254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129}}

// block writes the coefficients of a block. Branches are random by their probability; those of 1 and 255 always take the
// likelier side.
func (p *tokenTree) block(e *boolEncoder, random *rand.Rand) {
	branch := func(i int) bool {
		bit := p[i] < 128
		if p[i] != 1 && p[i] != 255 {
			bit = byte(random.Uint32()) >= p[i]
		}
		e.write(bit, p[i])
		return bit
	}
	afterZero := false // after which a block cannot end
	for i := range 16 {
		if !afterZero && !branch(0) {
			return
		}
		if afterZero = i < 15 && !branch(1); afterZero {
			continue
		}
		if i == 15 && !branch(1) {
			return
		}
		if category := p.magnitude(branch); category > 0 {
			for _, zero := range extraBits[category-1] {
				e.write(false, zero)
			}
		}
		e.number(int(random.Uint32()&1), 1) // the sign
	}
}

// magnitude writes the branches of a coefficient that is not 0 and returns the category of its extra bits; 0: none.
func (p *tokenTree) magnitude(branch func(int) bool) (category int) {
	one := func(i int) int {
		if branch(i) {
			return 1
		}
		return 0
	}
	switch {
	case !branch(2):
	case !branch(3):
		if branch(4) {
			branch(5)
		}
	case !branch(6):
		return 1 + one(7)
	case !branch(8):
		return 3 + one(9)
	default:
		return 5 + one(10)
	}
	return 0
}

// vp8 returns a key frame whose macroblocks have coefficients as far as maxBytes last; those after them have none.
func vp8(width, height, maxBytes int, filter int, tree tokenTree) []byte {
	macroblocks := ceilDiv(width, 16) * ceilDiv(height, 16)
	data, random, coded := newBoolEncoder(maxBytes), seeded(1), 0
	head := 1024 + macroblocks*5/8 // bytes of the first partition, about
	for ; coded < macroblocks && len(data.out) < maxBytes-head-2048; coded++ {
		for range 24 {
			tree.block(data, random)
		}
	}
	first := newBoolEncoder(head)
	first.number(0, 1+1+1+1) // color space, clamping, no segments, normal filter
	first.number(filter, 6)
	first.number(0, 3+1+2) // sharpness, no filter adjustments, one partition
	first.number(4, 7)     // quantizer
	first.number(0, 5+1)   // no other quantizers; the probabilities are for this frame
	for i := range 4 * 8 * 3 * 11 {
		zero, known := tokenUpdates[i]
		if !known {
			zero = 255
		}
		first.write(true, zero)
		first.number(int(tree[i%11]), 8)
	}
	notSkipped := byte(max(1, min(255, 256*coded/macroblocks)))
	first.number(1, 1) // macroblocks without coefficients are skipped
	first.number(int(notSkipped), 8)
	for i := range macroblocks {
		first.write(i >= coded, notSkipped)
		first.write(false, 145) // blocks of 4×4 pixels are predicted
		for range 16 {
			first.write(false, 231) // from the mean of their edges,
		}
		first.write(false, 142) // as is chroma
	}
	return vp8Chunk(width, height, first.end(), data.end())
}

// vp8Chunk adds the frame header, which is not coded (RFC 6386, 9.1), to the two partitions.
func vp8Chunk(width, height int, first, coefficients []byte) []byte {
	frame := []byte{0x10 | byte(len(first)<<5), byte(len(first) >> 3), byte(len(first) >> 11), 0x9D, 0x01, 0x2A}
	frame = binary.LittleEndian.AppendUint16(frame, uint16(width))
	frame = binary.LittleEndian.AppendUint16(frame, uint16(height))
	return riffChunk("VP8 ", bytes.Join([][]byte{frame, first, coefficients}, nil))
}
