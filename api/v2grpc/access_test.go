package v2grpc

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"fovea/api/v2grpc/pb"
	"fovea/internal/apikey"
	"fovea/internal/testenv"
)

func TestKeysAndWhatTheyAllow(t *testing.T) {
	path, secrets := testenv.KeyFile(t,
		apikey.Key{Name: "same", Scopes: []string{"predict", "models"}, Models: []string{"same"}},
		apikey.Key{Name: "other", Scopes: []string{"predict", "models", "admin"}, Models: []string{"other"}},
		apikey.Key{Name: "reader", Scopes: []string{"models"}},
		apikey.Key{Name: "operator", Scopes: []string{"admin"}})
	s := openWithKeys(t, roomy, Defaults(), path)
	calls := map[string]func(ctx context.Context) error{
		"infer": func(ctx context.Context) error { return second(s.client.ModelInfer(ctx, request("1", 1))) },
		"ready": func(ctx context.Context) error {
			return second(s.client.ModelReady(ctx, &pb.ModelReadyRequest{Name: "same"}))
		},
		"metadata": func(ctx context.Context) error {
			return second(s.client.ModelMetadata(ctx, &pb.ModelMetadataRequest{Name: "same"}))
		},
		"config": func(ctx context.Context) error {
			return second(s.client.ModelConfig(ctx, &pb.ModelConfigRequest{Name: "same"}))
		},
		"statistics": func(ctx context.Context) error {
			return second(s.client.ModelStatistics(ctx, &pb.ModelStatisticsRequest{Name: "same"}))
		},
		"statistics of no model": func(ctx context.Context) error {
			return second(s.client.ModelStatistics(ctx, &pb.ModelStatisticsRequest{Name: "nosuch"}))
		},
		"unload": func(ctx context.Context) error {
			return second(s.client.RepositoryModelUnload(ctx, &pb.RepositoryModelUnloadRequest{ModelName: "nosuch"}))
		},
		"live": func(ctx context.Context) error { return second(s.client.ServerLive(ctx, &pb.ServerLiveRequest{})) },
	}
	none, wrong, denied := codes.OK, codes.Unauthenticated, codes.PermissionDenied
	for _, test := range []struct {
		key  string
		want map[string]codes.Code
	}{
		{"", map[string]codes.Code{"infer": wrong, "ready": wrong, "metadata": wrong, "config": wrong, "unload": wrong, "live": none}},
		{"nonsense", map[string]codes.Code{"infer": wrong, "live": none}},
		{"same", map[string]codes.Code{"infer": none, "ready": none, "metadata": none, "config": none, "unload": denied, "live": none}},
		{"other", map[string]codes.Code{"infer": denied, "ready": denied, "metadata": denied, "config": denied, "statistics": denied, "statistics of no model": denied, "unload": denied}},
		{"reader", map[string]codes.Code{"infer": denied, "statistics": none, "ready": none, "metadata": none, "unload": denied}},
		{"operator", map[string]codes.Code{"infer": denied, "metadata": denied, "unload": none}},
	} {
		for name, want := range test.want {
			ctx := t.Context()
			if secret := secrets[test.key]; test.key != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
			}
			if err := calls[name](ctx); status.Code(err) != want {
				t.Errorf("key %q, %s: %v, want %v", test.key, name, err, want)
			}
		}
	}
	index, err := s.client.RepositoryIndex(metadata.AppendToOutgoingContext(t.Context(), "x-api-key", secrets["other"]), &pb.RepositoryIndexRequest{})
	if err != nil || len(index.GetModels()) != 0 {
		t.Errorf("a key for another model lists %v, %v", index.GetModels(), err)
	}
	statistics, err := s.client.ModelStatistics(metadata.AppendToOutgoingContext(t.Context(), "x-api-key", secrets["other"]), &pb.ModelStatisticsRequest{})
	if err != nil || len(statistics.GetModelStats()) != 0 {
		t.Errorf("a key for another model gets the statistics of %v, %v", statistics.GetModelStats(), err)
	}
}

// TestEachMessageOfAStreamIsARequest sends more than a key's rate allows.
func TestEachMessageOfAStreamIsARequest(t *testing.T) {
	path, secrets := testenv.KeyFile(t, apikey.Key{Name: "slow", Scopes: []string{"predict"}, Models: []string{"same"}, Rate: 0.01, Burst: 3, Concurrent: 1})
	s := openWithKeys(t, roomy, Defaults(), path)
	stream, err := s.client.ModelStreamInfer(metadata.AppendToOutgoingContext(t.Context(), "x-api-key", secrets["slow"])) // takes the first
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "may not use model", "", "has sent more than 0.01 requests per second"} {
		r := request("1", 1)
		if i == 1 {
			r.ModelName = "other"
		}
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if message := got.GetErrorMessage(); (message == "") != (want == "") || !strings.Contains(message, want) {
			t.Errorf("message %d: %q, want %q", i, message, want)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}
