package gateway

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"fovea/internal/apierror"
	"fovea/internal/grpcstatus"
)

const (
	// healthMessage bounds a request of grpc.health.v1, in bytes: it has the name of a service.
	healthMessage = 4 << 10

	// healthInterval is how often Watch looks.
	healthInterval = time.Second
)

// health is grpc.health.v1, as /ready is over HTTP.
type health struct {
	healthpb.UnimplementedHealthServer

	gateway *Gateway
}

func (g *Gateway) healthServer() *grpc.Server {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(healthMessage))
	healthpb.RegisterHealthServer(s, &health{gateway: g})
	return s
}

// serveHealth answers a call of grpc.health.v1. Watch counts as a call as long as it lasts.
func (g *Gateway) serveHealth(w http.ResponseWriter, r *http.Request, rc *requestContext) {
	conn := http.NewResponseController(w)
	if strings.HasSuffix(r.URL.Path, "/Watch") {
		slot, err := g.calls.open.Admit(rc.client.ID, http.NoBody, 0, 0, conn, nil)
		if err != nil {
			grpcstatus.Refuse(w, apierror.New(apierror.GatewayBusy, "the limit of calls in flight is reached"))
			return
		}
		defer slot.Release()
	}
	if err := conn.SetReadDeadline(time.Now().Add(g.cfg.BodyTimeout)); err != nil {
		return // the connection is gone
	}
	g.calls.health.ServeHTTP(w, r)
}

// isReady reports whether a replica can take requests.
func (g *Gateway) isReady() bool {
	return !g.draining.Load() && slices.ContainsFunc(g.balancer.Status(), Status.takes)
}

// current is the status of a service.
func (h *health) current(service string) healthpb.HealthCheckResponse_ServingStatus {
	switch {
	case service != "" && service != strings.Trim(inferenceService, "/"):
		return healthpb.HealthCheckResponse_SERVICE_UNKNOWN
	case h.gateway.isReady():
		return healthpb.HealthCheckResponse_SERVING
	}
	return healthpb.HealthCheckResponse_NOT_SERVING
}

// Check reports whether a replica can take requests.
func (h *health) Check(_ context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	current := h.current(r.GetService())
	if current == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return &healthpb.HealthCheckResponse{Status: current}, nil
}

// Watch reports whether a replica can take requests, and each change, until the gateway shuts down.
func (h *health) Watch(r *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	ticker := time.NewTicker(healthInterval)
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
		case <-h.gateway.drained.Done():
			return status.Error(codes.Unavailable, "the gateway is shutting down")
		}
	}
}
