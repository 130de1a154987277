package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"fovea/fleet"

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
	if watch {
		fmt.Fprint(w, "\033[H\033[2J") // cursor home, clear screen
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
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nREPLICA\tGPU\tSTATE\tSINCE\tRESTARTS\tIN FLIGHT\tVERSION\tREASON")
	for _, r := range s.Replicas {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", r.Name, cmp.Or(r.Device, "-"), r.State, r.Since.Round(time.Second), r.Restarts,
			r.InFlight, cmp.Or(r.Version, "-"), r.Reason)
	}
	if len(s.GPUs) > 0 {
		fmt.Fprintln(t, "\nGPU\tUUID\tSTATE\tUTILIZATION\tMEMORY\tTEMPERATURE\tECC\tREASON")
	}
	for _, g := range s.GPUs {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", index(g), g.UUID, g.State, percent(g.Utilization), memory(g),
			optional(g.Temperature, "%.0f °C"), optional(g.ECC, "%d"), g.Reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range s.Replicas {
		if len(r.Log) > 0 {
			fmt.Fprintf(w, "\nlast lines of %s:\n", r.Name)
			logLines(w, r.Log)
		}
	}
	return nil
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
