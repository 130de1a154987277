package v2grpc

import (
	"fovea/api/v2grpc/pb"
	"fovea/internal/apierror"
	v2 "fovea/internal/v2"
)

// parse turns a message into a request, which refers to it. The error is an *apierror.Error.
func parse(m *pb.ModelInferRequest) (*v2.Request, error) {
	r := &v2.Request{Model: m.GetModelName(), Version: m.GetModelVersion(), Parameters: v2.Parameters{}}
	for name, p := range m.GetParameters() {
		r.Parameters[name] = value(p)
	}
	raw := m.GetRawInputContents()
	if err := checkParameters(m); err != nil {
		return nil, err
	}
	if err := checkContents(m); err != nil {
		return nil, err
	}
	for i, t := range m.GetInputs() {
		in := v2.Input{Name: t.GetName(), Datatype: t.GetDatatype(), Shape: t.GetShape()}
		typed := contents{t.GetContents()}
		switch {
		case len(raw) > 0:
			in.Data = v2.Raw(raw[i])
		case typed.isEmpty():
			return nil, apierror.New(apierror.Malformed, "unable to find data for input tensor '%s' in request: it has neither contents nor raw_input_contents", in.Name)
		default:
			in.Data = typed
		}
		r.Inputs = append(r.Inputs, in)
	}
	for _, t := range m.GetOutputs() {
		out := v2.OutputRequest{Name: t.GetName()}
		for name, p := range t.GetParameters() {
			if err := out.SetParameter(name, value(p)); err != nil {
				return nil, err
			}
		}
		r.Outputs = append(r.Outputs, out)
	}
	return r, nil
}

