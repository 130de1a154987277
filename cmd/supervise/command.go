package main

import (
	"errors"
	"io/fs"

	"fovea/fleet"
	"fovea/internal/cli"
	"fovea/internal/config"
	"fovea/internal/exitcode"

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
			"commands talk to it over its Unix socket. Anyone with access to this socket, or to Docker's, controls the fleet.",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	root.PersistentFlags().StringP("file", "f", defaultFile, "configuration file (YAML)")
	root.PersistentFlags().String("socket", "", "socket of the running supervisor; default: the file's key socket")
	root.AddCommand(runCommand(), statusCommand(), rolloutCommand(), drainCommand(), resumeCommand(), logsCommand(),
		downCommand(), doctorCommand(), probeCommand(), configCommand())
	programOf(root).Add()
	return root
}

// programOf is what is said of all commands.
func programOf(root *cobra.Command) cli.Program {
	return cli.Program{Root: root, Statuses: exitcode.Statuses(0, exitcode.Failed, exitcode.Configuration, exitcode.Interrupted), Environment: []cli.Variable{{Name: "NO_COLOR", Meaning: "if set, nothing is colored"}}}
}

func configured(c *cobra.Command) (fleet.Config, error) {
	file, err := c.Flags().GetString("file")
	if err != nil {
		return fleet.Config{}, err
	}
	cfg, err := fleet.Load(file)
	return cfg, exitcode.ForConfiguration(err)
}

// configuredOr is configured, but the defaults where the default file cannot be opened for the given reasons.
func configuredOr(c *cobra.Command, reasons ...error) (fleet.Config, error) {
	cfg, err := configured(c)
	for _, reason := range reasons {
		if errors.Is(err, reason) && !c.Flags().Changed("file") {
			return fleet.Defaults(), nil
		}
	}
	return cfg, err
}

// withClient runs a command with a client of the running supervisor, at the socket that --socket or the file names, or else
// at the default.
func withClient(run func(c *cobra.Command, supervisor *fleet.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		socket, err := c.Flags().GetString("socket")
		if err != nil {
			return err
		}
		if socket == "" {
			cfg, err := configuredOr(c, fs.ErrNotExist, fs.ErrPermission)
			if err != nil {
				return err
			}
			socket = cfg.Socket
		}
		return run(c, fleet.NewClient(socket), args)
	}
}

func configCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration file and print the effective configuration",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := configuredOr(c, fs.ErrNotExist)
			if err != nil {
				return err
			}
			if asJSON {
				return config.WriteJSON(c.OutOrStdout(), cfg)
			}
			return config.Write(c.OutOrStdout(), cfg)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON instead of YAML")
	return c
}
