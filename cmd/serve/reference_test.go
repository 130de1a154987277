package main

import (
	"log/slog"
	"testing"

	"fovea/api"
	"fovea/gpu"
	"fovea/gpu/simnvml"
	"fovea/internal/access"
	"fovea/internal/reference"
)

// TestReference compares docs/reference/serve.md with the code.
func TestReference(t *testing.T) {
	t.Setenv("FOVEA_CONFIG", "")
	reference.Check(t, "reference/serve.md", "commands", reference.Commands(rootCommand()))
	reference.Check(t, "reference/serve.md", "keys", reference.Keys(t, defaults()))
}

// TestMetricsReference compares the server's metrics in docs/reference/metrics.md with the code.
func TestMetricsReference(t *testing.T) {
	h100(t)
	p := start(t, newRepository(t), "--gpu.library="+simnvml.Library(t)).waitReady()
	p.good()
	log := slog.New(slog.DiscardHandler)
	cfg := defaults()
	protection, err := access.OpenProtection("http", cfg.HTTP.Access, cfg.HTTP.TLS, log)
	if err != nil {
		t.Fatal(err)
	}
	metrics := api.NewMetrics(build(), gpu.NewCollector(nil, 0), droppedLines(func() uint64 { return 0 }))
	api.New(cfg.HTTP, protection.Guard, nil, nil, metrics, log) // adds those that are read from its parts
	reference.Check(t, "reference/metrics.md", "serve", reference.Metrics(t, p.get("/metrics").body, metrics))
}
