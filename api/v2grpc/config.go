package v2grpc

import (
	"net"
	"strconv"

	"fovea/internal/config"
)

// Config is section grpc of the server's configuration.
type Config struct {
	Address         string      `yaml:"address" help:"host:port to listen on for gRPC; empty: off"`
	MaxMessageBytes config.Size `yaml:"max_message_bytes" range:"1KiB..2GiB" help:"maximum size of a message over gRPC, decompressed"`
}

// Defaults returns the default configuration.
func Defaults() Config { return Config{MaxMessageBytes: 64 << 20} }

// Check implements config.Checker.
func (c Config) Check(errs *config.Errors) {
	if c.Address == "" {
		return
	}
	if _, port, err := net.SplitHostPort(c.Address); err != nil {
		errs.Add("address", "%q is not host:port", c.Address)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		errs.Add("address", "port %q is out of range (0–65535)", port)
	}
}