// checkParameters checks the parameters of the inputs, before their contents, which shared memory would be instead of.
func checkParameters(m *pb.ModelInferRequest) error {
	for _, t := range m.GetInputs() {
		for name := range t.GetParameters() {
			if err := v2.CheckTensorParameter(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkContents checks that each input has raw contents, or none has.
func checkContents(m *pb.ModelInferRequest) error {
	raw := len(m.GetRawInputContents())
	if raw == 0 {
		return nil
	}
	for _, t := range m.GetInputs() {
		if !(contents{t.GetContents()}).isEmpty() { // in the words of Triton, which its clients look for
			return apierror.New(apierror.Malformed, "contents field must not be specified when using raw_input_contents for '%s' for model '%s'", v2.Shortened(t.GetName()), v2.Shortened(m.GetModelName()))
		}
	}
	if n := len(m.GetInputs()); raw != n {
		return apierror.New(apierror.Malformed, "the request has %d raw_input_contents for %d inputs; allowed: none, or one for each", raw, n)
	}
	return nil
}

// value is the value of a parameter; nil if it has none.
func value(p *pb.InferParameter) any {
	switch v := p.GetParameterChoice().(type) {
	case *pb.InferParameter_BoolParam:
		return v.BoolParam
	case *pb.InferParameter_Int64Param:
		return v.Int64Param
	case *pb.InferParameter_StringParam:
		return v.StringParam
	case *pb.InferParameter_DoubleParam:
		return v.DoubleParam
	case *pb.InferParameter_Uint64Param:
		return v.Uint64Param
	}
	return nil
}

// response turns an answer into a message that shares its memory.
func response(id string, r *v2.Response) *pb.ModelInferResponse {
	m := &pb.ModelInferResponse{ModelName: r.Model, ModelVersion: r.Version, Id: id}
	for _, out := range r.Outputs {
		m.Outputs = append(m.Outputs, &pb.ModelInferResponse_InferOutputTensor{Name: out.Name, Datatype: out.Datatype, Shape: out.Shape})
		m.RawOutputContents = append(m.RawOutputContents, out.Data)
	}
	return m
}

func metadataOf(m *v2.ModelMetadata) *pb.ModelMetadataResponse {
	tensors := func(list []v2.TensorMetadata) (out []*pb.ModelMetadataResponse_TensorMetadata) {
		for _, t := range list {
			out = append(out, &pb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape})
		}
		return out
	}
	return &pb.ModelMetadataResponse{Name: m.Name, Versions: m.Versions, Platform: m.Platform, Inputs: tensors(m.Inputs), Outputs: tensors(m.Outputs)}
}

func modelConfig(c *v2.ModelConfig) *pb.ModelConfig {
	m := &pb.ModelConfig{Name: c.Name, Platform: c.Platform, Backend: c.Backend, MaxBatchSize: int32(c.MaxBatchSize),
		DefaultModelFilename: c.DefaultModelFilename, VersionPolicy: versionPolicy(c.VersionPolicy), Parameters: map[string]*pb.ModelParameter{}}
	for _, in := range c.Input {
		m.Input = append(m.Input, &pb.ModelInput{Name: in.Name, DataType: pb.DataType(pb.DataType_value[in.DataType]),
			Format: pb.ModelInput_Format(pb.ModelInput_Format_value[in.Format]), Dims: in.Dims})
	}
	for _, out := range c.Output {
		m.Output = append(m.Output, &pb.ModelOutput{Name: out.Name, DataType: pb.DataType(pb.DataType_value[out.DataType]), Dims: out.Dims, LabelFilename: out.LabelFilename})
	}
	for _, g := range c.InstanceGroup {
		m.InstanceGroup = append(m.InstanceGroup, &pb.ModelInstanceGroup{Name: g.Name, Count: int32(g.Count), Gpus: g.GPUs,
			Kind: pb.ModelInstanceGroup_Kind(pb.ModelInstanceGroup_Kind_value[g.Kind])})
	}
	if d := c.DynamicBatching; d != nil {
		batching := &pb.ModelDynamicBatching{MaxQueueDelayMicroseconds: uint64(d.MaxQueueDelay)}
		for _, n := range d.PreferredBatchSize {
			batching.PreferredBatchSize = append(batching.PreferredBatchSize, int32(n))
		}
		m.SchedulingChoice = &pb.ModelConfig_DynamicBatching{DynamicBatching: batching}
	}
	for name, p := range c.Parameters {
		m.Parameters[name] = &pb.ModelParameter{StringValue: p.StringValue}
	}
	return m
}

func versionPolicy(p v2.VersionPolicy) *pb.ModelVersionPolicy {
	switch {
	case p.All != nil:
		return &pb.ModelVersionPolicy{PolicyChoice: &pb.ModelVersionPolicy_All_{All: &pb.ModelVersionPolicy_All{}}}
	case p.Specific != nil:
		return &pb.ModelVersionPolicy{PolicyChoice: &pb.ModelVersionPolicy_Specific_{Specific: &pb.ModelVersionPolicy_Specific{Versions: p.Specific.Versions}}}
	}
	return &pb.ModelVersionPolicy{PolicyChoice: &pb.ModelVersionPolicy_Latest_{Latest: &pb.ModelVersionPolicy_Latest{NumVersions: uint32(p.Latest.NumVersions)}}}
}

func statistics(list []v2.ModelStatistics) *pb.ModelStatisticsResponse {
	m := &pb.ModelStatisticsResponse{}
	d := func(d v2.Duration) *pb.StatisticDuration { return &pb.StatisticDuration{Count: d.Count, Ns: d.NS} }
	for _, s := range list {
		i := s.InferenceStats
		stats := &pb.ModelStatistics{Name: s.Name, Version: s.Version, LastInference: s.LastInference, InferenceCount: s.InferenceCount, ExecutionCount: s.ExecutionCount,
			InferenceStats: &pb.InferStatistics{Success: d(i.Success), Fail: d(i.Fail), Queue: d(i.Queue), ComputeInput: d(i.ComputeInput),
				ComputeInfer: d(i.ComputeInfer), ComputeOutput: d(i.ComputeOutput), CacheHit: d(i.CacheHit), CacheMiss: d(i.CacheMiss)}}
		for _, b := range s.BatchStats {
			stats.BatchStats = append(stats.BatchStats, &pb.InferBatchStatistics{BatchSize: b.BatchSize, ComputeInput: d(b.ComputeInput),
				ComputeInfer: d(b.ComputeInfer), ComputeOutput: d(b.ComputeOutput)})
		}
		m.ModelStats = append(m.ModelStats, stats)
	}
	return m
}
