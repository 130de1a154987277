package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"fovea/fleet"

	"github.com/spf13/cobra"
)

// pollInterval is the interval at which waiting commands poll the status.
const pollInterval = 300 * time.Millisecond

func rolloutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rollout",
		Short: "Reload the configuration, re-resolve the image tag, replace all replicas one by one, and wait",
		Args:  cobra.NoArgs,
		RunE: withClient(func(c *cobra.Command, supervisor *fleet.Client, _ []string) error {
			s, err := supervisor.Rollout(c.Context())
			if err != nil {
				return err
			}
			placement := ""
			return await(c, supervisor, s, func(s fleet.Status) (bool, error) {
				switch r := s.Rollout; {
				case r == nil:
					fmt.Fprintf(c.OutOrStdout(), "all replicas are at generation %d\n", s.Generation)
					return true, nil
				case r.Failed != "":
					logLines(c.ErrOrStderr(), r.Log)
					return true, fmt.Errorf("rollout failed; the old replicas keep running: %s", r.Failed)
				case r.Placement != placement:
					placement = r.Placement
					fmt.Fprintf(c.OutOrStdout(), "%d of %d done; replacing %s\n", r.Done, s.Wanted, placement)
				}
				return false, nil
			})
		}),
	}
}

func drainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "drain GPU",
		Short: "Take a GPU (index or UUID) out of use, and wait until nothing runs on it",
		Args:  cobra.ExactArgs(1),
		RunE: withClient(func(c *cobra.Command, supervisor *fleet.Client, args []string) error {
			s, err := supervisor.Drain(c.Context(), args[0])
			if err != nil {
				return err
			}
			return await(c, supervisor, s, func(s fleet.Status) (bool, error) { return drained(c, s, args[0]) })
		}),
	}
}

// drained reports whether nothing runs on a GPU any more. name is the GPU's index or UUID, or the UUID of one of its
// instances.
func drained(c *cobra.Command, s fleet.Status, name string) (bool, error) {
	named := func(r fleet.ReplicaStatus) bool {
		return r.GPU == name || r.Device == name || slices.ContainsFunc(s.GPUs, func(g fleet.GPUStatus) bool {
			return g.UUID == r.GPU && strconv.Itoa(g.Index) == name
		})
	}
	gpus := map[string]bool{}
	for _, r := range s.Replicas {
		gpus[r.GPU] = gpus[r.GPU] || named(r)
	}
	for _, r := range s.Replicas {
		switch {
		case !gpus[r.GPU] || r.Container == "":
		case r.State == fleet.Stuck:
			return true, fmt.Errorf("%s cannot be stopped: %s", r.Name, r.Reason)
		default:
			return false, nil
		}
	}
	fmt.Fprintf(c.OutOrStdout(), "nothing runs on GPU %s\n", name)
	return true, nil
}

func resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "resume GPU|REPLICA",
		Short: "Return a GPU to service, or restart a failed replica",
		Args:  cobra.ExactArgs(1),
		RunE: withClient(func(c *cobra.Command, supervisor *fleet.Client, args []string) error {
			_, err := supervisor.Resume(c.Context(), args[0])
			return err
		}),
	}
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Drain and stop all replicas and the supervisor, and wait",
		Args:  cobra.NoArgs,
		RunE: withClient(func(c *cobra.Command, supervisor *fleet.Client, _ []string) error {
			s, err := supervisor.Down(c.Context())
			if err != nil {
				return err
			}
			err = await(c, supervisor, s, func(fleet.Status) (bool, error) { return false, nil })
			if errors.Is(err, fleet.ErrNotRunning) || errors.Is(err, fleet.ErrShuttingDown) {
				return nil
			}
			return err
		}),
	}
}

// await polls the status, beginning with s, until done returns true or an error.
func await(c *cobra.Command, supervisor *fleet.Client, s fleet.Status, done func(fleet.Status) (bool, error)) error {
	for {
		if ended, err := done(s); ended || err != nil {
			return err
		}
		select {
		case <-c.Context().Done():
			return c.Context().Err()
		case <-time.After(pollInterval):
		}
		var err error
		if s, err = supervisor.Status(c.Context()); err != nil {
			return err
		}
	}
}

func logsCommand() *cobra.Command {
	var tail int
	var follow bool
	c := &cobra.Command{
		Use:   "logs REPLICA",
		Short: "Show a replica's last log lines",
		Args:  cobra.ExactArgs(1),
		RunE: withClient(func(c *cobra.Command, supervisor *fleet.Client, args []string) error {
			return supervisor.Logs(c.Context(), args[0], tail, follow, c.OutOrStdout())
		}),
	}
	c.Flags().IntVarP(&tail, "tail", "n", 100, "number of lines")
	c.Flags().BoolVar(&follow, "follow", false, "follow the log until interrupted")
	return c
}
