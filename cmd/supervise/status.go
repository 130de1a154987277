package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"fovea/fleet"
	"fovea/internal/terminal"

	"github.com/spf13/cobra"
)

// watchInterval is the refresh interval of --watch.
const watchInterval = time.Second

func statusCommand() *cobra.Command {
	var asJSON, watch bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show replicas, GPUs and problems",
		Args:  cobra.NoArgs,
		RunE: withClient(func(c *cobra.Command, supervisor *fleet.Client, _ []string) error {
			for {
				s, err := supervisor.Status(c.Context())
				if err != nil {
					return err
				}
				if err := show(c.OutOrStdout(), s, asJSON, watch); err != nil || !watch {
					return err
				}
				select {
				case <-c.Context().Done():
					return nil
				case <-time.After(watchInterval):
				}
			}
		}),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "refresh every second")
	return c
}

func show(w io.Writer, s fleet.Status, asJSON, watch bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		if !watch {
			encoder.SetIndent("", "  ")
		}
		return encoder.Encode(s)
	}
	if watch && terminal.Is(w) {
		fmt.Fprint(w, terminal.ClearScreen)
	}
	return table(w, s)
}

// table prints the status as text.
func table(w io.Writer, s fleet.Status) error {
	at := s.Gateway
	if s.GRPC != "" {
		at += " (gRPC " + s.GRPC + ")"
	}
	fmt.Fprintf(w, "%s: %d of %d ready at %s, image %s %s, generation %d\n", s.Name, s.Ready, s.Wanted, at, s.Image, s.Version, s.Generation)
	if r := s.Rollout; r != nil && r.Failed != "" {
		fmt.Fprintf(w, "rollout of %s failed: %s\n", r.Image, r.Failed)
		logLines(w, r.Log)
	} else if r != nil {
		fmt.Fprintf(w, "rollout of %s: %d of %d done, now %s\n", r.Image, r.Done, s.Wanted, strings.TrimSuffix(r.Placement+": "+r.Reason, ": "))
	}
	for _, problem := range s.Problems {
		fmt.Fprintln(w, "problem:", problem)
	}
	fmt.Fprintln(w)
	t := terminal.NewTable("REPLICA", "GPU", "STATE", "SINCE", "RESTARTS", "IN FLIGHT", "VERSION", "REASON")
	for _, r := range s.Replicas {
		t.Cells(plain(r.Name), plain(cmp.Or(r.Device, "-")), terminal.Cell{Text: string(r.State), Style: styleOf(r.State)}, plain(r.Since.Round(time.Second).String()),
			plain(strconv.Itoa(r.Restarts)), plain(strconv.Itoa(r.InFlight)), plain(cmp.Or(r.Version, "-")), plain(r.Reason))
	}
	if err := t.Write(w); err != nil {
		return err
	}
	if len(s.GPUs) > 0 {
		fmt.Fprintln(w)
		t := terminal.NewTable("GPU", "UUID", "STATE", "UTILIZATION", "MEMORY", "TEMPERATURE", "ECC", "REASON")
		for _, g := range s.GPUs {
			t.Row(index(g), g.UUID, g.State, percent(g.Utilization), memory(g), optional(g.Temperature, "%.0f °C"), optional(g.ECC, "%d"), g.Reason)
		}
		if err := t.Write(w); err != nil {
			return err
		}
	}
	for _, r := range s.Replicas {
		if len(r.Log) > 0 {
			fmt.Fprintf(w, "\nlast lines of %s:\n", r.Name)
			logLines(w, r.Log)
		}
	}
	return nil
}

func plain(text string) terminal.Cell { return terminal.Cell{Text: text} }

// styleOf is the color of a replica's state.
func styleOf(s fleet.State) terminal.Style {
	switch s {
	case fleet.Ready:
		return terminal.Green
	case fleet.Failed, fleet.Stuck:
		return terminal.Red
	}
	return terminal.Yellow
}

func logLines(w io.Writer, lines []string) {
	for _, line := range lines {
		fmt.Fprintln(w, "  "+strings.TrimSpace(line))
	}
}

func index(g fleet.GPUStatus) string {
	if g.Index < 0 {
		return "-"
	}
	return strconv.Itoa(g.Index)
}

func percent(share *float64) string {
	if share == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", *share*100)
}

func optional[T any](value *T, format string) string {
	if value == nil {
		return "-"
	}
	return fmt.Sprintf(format, *value)
}

func memory(g fleet.GPUStatus) string {
	if g.MemoryTotal == 0 {
		return "-"
	}
	const gib = 1 << 30
	return fmt.Sprintf("%.1f of %.1f GiB", float64(g.MemoryUsed)/gib, float64(g.MemoryTotal)/gib)
}
