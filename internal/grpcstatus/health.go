package grpcstatus

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// watchInterval is how often Watch looks.
const watchInterval = time.Second

// Health is grpc.health.v1 of a server.
type Health struct {
	healthpb.UnimplementedHealthServer

	Service string // that the server has; a client may also ask for the server, with an empty name
	Ready   func() bool
	Closing <-chan struct{} // closed when the server shuts down
	Reason  string          // why Watch ends then
}

// current is the status of a service.
func (h *Health) current(service string) healthpb.HealthCheckResponse_ServingStatus {
	switch {
	case service != "" && service != h.Service:
		return healthpb.HealthCheckResponse_SERVICE_UNKNOWN
	case h.Ready():
		return healthpb.HealthCheckResponse_SERVING
	}
	return healthpb.HealthCheckResponse_NOT_SERVING
}

// Check reports whether the server is ready.
func (h *Health) Check(_ context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	current := h.current(r.GetService())
	if current == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return &healthpb.HealthCheckResponse{Status: current}, nil
}

// Watch reports whether the server is ready, and each change, until it shuts down.
func (h *Health) Watch(r *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	last := healthpb.HealthCheckResponse_ServingStatus(-1)
	for {
		current := h.current(r.GetService())
		if current != last {
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: current}); err != nil {
				return err
			}
		}
		last = current
		select {
		case <-ticker.C:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-h.Closing:
			return status.Error(codes.Unavailable, h.Reason)
		}
	}
}
