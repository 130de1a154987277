package v2grpc

import "fovea/internal/config"

// Config is section grpc of the server's configuration.
type Config struct {
	Address         string      `yaml:"address" help:"host:port to listen on for gRPC; empty: off"`
	MaxMessageBytes config.Size `yaml:"max_message_bytes" range:"1KiB..2GiB" help:"maximum size of a message over gRPC, decompressed"`
}

// Defaults returns the default configuration.
func Defaults() Config { return Config{MaxMessageBytes: 64 << 20} }

// Check implements config.Checker.
func (c Config) Check(errs *config.Errors) {
	if c.Address != "" {
		errs.Address("address", c.Address)
	}
}
