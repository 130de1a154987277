package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"fovea/api"
	"fovea/internal/cli"
	"fovea/internal/config"
	"fovea/internal/exitcode"
	"fovea/internal/httpserver"
	"fovea/internal/logging"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases.
var version = "dev"

func build() api.Build {
	b := api.Build{Version: version, Revision: "unknown", GoVersion: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "serve [PATH…]",
		Short: "Serve predictions for images over HTTP from a model repository",
		Long: "Serve predictions for images over HTTP from a model repository.\n\n" +
			"Every dotted flag is also a key of the configuration file and an environment variable: --http.address is\n" +
			"address in section http, and FOVEA_HTTP_ADDRESS. Precedence: flags, environment, file.\n" +
			"SIGHUP loads new models and versions. SIGTERM drains requests and exits.\n\n" +
			"Each PATH is an ONNX file, or the folder of one model. These models are served under the names of their files or\n" +
			"folders; the repository is served as well only with --repository.dir. Definitions that are missing are inferred.",
		Example:       "  serve\n  serve best.onnx\n  serve --repository.dir=/srv/models",
		Args:          modelPaths,
		Version:       version, // no SetVersionTemplate: text/template keeps the linker from dropping 7 MB of methods
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, paths []string) error {
			logging.SurviveSIGPIPE() // also what is wrong with the configuration may have no reader
			cfg, err := configured(c)
			if err != nil {
				return err
			}
			repo, err := repositoryOf(&cfg, paths, c.Flags().Changed("repository.dir"))
			if err != nil {
				return err
			}
			log, queue := logging.NewQueued(cfg.Log, c.ErrOrStderr())
			defer queue.Close()
			return serve(c.Context(), cfg, repo, log, queue)
		},
	}
	root.PersistentFlags().StringP("config", "c", os.Getenv("FOVEA_CONFIG"), "configuration file (YAML), or FOVEA_CONFIG")
	config.AddFlags(root.PersistentFlags(), defaults())
	root.AddCommand(predictCommand(), probeCommand(), modelsCommand(), keysCommand(), configCommand(), versionCommand())
	programOf(root).Add()
	return root
}

// programOf is what is said of all commands.
func programOf(root *cobra.Command) cli.Program {
	return cli.Program{Root: root, Statuses: exitcode.Statuses(), Environment: []cli.Variable{
		{Name: "FOVEA_CONFIG", Meaning: "the configuration file, unless --config names one"},
		{Name: "FOVEA_SECTION_KEY", Meaning: "any key of the configuration, such as FOVEA_HTTP_ADDRESS"},
		{Name: "FOVEA_ORT_LIBRARY", Meaning: "path of libonnxruntime.so, where inference.library names none"},
		{Name: keyVariable, Meaning: "API key for predict --server"},
		{Name: "NO_COLOR", Meaning: "if set, nothing is colored"},
	}}
}

func versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b := build()
			if asJSON {
				return cli.JSON(c.OutOrStdout(), struct {
					Version  string `json:"version"`
					Revision string `json:"revision"`
					Go       string `json:"go"`
				}{b.Version, b.Revision, b.GoVersion})
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "fovea %s (revision %s, %s)\n", b.Version, b.Revision, b.GoVersion)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func probeCommand() *cobra.Command {
	var timeout time.Duration
	var ready bool
	c := &cobra.Command{
		Use:   "probe",
		Short: "Ask the server at the configured address whether it is healthy; exit 0 if so, 1 if not",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := configured(c)
			if err != nil {
				return err
			}
			path := "/health"
			if ready {
				path = "/ready"
			}
			client, err := cfg.HTTP.TLS.Probe()
			if err != nil {
				return err
			}
			return httpserver.Probe(c.Context(), cfg.HTTP.Address, path, timeout, client)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "how long to wait for the answer")
	c.Flags().BoolVar(&ready, "ready", false, "ask /ready instead of /health")
	return c
}
