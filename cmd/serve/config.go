package main

import (
	"os"
	"time"

	"fovea/api"
	"fovea/api/v2grpc"
	"fovea/inference"
	"fovea/internal/config"
	"fovea/internal/exitcode"
	"fovea/internal/logging"
	"fovea/internal/tracing"
	v2 "fovea/internal/v2"

	"github.com/spf13/cobra"
)

// Config is the server's configuration, composed of those of the packages.
type Config struct {
	HTTP       api.Config       `yaml:"http"`
	V2         V2Config         `yaml:"v2"`
	GRPC       v2grpc.Config    `yaml:"grpc"`
	Inference  inference.Config `yaml:"inference"`
	Repository RepositoryConfig `yaml:"repository"`
	GPU        GPUConfig        `yaml:"gpu"`
	Log        logging.Config   `yaml:"log"`
	Traces     tracing.Config   `yaml:"traces"`
	Shutdown   ShutdownConfig   `yaml:"shutdown"`
}

// V2Config is section v2.
type V2Config struct {
	ServerName string `yaml:"server_name" help:"name in the server's metadata; some clients expect that of Triton, which is triton"`
	Control    bool   `yaml:"control" help:"allow requests of the Open Inference Protocol to load and unload models"`
}

// Check implements config.Checker.
func (c V2Config) Check(errs *config.Errors) {
	if c.ServerName == "" {
		errs.Add("server_name", "is required")
	}
}

// limitsV2 are the limits of requests of the Open Inference Protocol.
func (c Config) limitsV2() v2.Limits {
	return v2.Limits{Timeout: c.HTTP.Timeout, Rows: c.HTTP.MaxImages, BodySize: int64(c.HTTP.MaxBodyBytes), ImageSize: int64(c.HTTP.MaxImageBytes),
		Control: c.V2.Control}
}

// RepositoryConfig is section repository.
type RepositoryConfig struct {
	Dir    string        `yaml:"dir" help:"model repository: NAME/VERSION/model.onnx, with NAME/model.yaml where it cannot be inferred"`
	Mirror string        `yaml:"mirror" help:"directory or URL with NAME.onnx, used instead of the models' own sources"`
	Poll   time.Duration `yaml:"poll" range:"0s..1h" help:"interval between checks for new versions; 0: only on SIGHUP"`
}

// Check implements config.Checker.
func (c RepositoryConfig) Check(errs *config.Errors) {
	if c.Dir == "" {
		errs.Add("dir", "is required")
	}
}

// GPUConfig is section gpu.
type GPUConfig struct {
	Library string        `yaml:"library" help:"path of NVML's library; empty: libnvidia-ml.so.1"`
	Check   time.Duration `yaml:"check" range:"100ms..1h" help:"maximum age of the GPU state that /ready and metrics show; an older one is checked again"`
}

// ShutdownConfig is section shutdown.
type ShutdownConfig struct {
	Delay       time.Duration `yaml:"delay" range:"0s..1h" help:"how long to accept requests after /ready turns 503, so that load balancers notice"`
	Timeout     time.Duration `yaml:"timeout" range:"1ms..1h" help:"time limit for the whole shutdown, including delay"`
	BrokenAfter time.Duration `yaml:"broken_after" range:"0s..1h" help:"exit with status 75 this long after a fault that requires a restart; 0: never"`
}

// Check implements config.Checker.
func (c ShutdownConfig) Check(errs *config.Errors) {
	if c.Delay >= c.Timeout {
		errs.Add("delay", "%s is not less than shutdown.timeout (%s)", config.Format(c.Delay), config.Format(c.Timeout))
	}
}

func defaults() Config {
	return Config{
		HTTP:       api.Defaults(),
		V2:         V2Config{ServerName: "fovea"},
		GRPC:       v2grpc.Defaults(),
		Inference:  inference.Defaults(),
		Repository: RepositoryConfig{Dir: "models"},
		GPU:        GPUConfig{Check: 5 * time.Second},
		Log:        logging.Defaults(),
		Traces:     tracing.Defaults(),
		Shutdown:   ShutdownConfig{Timeout: 30 * time.Second},
	}
}

// configured reads the configuration of a command: flags, environment and the file that --config names.
func configured(c *cobra.Command) (Config, error) {
	cfg := defaults()
	file, err := c.Flags().GetString("config")
	if err != nil {
		return cfg, err
	}
	err = config.Load(&cfg, config.Sources{File: file, Environment: os.Environ(), Flags: c.Flags()})
	return cfg, exitcode.ForConfiguration(err)
}

func configCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "config",
		Short: "Print the effective configuration",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := configured(c)
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
