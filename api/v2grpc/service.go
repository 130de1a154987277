package v2grpc

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"fovea/api/v2grpc/pb"
	"fovea/internal/access"
	"fovea/internal/apierror"
	"fovea/internal/panics"
	"fovea/internal/requestid"
	v2 "fovea/internal/v2"
)

// service answers the calls.
type service struct {
	pb.UnimplementedGRPCInferenceServiceServer
	server *Server
}

// ServerLive reports whether the process requires no restart.
func (s *service) ServerLive(context.Context, *pb.ServerLiveRequest) (*pb.ServerLiveResponse, error) {
	return &pb.ServerLiveResponse{Live: s.server.Health.Report().Live()}, nil
}

// ServerReady reports whether the server may get requests.
func (s *service) ServerReady(context.Context, *pb.ServerReadyRequest) (*pb.ServerReadyResponse, error) {
	return &pb.ServerReadyResponse{Ready: s.server.Health.Report().Ready()}, nil
}

// ModelReady reports whether a model is ready.
func (s *service) ModelReady(ctx context.Context, r *pb.ModelReadyRequest) (*pb.ModelReadyResponse, error) {
	if err := messagesOf(ctx).client.MayUse(r.GetName()); err != nil {
		return nil, err
	}
	ready, err := s.server.Core.ModelReady(ctx, r.GetName(), r.GetVersion())
	if err != nil && apierror.From(err).Code == apierror.ModelNotFound {
		err = nil
	}
	return &pb.ModelReadyResponse{Ready: ready}, err
}

// ServerMetadata describes the server.
func (s *service) ServerMetadata(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	m := s.server.Core.ServerMetadata()
	return &pb.ServerMetadataResponse{Name: m.Name, Version: m.Version, Extensions: m.Extensions}, nil
}

