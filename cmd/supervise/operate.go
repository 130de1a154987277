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

// askEvery is how often a command that waits asks how things are.
const askEvery = 300 * time.Millisecond

func rolloutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rollout",
		Short: "Exchange all replicas, one at a time, for what the file and the image's name say now, and wait for it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			supervisor, err := client(c)
			if err != nil {
				return err
			}
			s, err := supervisor.Rollout(c.Context())
			place := ""
			return await(c, supervisor, s, err, func(s fleet.Status) (bool, error) {
				switch r := s.Rollout; {
				case r == nil:
					fmt.Fprintf(c.OutOrStdout(), "all replicas are of generation %d\n", s.Generation)
					return true, nil
				case r.Failed != "":
					logLines(c.ErrOrStderr(), r.Log)
					return true, fmt.Errorf("the roll-out failed and was ended; the old replicas go on: %s", r.Failed)
				case r.Placement != place:
					place = r.Placement
					fmt.Fprintf(c.OutOrStdout(), "%d of %d done; exchanging %s\n", r.Done, s.Wanted, place)
				}
				return false, nil
			})
		},
	}
}

func drainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "drain GPU",
		Short: "Take a GPU (index or UUID) out of use, and wait until nothing runs on it",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			supervisor, err := client(c)
			if err != nil {
				return err
			}
			s, err := supervisor.Drain(c.Context(), args[0])
			return await(c, supervisor, s, err, func(s fleet.Status) (bool, error) { return drained(c, s, args[0]) })
		},
	}
}

// drained tells whether nothing runs on a GPU any more, named by index, by its UUID or by that of one of its instances.
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
		Short: "Take a GPU into use again, or let a replica that failed for good try again",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			supervisor, err := client(c)
			if err != nil {
				return err
			}
			_, err = supervisor.Resume(c.Context(), args[0])
			return err
		},
	}
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Drain and stop all replicas and the supervisor, and wait for it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			supervisor, err := client(c)
			if err != nil {
				return err
			}
			s, err := supervisor.Down(c.Context())
			err = await(c, supervisor, s, err, func(fleet.Status) (bool, error) { return false, nil })
			if errors.Is(err, fleet.ErrNotRunning) && !errors.Is(err, errNothingToDo) {
				return nil // as it should be now
			}
			return err
		},
	}
}

// await asks for the status until what is waited for has happened. s and err are the answer to the command itself.
func await(c *cobra.Command, supervisor *fleet.Client, s fleet.Status, err error, done func(fleet.Status) (bool, error)) error {
	if errors.Is(err, fleet.ErrNotRunning) {
		return errors.Join(errNothingToDo, err)
	}
	for {
		if err != nil {
			return err
		}
		if ended, err := done(s); ended || err != nil {
			return err
		}
		select {
		case <-c.Context().Done():
			return c.Context().Err()
		case <-time.After(askEvery):
		}
		s, err = supervisor.Status(c.Context())
	}
}

var errNothingToDo = errors.New("there is no supervisor to tell")

func logsCommand() *cobra.Command {
	var tail int
	var follow bool
	c := &cobra.Command{
		Use:   "logs REPLICA",
		Short: "Show a replica's last lines",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			supervisor, err := client(c)
			if err != nil {
				return err
			}
			return supervisor.Logs(c.Context(), args[0], tail, follow, c.OutOrStdout())
		},
	}
	c.Flags().IntVarP(&tail, "tail", "n", 100, "lines from before")
	c.Flags().BoolVar(&follow, "follow", false, "go on until interrupted")
	return c
}
