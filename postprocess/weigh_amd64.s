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
