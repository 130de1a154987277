package onnx

import (
	"os"
	"slices"

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
