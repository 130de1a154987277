package main

import (
	"io/fs"
	"time"

	"fovea/fleet"
	"fovea/internal/httpserver"

	"github.com/spf13/cobra"
)

func probeCommand() *cobra.Command {
	var timeout time.Duration
	var ready bool
	c := &cobra.Command{
		Use:   "probe",
		Short: "Check that the supervisor and its gateway respond; exit status 0 if so, otherwise 1",
		Args:  cobra.NoArgs,
		RunE: withClient(func(c *cobra.Command, supervisor *fleet.Client, _ []string) error {
			cfg, err := configuredOr(c, fs.ErrNotExist, fs.ErrPermission)
			if err != nil {
				return err
			}
			client, err := cfg.Gateway.TLS.Probe()
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
			return httpserver.Probe(c.Context(), s.Gateway, path, timeout, client)
		}),
	}
	c.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "time to wait for the gateway's response")
	c.Flags().BoolVar(&ready, "ready", false, "also check that a replica is ready")
	return c
}
