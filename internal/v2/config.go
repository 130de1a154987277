package v2

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"fovea/inference"
	"fovea/internal/repository"
)

// ModelConfig is what of Triton's model configuration applies to a model. With MaxBatchSize above 0, dimensions are without that
// of the batch.
type ModelConfig struct {
	Name                 string                    `json:"name"`
	Platform             string                    `json:"platform"`
	Backend              string                    `json:"backend"`
	VersionPolicy        VersionPolicy             `json:"version_policy"`
	MaxBatchSize         int                       `json:"max_batch_size"`
	Input                []ConfigInput             `json:"input"`
	Output               []ConfigOutput            `json:"output"`
	InstanceGroup        []InstanceGroup           `json:"instance_group"`
	DefaultModelFilename string                    `json:"default_model_filename"`
	DynamicBatching      *DynamicBatching          `json:"dynamic_batching,omitempty"`
	Parameters           map[string]ParameterValue `json:"parameters"`
}

// VersionPolicy says which versions are served: one of its fields is set.
type VersionPolicy struct {
	Latest   *LatestVersions   `json:"latest,omitempty"`
	All      *struct{}         `json:"all,omitempty"`
	Specific *SpecificVersions `json:"specific,omitempty"`
}

// LatestVersions are the highest versions.
type LatestVersions struct {
	NumVersions int `json:"num_versions"`
}

// SpecificVersions are listed versions.
type SpecificVersions struct {
	Versions []int64 `json:"versions"`
}

// ConfigInput is an input.
type ConfigInput struct {
	Name     string  `json:"name"`
	DataType string  `json:"data_type"`
	Format   string  `json:"format"` // FORMAT_NONE, FORMAT_NHWC, FORMAT_NCHW
	Dims     []int64 `json:"dims"`
}

// ConfigOutput is an output.
type ConfigOutput struct {
	Name          string  `json:"name"`
	DataType      string  `json:"data_type"`
	Dims          []int64 `json:"dims"`
	LabelFilename string  `json:"label_filename"`
}

// InstanceGroup is a number of instances.
type InstanceGroup struct {
	Name  string  `json:"name"`
	Kind  string  `json:"kind"` // KIND_CPU, KIND_GPU
	Count int     `json:"count"`
	GPUs  []int32 `json:"gpus"`
}

// DynamicBatching says how rows of different requests share runs.
type DynamicBatching struct {
	PreferredBatchSize []int `json:"preferred_batch_size"`
	MaxQueueDelay      int64 `json:"max_queue_delay_microseconds"`
}

// ParameterValue is the value of a parameter.
type ParameterValue struct {
	StringValue string `json:"string_value"`
}

// ModelConfig returns the configuration of a version of a model.
func (s *Server) ModelConfig(ctx context.Context, name, version string) (*ModelConfig, error) {
	m, err := s.open(ctx, name, version)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return s.config(m), nil
}

func (s *Server) config(m *opened) *ModelConfig {
	d, metadata := &m.info.Definition, s.metadata(m)
	c := &ModelConfig{Name: m.name, Platform: metadata.Platform, Backend: backend, VersionPolicy: policy(d.Versions), MaxBatchSize: s.batchSize(m),
		DefaultModelFilename: modelFileName, Parameters: map[string]ParameterValue{"task": {string(d.Task)}}}
	if m.view != nil {
		c.Backend = viewBackend
	}
	for _, t := range metadata.Inputs {
		in := ConfigInput{t.Name, configType(t.Datatype), "FORMAT_NONE", c.dims(t.Shape)}
		if m.view == nil && t.Name == m.info.Image && len(t.Shape) == 4 {
			in.Format = "FORMAT_" + strings.ToUpper(d.Input.Layout)
		}
		c.Input = append(c.Input, in)
	}
	for _, t := range metadata.Outputs {
		c.Output = append(c.Output, ConfigOutput{t.Name, configType(t.Datatype), c.dims(t.Shape), m.labelFile(t)})
	}
	for i, g := range m.info.Instances {
		c.InstanceGroup = append(c.InstanceGroup, instanceGroup(m.name+"_"+strconv.Itoa(i), g))
	}
	if m.info.MaxBatch > 1 {
		c.DynamicBatching = &DynamicBatching{[]int{m.info.MaxBatch}, d.Batching.MaxDelay.Microseconds()}
	}
	return c
}

// batchSize is the largest batch of a request; 0 if its first dimension is that of no batch.
func (s *Server) batchSize(m *opened) int {
	if m.view == nil && !m.info.Batched {
		return 0
	}
	return max(1, min(s.limits.Rows, m.info.MaxQueue))
}

// maxRows is the bound of a request's first dimension; 0 if there is none: without a task, the first dimension may be no batch.
func (s *Server) maxRows(m *opened) int {
	if m.view == nil && m.info.Definition.Task == repository.NoTask && m.info.MaxBatch == 1 {
		return 0
	}
	return s.batchSize(m)
}

// dims are the dimensions of a tensor, without that of the batch.
func (c *ModelConfig) dims(shape []int64) []int64 {
	if c.MaxBatchSize > 0 && len(shape) > 0 {
		return shape[1:]
	}
	return shape
}

// configType is the name of a datatype in a configuration.
func configType(datatype string) string {
	if datatype == Bytes {
		return "TYPE_STRING"
	}
	return "TYPE_" + datatype
}

// labelFile is the file with the labels of an output's elements; empty if they have none.
func (m *opened) labelFile(t TensorMetadata) string {
	n, ok := elements(slices.DeleteFunc(slices.Clone(t.Shape[min(1, len(t.Shape)):]), func(d int64) bool { return d < 1 }))
	if !ok || !classifies(t.Datatype) {
		return ""
	}
	if labels, _ := m.labels(int(n)); labels == nil {
		return ""
	}
	if file := m.info.Definition.LabelsFile; file != "" {
		return file
	}
	return "labels.txt" // of an inferred definition
}

func policy(v repository.Versions) VersionPolicy {
	switch {
	case v.All:
		return VersionPolicy{All: &struct{}{}}
	case len(v.Numbers) > 0:
		p := &SpecificVersions{}
		for _, n := range v.Numbers {
			p.Versions = append(p.Versions, int64(n))
		}
		return VersionPolicy{Specific: p}
	}
	return VersionPolicy{Latest: &LatestVersions{1}}
}

func instanceGroup(name string, g inference.InstanceGroup) InstanceGroup {
	group := InstanceGroup{Name: name, Kind: "KIND_CPU", Count: g.Count, GPUs: []int32{}}
	if index, isGPU := strings.CutPrefix(g.Device, "cuda:"); isGPU {
		n, _ := strconv.ParseInt(index, 10, 32) // a device's own name
		group.Kind, group.GPUs = "KIND_GPU", []int32{int32(n)}
	}
	return group
}
