package fleet

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"fovea/api/v2grpc/pb"
)

// call asks the replica that the gateway chooses for its name.
func (s *testFleet) call(status Status) (string, error) {
	s.t.Helper()
	conn, err := grpc.NewClient(status.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	m, err := pb.NewGRPCInferenceServiceClient(conn).ServerMetadata(ctx, &pb.ServerMetadataRequest{})
	return m.GetName(), err
}

func TestFleetWithGRPC(t *testing.T) {
	s := newTestFleet(t)
	s.cfg.Gateway.GRPC.Address = "127.0.0.1:0"
	s.start()
	status := s.until("ready", allReady)
	seen := map[string]bool{}
	for range 4 {
		name, err := s.call(status)
		if err != nil {
			t.Fatal(err)
		}
		seen[name] = true
	}
	if len(seen) != 2 {
		t.Errorf("calls went to %v", seen)
	}
	for _, r := range status.Replicas {
		if r.GRPC == "" || "http://"+r.GRPC == r.URL {
			t.Errorf("%+v", r)
		}
	}
	s.predict(status)
}

// Replicas that run without a port for gRPC are replaced, one after the other, and serve HTTP meanwhile.
func TestGRPCIsTurnedOn(t *testing.T) {
	s := newTestFleet(t)
	s.start()
	if status := s.until("ready", allReady); status.GRPC != "" {
		t.Errorf("%+v", status)
	}
	s.end()
	s.cfg.Gateway.GRPC.Address = "127.0.0.1:0"
	s.start()
	status := s.until("replaced", func(status Status) bool {
		return allReady(status) && status.Replicas[0].GRPC != "" && status.Replicas[1].GRPC != ""
	})
	if _, err := s.call(status); err != nil {
		t.Error(err)
	}
}
