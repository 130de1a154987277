package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"time"
)

// torchTime bounds PyTorch's cases; its start takes about ten seconds.
const torchTime = 90 * time.Second

// torchFigures measures PyTorch with the same ResNet-50 weights and compares the outputs.
func torchFigures(ctx context.Context, g gpuOptions, end time.Time) []gpuCase {
	failed := func(err error) []gpuCase {
		return []gpuCase{{Group: "reference", Model: "resnet50", Case: "PyTorch", Error: err.Error()}}
	}
	ctx, cancel := context.WithDeadline(ctx, earlier(time.Now().Add(torchTime), end.Add(torchTime/2)))
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, g.Python, "-B", g.Torch, g.Work, cmp.Or(g.TorchOn, g.Device), fmt.Sprint(g.Measure.Seconds()))
	cmd.Stderr, cmd.WaitDelay = &said, 5*time.Second
	text, err := cmd.Output()
	if err != nil {
		return failed(fmt.Errorf("%s %s: %w: %s", g.Python, g.Torch, err, lastLines(said.String())))
	}
	var cases []gpuCase
	if err := json.Unmarshal(text, &cases); err != nil {
		return failed(fmt.Errorf("%s: %w", g.Torch, err))
	}
	for i := range cases {
		cases[i].Group = "reference"
	}
	return cases
}
