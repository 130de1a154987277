// cuBLAS, cuBLASLt and cuRAND, simulated: handles that hold nothing.
#include <stdlib.h>

static int made(void **thing) { return *thing = calloc(1, 64), *thing ? 0 : 3; }
int cublasCreate_v2(void **h) { return made(h); }
int cublasDestroy_v2(void *h) { return free(h), 0; }
int cublasGetMathMode(void *h, int *mode) { return (void)h, *mode = 0; }
const char *cublasGetStatusName(void) { return "simulated"; }
const char *cublasGetStatusString(void) { return "simulated"; }
int cublasLtCreate(void **h) { return made(h); }
int cublasLtDestroy(void *h) { return free(h), 0; }
int cublasLtMatmulDescCreate(void **h) { return made(h); }
int cublasLtMatrixLayoutCreate(void **h) { return made(h); }
int cublasLtMatmulPreferenceCreate(void **h) { return made(h); }
int cublasLtMatrixTransformDescCreate(void **h) { return made(h); }
