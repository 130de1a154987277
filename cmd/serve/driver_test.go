package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"fovea/gpu/simnvml"
)

func TestDeviceIsCheckedAgainstTheDriver(t *testing.T) {
	const tooOld = "driver 535.183.01 is too old for CUDA 13.0: needs 580 or newer"
	for _, test := range []struct {
		name, driver, cuda, want string
		device, err, logged      string // what comes of it
	}{
		{"cuda with a driver that is new enough", "580.95.05", "13000", "cuda", "cuda", "", ""},
		{"cuda with a driver that is too old", "535.183.01", "12020", "cuda", "", "inference.device cuda: " + tooOld, ""},
		{"a GPU by number with a driver that is too old", "535.183.01", "12020", "cuda:1", "", "inference.device cuda:1: " + tooOld, ""},
		{"auto with a driver that is too old", "535.183.01", "12020", "auto", "cpu", "", tooOld},
		{"cpu with a driver that is too old", "535.183.01", "12020", "cpu", "cpu", "", ""},
		{"an old driver with NVIDIA's forward compatibility package", "535.183.01", "13000", "cuda", "cuda", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			simnvml.New(t, map[string]string{"driver": test.driver, "cuda": test.cuda, "gpu0.uuid": "GPU-0"})
			var logged bytes.Buffer
			log := slog.New(slog.NewTextHandler(&logged, nil))
			g := openGPUs(GPUConfig{Library: simnvml.Library(t)}, log)
			defer g.close(log)
			device, err := g.checkDriver(t.Context(), test.want, log)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if device != test.device || got != test.err {
				t.Errorf("got device %q and error %q; want %q and %q", device, got, test.device, test.err)
			}
			if (logged.Len() > 0) != (test.logged != "") || !strings.Contains(logged.String(), test.logged) {
				t.Errorf("logged %q; want %q", logged.String(), test.logged)
			}
		})
	}
}

func TestDeviceWithoutADriver(t *testing.T) {
	g := openGPUs(GPUConfig{Library: "/there/is/no/libnvidia-ml.so"}, slog.New(slog.DiscardHandler))
	device, err := g.checkDriver(t.Context(), "cuda", slog.New(slog.DiscardHandler))
	if device != "cuda" || err != nil {
		t.Errorf("got %q, %v", device, err)
	}
}
