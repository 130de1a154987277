package gateway

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"fovea/internal/apierror"
	"fovea/internal/grpcstatus"
)

// healthMessage bounds a request of grpc.health.v1, in bytes: it has the name of a service.
const healthMessage = 4 << 10

// healthServer answers calls of grpc.health.v1, as /ready is answered over HTTP.
func (g *Gateway) healthServer() *grpc.Server {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(healthMessage))
	healthpb.RegisterHealthServer(s, &grpcstatus.Health{
		Service: strings.Trim(inferenceService, "/"), Ready: g.isReady, Closing: g.drained.Done(), Reason: "the gateway is shutting down",
	})
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
