package v2

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"

	"fovea/inference"
	"fovea/internal/apierror"
	"fovea/internal/repository"
)

// TensorMetadata describes an input or output. Shape has all dimensions; -1 is any size.
type TensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// ModelMetadata describes a model.
type ModelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// The platforms: models of ONNX Runtime, by Triton's name for them, and image views.
const (
	platform      = "onnxruntime_onnx"
	viewPlatform  = "fovea_image"
	backend       = "onnxruntime"
	viewBackend   = "fovea"
	modelFileName = "model.onnx"
)

// ModelMetadata describes a version of a model; without a version the highest, and all versions are listed.
func (s *Server) ModelMetadata(ctx context.Context, name, version string) (*ModelMetadata, error) {
	m, err := s.open(ctx, name, version)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	metadata := s.metadata(m)
	metadata.Versions = []string{m.info.Version}
	if version == "" {
		metadata.Versions = s.versions(m.info.Model)
	}
	return metadata, nil
}

// metadata describes an opened model, without its versions.
func (s *Server) metadata(m *opened) *ModelMetadata {
	if m.view != nil {
		return &ModelMetadata{Name: m.name, Platform: viewPlatform, Inputs: []TensorMetadata{{imageInput, Bytes, []int64{-1, 1}}}, Outputs: m.view.outputs}
	}
	return &ModelMetadata{Name: m.name, Platform: platform, Inputs: tensors(m.info.Inputs), Outputs: tensors(m.info.Outputs)}
}

func tensors(infos []repository.TensorInfo) []TensorMetadata {
	list := make([]TensorMetadata, len(infos))
	for i, info := range infos {
		list[i] = TensorMetadata{info.Name, names[info.DType], append([]int64{}, info.Shape...)}
	}
	return list
}

// versions are those of a model that are ready, ascending.
func (s *Server) versions(model string) []string {
	list := []string{}
	for _, m := range s.engine.Models() {
		if m.Name == model && m.State == inference.Ready && !slices.Contains(list, m.Version) {
			list = append(list, m.Version)
		}
	}
	return list
}

// shapeText is a shape as in JSON.
func shapeText(shape []int64) string {
	list := make([]string, len(shape))
	for i, d := range shape {
		list[i] = strconv.FormatInt(d, 10)
	}
	return "[" + strings.Join(list, ",") + "]"
}

// IndexEntry is a version of a model in the repository, or of an image view.
type IndexEntry struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"` // READY, LOADING, UNLOADING, UNAVAILABLE
	Reason  string `json:"reason,omitempty"`
}

// Index lists the models and views; with ready, only those that are. Pipelines have no tensors, and are not among them.
func (s *Server) Index(ready bool) []IndexEntry {
	list := []IndexEntry{}
	for _, m := range s.engine.Models() {
		usable := m.State == inference.Ready || m.State == inference.Unloaded
		if ready && !usable || !m.Task.TakesTensors() {
			continue
		}
		state := map[inference.State]string{inference.Ready: "READY", inference.Unloaded: "READY", inference.Loading: "LOADING", inference.Unloading: "UNLOADING"}[m.State]
		if state == "" {
			state = "UNAVAILABLE"
		}
		entry := IndexEntry{m.Name, m.Version, state, cmp.Or(m.Error, m.Reason)}
		list = append(list, entry)
		if usable && m.Task != repository.NoTask {
			entry.Name += repository.ViewSuffix
			list = append(list, entry)
		}
	}
	return list
}

// errControl is the error of loads and unloads that are not allowed.
var errControl = apierror.New(apierror.PermissionDenied, "explicit model load / unload is not allowed; the server's setting v2.control allows it")

// CheckLoadParameters returns an *apierror.Error if a load has parameters.
func CheckLoadParameters(model string, names iter.Seq[string]) error {
	for name := range names {
		return apierror.New(apierror.InvalidParameter, "failed to load '%s': parameter %s of a load is not supported: a model has the configuration and the files of the repository",
			Shortened(model), apierror.Quote(name))
	}
	return nil
}

// Load loads a model of the repository, or reads it again.
func (s *Server) Load(ctx context.Context, model string) error {
	if !s.limits.Control {
		return errControl
	}
	if err := s.engine.Load(ctx, model); err != nil {
		apiErr := apierror.From(err)
		return apierror.Wrap(apiErr.Code, apiErr.Cause, "failed to load '%s': %s", Shortened(model), apiErr.Message)
	}
	return nil
}

// Unload unloads a model. One that is not loaded is no error, as with Triton.
func (s *Server) Unload(model string) error {
	if !s.limits.Control {
		return errControl
	}
	return s.engine.Unload(model)
}
