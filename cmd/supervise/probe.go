package main

import (
	"time"

	"fovea/internal/httpserver"

	"github.com/spf13/cobra"
)

func probeCommand() *cobra.Command {
	var timeout time.Duration
	var ready bool
	c := &cobra.Command{
		Use:   "probe",
		Short: "Ask the running supervisor and its gateway whether they answer; exit 0 if so, 1 if not",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			supervisor, err := client(c)
			if err != nil {
				return err
			}
			s, err := supervisor.Status(c.Context())
			if err != nil {
				return err
			}
			path := "/health"
			if ready {
				path = "/ready"
			}
			return httpserver.Probe(c.Context(), s.Gateway, path, timeout)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "how long to wait for the gateway's answer")
	c.Flags().BoolVar(&ready, "ready", false, "ask whether a replica is ready, too")
	return c
}
