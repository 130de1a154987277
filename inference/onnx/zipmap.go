package onnx

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
	"fovea/internal/repository"
)

// findZipMaps finds outputs that are maps of scores (ZipMap) and declares their scores instead. A session fetches these: it adds
// them to the outputs of the graph, for which it is created from the file's bytes.
func (f *File) findZipMaps(path string) {
	if !repository.HasMaps(f.Outputs) {
		return
	}
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return
	}
	graph, err := repository.ReadGraph(file, stat.Size())
	if err != nil {
		return // the output remains a sequence, which no definition can read
	}
	f.scores = map[string]string{}
	for i, out := range f.Outputs {
		if z, ok := graph.ZipMaps[out.Name]; ok {
			f.scores[out.Name] = z.Scores
			f.Outputs[i] = graph.Outputs[slices.IndexFunc(graph.Outputs, func(t Info) bool { return t.Name == out.Name })]
		}
	}
}

// fetched returns the names of the tensors of outputs, and those that are no outputs of the file's graph.
func (f *File) fetched(outputs []Info) (names, added []string) {
	for _, out := range outputs {
		name := out.Name
		if scores, ok := f.scores[name]; ok {
			name, added = scores, append(added, scores)
		}
		names = append(names, name)
	}
	return names, added
}

// maxProtobuf is the size of the largest message that protobuf can parse.
const maxProtobuf = 1<<31 - 1

// newExtendedSession creates a session of the file at path whose graph has further outputs.
func newExtendedSession(path string, added, inputs, outputs []string, options *ort.SessionOptions) (*ort.DynamicAdvancedSession, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	more := repository.MoreOutputs(added)
	size := stat.Size() + int64(len(more))
	if size > maxProtobuf {
		return nil, fmt.Errorf("the file has %d bytes; a model with ZipMap may have at most %d", stat.Size(), maxProtobuf-len(more))
	}
	// Paths of external data are relative to the file. Outside Go's heap, the file's bytes are free as soon as it is parsed.
	if err := options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", filepath.Dir(path)); err != nil {
		return nil, err
	}
	block, err := native.Alloc(int(size))
	if err != nil {
		return nil, err
	}
	data := block.Bytes()
	_, err = io.ReadFull(file, data[:stat.Size()])
	copy(data[stat.Size():], more)
	var session *ort.DynamicAdvancedSession
	if err == nil {
		session, err = ort.NewDynamicAdvancedSessionWithONNXData(data, inputs, outputs, options)
	}
	return session, errors.Join(err, block.Free())
}
