// TensorRT 10 and its parser, simulated: objects of all its interfaces whose methods do nothing and return 0, so that the parser supports no
// operator and ONNX Runtime leaves all of them to CUDA. Only the builder's return an object, such as the network. A method is a pointer in
// the object's table or in that of its implementation, which is its second word (NvInferRuntime.h); here both are the object's own.
enum { methods = 256, version = 101303 };

struct object {
	void *(**table)(void);
	struct object *implementation;
};

static void *(*none[methods])(void), *(*all[methods])(void);
static struct object object = {none, &object}, builder = {all, &builder};

static void *nothing(void) { return 0; }
static void *made(void) { return &object; }

__attribute__((constructor)) static void fill(void) {
	for (int i = 0; i < methods; i++) {
		none[i] = nothing;
		all[i] = made;
	}
}

int getInferLibVersion(void) { return version; }
void *createInferBuilder_INTERNAL(void) { return &builder; }
void *createInferRuntime_INTERNAL(void) { return made(); }
void *createInferRefitter_INTERNAL(void) { return made(); }
void *createNvOnnxParser_INTERNAL(void) { return made(); }
void *createNvOnnxParserRefitter_INTERNAL(void) { return made(); }
void *getPluginRegistry(void) { return made(); }
