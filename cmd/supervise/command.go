package main

import (
	"errors"
	"io/fs"
	"os"

	"fovea/fleet"
	"fovea/internal/exitcode"
	"fovea/internal/safeyaml"

	"github.com/spf13/cobra"
)

const defaultFile = "/etc/fovea/supervise.yaml"

// version is set by the linker for releases.
var version = "dev"

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "supervise",
		Short: "Keep replicas of the server alive, behind one address",
		Long: "Keep replicas of the server alive, behind one address.\n\n" +
			"`supervise run` supervises until SIGTERM, and leaves the replicas running: the next one adopts them. The other\n" +
			"commands talk to it over its Unix socket. Whoever may use that socket, or Docker's, rules the fleet.",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringP("file", "f", defaultFile, "configuration file (YAML)")
	root.PersistentFlags().String("socket", "", "the running supervisor's socket; empty: as the file says")
	root.AddCommand(runCommand(), statusCommand(), rolloutCommand(), drainCommand(), resumeCommand(), logsCommand(),
		downCommand(), doctorCommand(), probeCommand(), configCommand())
	return root
}

func configured(c *cobra.Command) (fleet.Config, error) {
	file, err := c.Flags().GetString("file")
	if err != nil {
		return fleet.Config{}, err
	}
	cfg, err := fleet.Load(file)
	return cfg, exitcode.ForConfiguration(err)
}

// client connects to the running supervisor. The file tells its socket; who may not read the file, or has none, names
// the socket or uses the default.
func client(c *cobra.Command) (*fleet.Client, error) {
	socket, err := c.Flags().GetString("socket")
	if err != nil {
		return nil, err
	}
	if socket != "" {
		return fleet.NewClient(socket), nil
	}
	cfg, err := configured(c)
	if err != nil {
		unreadable := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
		if !unreadable || c.Flags().Changed("file") {
			return nil, err
		}
		cfg = fleet.Defaults()
	}
	return fleet.NewClient(cfg.Socket), nil
}

func configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Check the configuration file and print it with all defaults",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := configured(c)
			if errors.Is(err, os.ErrNotExist) && !c.Flags().Changed("file") {
				cfg, err = fleet.Defaults(), nil
			}
			if err != nil {
				return err
			}
			return safeyaml.Write(c.OutOrStdout(), cfg)
		},
	}
}