// ModelMetadata describes a model.
func (s *service) ModelMetadata(ctx context.Context, r *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, error) {
	if err := messagesOf(ctx).client.MayUse(r.GetName()); err != nil {
		return nil, err
	}
	m, err := s.server.Core.ModelMetadata(ctx, r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	return metadataOf(m), nil
}

// ModelConfig returns the configuration of a model.
func (s *service) ModelConfig(ctx context.Context, r *pb.ModelConfigRequest) (*pb.ModelConfigResponse, error) {
	if err := messagesOf(ctx).client.MayUse(r.GetName()); err != nil {
		return nil, err
	}
	c, err := s.server.Core.ModelConfig(ctx, r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	return &pb.ModelConfigResponse{Config: modelConfig(c)}, nil
}

// ModelStatistics returns the statistics of a model, or of all.
func (s *service) ModelStatistics(ctx context.Context, r *pb.ModelStatisticsRequest) (*pb.ModelStatisticsResponse, error) {
	client := messagesOf(ctx).client
	if r.GetName() != "" {
		if err := client.MayUse(r.GetName()); err != nil {
			return nil, err
		}
	}
	list, err := s.server.Core.ModelStatistics(ctx, r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	return statistics(slices.DeleteFunc(list, func(m v2.ModelStatistics) bool { return client.MayUse(m.Name) != nil })), nil
}

// ModelInfer answers a request.
func (s *service) ModelInfer(ctx context.Context, m *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	return s.infer(ctx, m, 0)
}

// infer answers message i of a call.
func (s *service) infer(ctx context.Context, m *pb.ModelInferRequest, i int) (*pb.ModelInferResponse, error) {
	own := messagesOf(ctx)
	if err := own.refused(i); err != nil {
		return nil, err
	}
	if err := own.client.MayUse(m.GetModelName()); err != nil {
		return nil, err
	}
	r, err := parse(m)
	var answer *v2.Response
	if err == nil {
		r.Client, r.ClientShare = own.client.ID, s.server.ClientShare
		r.Grow = func(n int64) error { return own.grow(i, n) }
		if own.shares {
			r.Decoded = own.free
		}
		answer, err = s.server.Core.Infer(ctx, r)
	}
	if err != nil {
		if r == nil || !r.Accepted {
			model, _ := s.server.Core.Exists(m.GetModelName())
			s.server.Observer.Rejected(model, string(apierror.From(err).Code))
		}
		return nil, err
	}
	return response(m.GetId(), answer), nil
}

// ModelStreamInfer answers each message of a stream.
func (s *service) ModelStreamInfer(stream grpc.BidiStreamingServer[pb.ModelInferRequest, pb.ModelStreamInferResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	own := messagesOf(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	var sending sync.Mutex
	sent := 0
	for i := 0; ; i++ {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && own.isEnded():
			work.Wait()
			return apierror.New(apierror.Draining, "the server is shutting down; open a stream to another server or again later")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			cancel()
			return err
		}
		work.Go(func() {
			n := 0
			var answer *pb.ModelStreamInferResponse
			defer func() { own.done(i, n, sizeOf(answer.GetInferResponse())) }()
			answer = s.answer(ctx, m, i)
			sending.Lock()
			defer sending.Unlock()
			sent++
			if n = sent; stream.Send(answer) != nil {
				cancel() // the client is gone
			}
		})
	}
}

// answer is the answer to a message of a stream.
func (s *service) answer(ctx context.Context, m *pb.ModelInferRequest, i int) *pb.ModelStreamInferResponse {
	start := time.Now()
	var r *pb.ModelInferResponse
	own := messagesOf(ctx)
	_, leave, err := s.server.Guard.Enter(access.CallOf(pb.GRPCInferenceService_ModelStreamInfer_FullMethodName, m.GetModelName()), own.caller)
	defer leave()
	if err == nil {
		err = panics.Catch(func() (err error) {
			r, err = s.infer(ctx, m, i)
			return err
		})
	}
	s.server.observe(ctx, m, r, err, time.Since(start))
	if err != nil {
		return &pb.ModelStreamInferResponse{ErrorMessage: status.Convert(s.server.status(ctx, err)).Message(), InferResponse: &pb.ModelInferResponse{Id: m.GetId()}}
	}
	r.Parameters = map[string]*pb.InferParameter{"triton_final_response": {ParameterChoice: &pb.InferParameter_BoolParam{BoolParam: true}}}
	return &pb.ModelStreamInferResponse{InferResponse: r}
}

// checkRepository refuses a name of a repository, of which there is one.
func checkRepository(name string) error {
	if name != "" {
		return status.Error(codes.Unimplemented, "'repository_name' specification is not supported")
	}
	return nil
}

// RepositoryIndex lists the models.
func (s *service) RepositoryIndex(ctx context.Context, r *pb.RepositoryIndexRequest) (*pb.RepositoryIndexResponse, error) {
	if err := checkRepository(r.GetRepositoryName()); err != nil {
		return nil, err
	}
	m := &pb.RepositoryIndexResponse{}
	client := messagesOf(ctx).client
	for _, e := range s.server.Core.Index(r.GetReady()) {
		if client.MayUse(e.Name) != nil {
			continue
		}
		m.Models = append(m.Models, &pb.RepositoryIndexResponse_ModelIndex{Name: e.Name, Version: e.Version, State: e.State, Reason: e.Reason})
	}
	return m, nil
}

// RepositoryModelLoad loads a model.
func (s *service) RepositoryModelLoad(ctx context.Context, r *pb.RepositoryModelLoadRequest) (*pb.RepositoryModelLoadResponse, error) {
	if err := checkRepository(r.GetRepositoryName()); err != nil {
		return nil, err
	}
	if err := v2.CheckLoadParameters(r.GetModelName(), maps.Keys(r.GetParameters())); err != nil {
		return nil, err
	}
	if err := messagesOf(ctx).client.MayUse(r.GetModelName()); err != nil {
		return nil, err
	}
	return &pb.RepositoryModelLoadResponse{}, s.server.Core.Load(ctx, r.GetModelName())
}

// RepositoryModelUnload unloads a model.
func (s *service) RepositoryModelUnload(ctx context.Context, r *pb.RepositoryModelUnloadRequest) (*pb.RepositoryModelUnloadResponse, error) {
	if err := checkRepository(r.GetRepositoryName()); err != nil {
		return nil, err
	}
	if err := messagesOf(ctx).client.MayUse(r.GetModelName()); err != nil {
		return nil, err
	}
	return &pb.RepositoryModelUnloadResponse{}, s.server.Core.Unload(r.GetModelName())
}

// requestID is the ID that a client sent as metadata x-request-id, or a random one.
func requestID(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	given := ""
	if values := md.Get("x-request-id"); len(values) > 0 {
		given = values[0]
	}
	return requestid.Of(given)
}
