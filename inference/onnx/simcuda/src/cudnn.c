// cuDNN 9, simulated: every graph has one plan, which needs no workspace and computes nothing. Numbers are those of
// cudnn_graph.h: CUDNN_ATTR_ENGINECFG_KNOB_CHOICES is 302; types are 2 boolean, 3 int64, 15 descriptor, 23 int32.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int made(void **thing) { return *thing = calloc(1, 64), *thing ? 0 : 4000; }
#define CREATE(name) \
	int name(void **thing) { return made(thing); }
CREATE(cudnnCreate)
CREATE(cudnnCreateActivationDescriptor)
CREATE(cudnnCreateConvolutionDescriptor)
CREATE(cudnnCreateDropoutDescriptor)
CREATE(cudnnCreateFilterDescriptor)
CREATE(cudnnCreateLRNDescriptor)
CREATE(cudnnCreatePoolingDescriptor)
CREATE(cudnnCreateReduceTensorDescriptor)
CREATE(cudnnCreateTensorDescriptor)

size_t cudnnGetVersion(void) { return 91300; }
size_t cudnnGetCudartVersion(void) { return 13000; }
const char *cudnnGetErrorString(void) { return "simulated"; }
void cudnnGetLastErrorString(char *text, size_t size) {
	if (size > 0)
		*text = 0;
}

int cudnnBackendCreateDescriptor(int type, void **descriptor) { return (void)type, made(descriptor); }

int cudnnBackendGetAttribute(void *descriptor, int name, int type, int64_t size, int64_t *count, void *values) {
	size_t width = type == 2 ? 1 : type == 3 ? 8 : type == 23 ? 4 : 0;
	(void)descriptor;
	if (count != NULL)
		*count = name != 302 && (type == 15 || width > 0);
	if (values != NULL && size > 0 && name != 302)
		memset(values, 0, width);
	return 0;
}
