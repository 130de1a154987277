package main

import (
	"reflect"
	"strings"
)

// key is one value of the configuration that a file, the environment or a flag can set.
type key struct {
	path  string // such as http.max_images
	usage string
	value any // the default
}

// variable is the key's environment variable, such as FOVEA_HTTP_MAX_IMAGES.
func (k key) variable() string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

// usages says what the keys of packages are for whose Config doesn't say it in a tag.
var usages = map[string]string{
	"inference.library":          "libonnxruntime.so; empty: searched for",
	"inference.device":           "auto, cpu, cuda or cuda:N, for models that name none",
	"inference.models":           "models to serve, as NAME or NAME:required; empty: all of the repository",
	"inference.default":          "the model of POST /predict; empty: the first",
	"inference.workers":          "pictures decoded, and batches run on the CPU, at once; 0: one per core",
	"inference.max_pixels":       "pixels of a picture",
	"inference.instances":        "instances per device, for models that name none; 0: one per core on the CPU, one on a GPU",
	"inference.threads":          "threads within one operator on the CPU",
	"inference.cuda.mem_limit":   "bytes of a session's arena on a GPU; 0: no bound",
	"inference.cuda.conv_search": "HEURISTIC, EXHAUSTIVE or DEFAULT",
	"inference.cuda.no_tf32":     "full float32 in convolutions",
	"inference.cuda.prefer_nhwc": "channels last in convolutions",
}

// keys lists the keys of a configuration struct, in its order.
func keys(config any) []key { return keysOf("", reflect.ValueOf(config)) }

func keysOf(prefix string, v reflect.Value) (list []key) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		path := prefix + field.Tag.Get("yaml")
		if field.Type.Kind() == reflect.Struct {
			list = append(list, keysOf(path+".", v.Field(i))...)
			continue
		}
		usage := field.Tag.Get("usage")
		if usage == "" {
			usage = usages[path]
		}
		list = append(list, key{path, usage, v.Field(i).Interface()})
	}
	return list
}
