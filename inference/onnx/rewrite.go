package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
	"fovea/internal/repository"
)

// TakePixels has the sessions of the file take pixels for the image input of a resolved definition with normalize: graph. The input is one of
// uint8 then.
func (f *File) TakePixels(in repository.Input) error {
	i := slices.IndexFunc(f.Inputs, func(t Info) bool { return t.Name == in.Name })
	if i < 0 {
		return fmt.Errorf("input.name: the model has no input %q", in.Name)
	}
	f.pixels = &in
	f.Inputs = slices.Clone(f.Inputs)
	f.Inputs[i].DType = repository.Uint8
	return nil
}

// fed returns the names of the graph's inputs that inputs are written to.
func (f *File) fed(inputs []Info) []string {
	names := namesOf(inputs)
	for i, name := range names {
		if f.pixels != nil && name == f.pixels.Name {
			names[i] = repository.PixelInput(name)
		}
	}
	return names
}

// maxProtobuf is the size of the largest message that protobuf can parse.
const maxProtobuf = 1<<31 - 1

// newRewrittenSession creates a session of the file at path with changes of its graph: of its inputs, and further outputs.
func newRewrittenSession(path string, changes repository.InputChanges, added, inputs, outputs []string, options *ort.SessionOptions) (*ort.DynamicAdvancedSession, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	message := repository.Unchanged(stat.Size())
	if changes.Any() {
		if message, err = repository.ChangeInputs(file, stat.Size(), changes); err != nil {
			return nil, err
		}
	}
	if len(added) > 0 {
		message.Append(repository.MoreOutputs(added))
	}
	if more := message.Size() - stat.Size(); message.Size() > maxProtobuf {
		return nil, fmt.Errorf("the file has %d bytes; a model with ZipMap, input.normalize: graph or TensorRT may have at most %d, without its external data",
			stat.Size(), maxProtobuf-more)
	}
	// Paths of external data are relative to the file. Outside Go's heap, the file's bytes are free as soon as it is parsed.
	if err := options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", filepath.Dir(path)); err != nil {
		return nil, err
	}
	block, err := native.Alloc(int(message.Size()))
	if err != nil {
		return nil, err
	}
	var session *ort.DynamicAdvancedSession
	if err = message.Fill(block.Bytes(), file); err == nil {
		session, err = ort.NewDynamicAdvancedSessionWithONNXData(block.Bytes(), inputs, outputs, options)
	}
	return session, errors.Join(err, block.Free())
}
