package v2

import (
	"context"
	"maps"
	"slices"

	"fovea/inference"
	"fovea/internal/apierror"
)

// Duration is a number of events and their total time in nanoseconds.
type Duration struct {
	Count uint64 `json:"count"`
	NS    uint64 `json:"ns"`
}

func duration(d inference.Duration) Duration {
	return Duration{uint64(d.Count), uint64(d.Time.Nanoseconds())}
}

// InferStatistics are the times of requests.
type InferStatistics struct {
	Success       Duration `json:"success"`
	Fail          Duration `json:"fail"`
	Queue         Duration `json:"queue"`
	ComputeInput  Duration `json:"compute_input"`
	ComputeInfer  Duration `json:"compute_infer"`
	ComputeOutput Duration `json:"compute_output"`
	CacheHit      Duration `json:"cache_hit"` // there is no cache of responses
	CacheMiss     Duration `json:"cache_miss"`
}

// BatchStatistics are the times of requests whose largest run had a number of rows.
type BatchStatistics struct {
	BatchSize     uint64   `json:"batch_size"`
	ComputeInput  Duration `json:"compute_input"`
	ComputeInfer  Duration `json:"compute_infer"`
	ComputeOutput Duration `json:"compute_output"`
}

// ModelStatistics are those of one version since it was loaded. InferenceCount counts rows, ExecutionCount runs.
type ModelStatistics struct {
	Name           string            `json:"name"`
	Version        string            `json:"version"`
	LastInference  uint64            `json:"last_inference"` // milliseconds since 1970
	InferenceCount uint64            `json:"inference_count"`
	ExecutionCount uint64            `json:"execution_count"`
	InferenceStats InferStatistics   `json:"inference_stats"`
	ResponseStats  struct{}          `json:"response_stats"`
	BatchStats     []BatchStatistics `json:"batch_stats"`
	MemoryUsage    []struct{}        `json:"memory_usage"`
}

// ModelStatistics returns the statistics of a model: of all versions that are ready, or of one. Without a name they are those of all
// models and views.
func (s *Server) ModelStatistics(ctx context.Context, name, version string) ([]ModelStatistics, error) {
	list := []ModelStatistics{}
	if name == "" {
		for _, entry := range s.Index(true) {
			list = s.appendStatistics(ctx, list, entry.Name, entry.Version)
		}
		return list, nil
	}
	if s.isUnloaded(name, version) {
		return nil, apierror.New(apierror.NotReady, "model '%s' is not loaded, and has no statistics", Shortened(name))
	}
	m, err := s.open(ctx, name, version)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	versions := []string{version}
	if version == "" {
		versions = s.versions(m.info.Model)
	}
	for _, v := range versions {
		list = s.appendStatistics(ctx, list, name, v)
	}
	if len(list) == 0 {
		return nil, apierror.New(apierror.NotReady, "requested model '%s' is not available", Shortened(name))
	}
	return list, nil
}

// appendStatistics adds those of a version, unless it is no longer ready.
func (s *Server) appendStatistics(ctx context.Context, list []ModelStatistics, name, version string) []ModelStatistics {
	if s.isUnloaded(name, version) {
		return list
	}
	m, err := s.open(ctx, name, version)
	if err != nil {
		return list
	}
	defer m.Close()
	kind := inference.OfTensors
	if m.view != nil {
		kind = inference.OfImages
	}
	v := m.Statistics(kind)
	stats := ModelStatistics{Name: name, Version: m.info.Version, InferenceCount: uint64(v.Rows), ExecutionCount: uint64(v.Runs),
		InferenceStats: InferStatistics{Success: duration(v.Success), Fail: duration(v.Fail), Queue: duration(v.Queue),
			ComputeInput: duration(v.Input), ComputeInfer: duration(v.Compute), ComputeOutput: duration(v.Outputs)},
		BatchStats: []BatchStatistics{}, MemoryUsage: []struct{}{}}
	if !v.Last.IsZero() {
		stats.LastInference = uint64(v.Last.UnixMilli())
	}
	for _, size := range slices.Sorted(maps.Keys(v.Batches)) {
		b := v.Batches[size]
		stats.BatchStats = append(stats.BatchStats, BatchStatistics{uint64(size), duration(b.Input), duration(b.Compute), duration(b.Outputs)})
	}
	return append(list, stats)
}
