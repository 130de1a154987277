#include "textflag.h"

// func weighBlocks(to, planes *float32, plane uintptr, factors *[4]float32, n int)
// Requires AVX and FMA.
TEXT ·weighBlocks(SB), NOSPLIT, $0-40
	MOVQ to+0(FP), DI
	MOVQ planes+8(FP), SI
	MOVQ plane+16(FP), DX
	MOVQ factors+24(FP), R8
	MOVQ n+32(FP), CX
	VBROADCASTSS (R8), Y0
	VBROADCASTSS 4(R8), Y1
	VBROADCASTSS 8(R8), Y2
	VBROADCASTSS 12(R8), Y3
	LEAQ (SI)(DX*1), R9
	LEAQ (SI)(DX*2), R10
	LEAQ (R9)(DX*2), R11
	XORQ AX, AX

next:
	CMPQ AX, CX
	JGE  done
	VMOVUPS (DI)(AX*4), Y4
	VFMADD231PS (SI)(AX*4), Y0, Y4
	VFMADD231PS (R9)(AX*4), Y1, Y4
	VFMADD231PS (R10)(AX*4), Y2, Y4
	VFMADD231PS (R11)(AX*4), Y3, Y4
	VMOVUPS Y4, (DI)(AX*4)
	ADDQ $8, AX
	JMP  next

done:
	VZEROUPPER
	RET

// func aboveBlocks(to *uint64, values *float32, threshold float32, n int)
// Requires AVX.
TEXT ·aboveBlocks(SB), NOSPLIT, $0-32
	MOVQ to+0(FP), DI
	MOVQ values+8(FP), SI
	VBROADCASTSS threshold+16(FP), Y0
	MOVQ n+24(FP), CX

block:
	CMPQ CX, $8
	JL   end
	VMOVUPS (SI), Y1
	VCMPPS $0x1e, Y0, Y1, Y2 // greater than, false for NaN
	VMOVMSKPS Y2, AX
	MOVB AX, (DI)
	ADDQ $32, SI
	INCQ DI
	SUBQ $8, CX
	JMP  block

end:
	VZEROUPPER
	RET

// func crossBlocks(rows *[8]int32, sides *uint8, list *cells, n int, p *crossings)
// Requires AVX2.
TEXT ·crossBlocks(SB), NOSPLIT, $0-40
	MOVQ rows+0(FP), DI
	MOVQ sides+8(FP), DX
	MOVQ list+16(FP), SI
	MOVQ n+24(FP), CX
	MOVQ p+32(FP), R8
	VBROADCASTSS (R8), Y0   // part
	VBROADCASTSS 4(R8), Y1  // threshold
	VBROADCASTSD 16(R8), Y2 // offset
	VBROADCASTSD 8(R8), Y3  // scale
	MOVQ $0x3fe0000000000000, AX
	MOVQ AX, X15
	VBROADCASTSD X15, Y15   // 0.5
	MOVQ $0x3ff0000000000000, AX
	MOVQ AX, X14
	VBROADCASTSD X14, Y14   // 1

cells:
	VMULPS 128(SI), Y0, Y4
	VADDPS 96(SI), Y4, Y4   // a
	VMULPS 192(SI), Y0, Y6
	VADDPS 160(SI), Y6, Y6  // b
	VCMPPS $0x1e, Y1, Y6, Y7 // b is above
	VMOVMSKPS Y7, AX
	MOVB AX, (DX)
	VCMPPS $0x1e, Y1, Y4, Y13 // a is above
	VXORPS Y7, Y13, Y13
	VSUBPS Y4, Y1, Y5       // threshold - a
	VSUBPS Y4, Y6, Y6       // b - a
	VMOVAPS X5, X8
	VCVTPS2PD X8, Y8
	VMOVAPS X6, X9
	VCVTPS2PD X9, Y9
	VDIVPD Y9, Y8, Y8
	VCVTDQ2PD 0(SI), Y9 // line
	VADDPD Y8, Y9, Y8
	VSUBPD Y2, Y8, Y8
	VDIVPD Y3, Y8, Y8
	VSUBPD Y15, Y8, Y8
	VROUNDPD $1, Y8, Y9
	VADDPD Y14, Y9, Y9
	VROUNDPD $2, Y8, Y8
	VMOVAPS X7, X10
	VPMOVSXDQ X10, Y10
	VBLENDVPD Y10, Y9, Y8, Y8 // above: floor + 1, else ceil
	VCVTDQ2PD 64(SI), Y9 // high
	VMINPD Y9, Y8, Y8 // high for NaN
	VCVTTPD2DQY Y8, X8
	VPMAXSD 32(SI), X8, X11 // low
	VEXTRACTF128 $1, Y5, X8
	VCVTPS2PD X8, Y8
	VEXTRACTF128 $1, Y6, X9
	VCVTPS2PD X9, Y9
	VDIVPD Y9, Y8, Y8
	VCVTDQ2PD 16(SI), Y9 // line
	VADDPD Y8, Y9, Y8
	VSUBPD Y2, Y8, Y8
	VDIVPD Y3, Y8, Y8
	VSUBPD Y15, Y8, Y8
	VROUNDPD $1, Y8, Y9
	VADDPD Y14, Y9, Y9
	VROUNDPD $2, Y8, Y8
	VEXTRACTF128 $1, Y7, X10
	VPMOVSXDQ X10, Y10
	VBLENDVPD Y10, Y9, Y8, Y8 // above: floor + 1, else ceil
	VCVTDQ2PD 80(SI), Y9 // high
	VMINPD Y9, Y8, Y8 // high for NaN
	VCVTTPD2DQY Y8, X8
	VPMAXSD 48(SI), X8, X12 // low
	VINSERTF128 $1, X12, Y11, Y11
	VMOVUPS 64(SI), Y8
	VBLENDVPS Y13, Y11, Y8, Y8 // high where both are on one side
	VMOVUPS Y8, (DI)
	ADDQ $224, SI
	ADDQ $32, DI
	INCQ DX
	DECQ CX
	JNZ  cells
	VZEROUPPER
	RET
