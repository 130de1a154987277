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
		Short: "Run replicas of the server behind one address",
		Long: "Run replicas of the server behind one address.\n\n" +
			"`supervise run` supervises until SIGTERM and leaves the replicas running; the next run adopts them. The other\n" +
			"commands talk to it over its Unix socket. Access to that socket, or to Docker's, is control of the fleet.",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringP("file", "f", defaultFile, "configuration file (YAML)")
	root.PersistentFlags().String("socket", "", "socket of the running supervisor; default: the file's key socket")
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

// client returns a client of the running supervisor. The socket comes from the flag, the file, or, if the default file
// cannot be read, the defaults.
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
