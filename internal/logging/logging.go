// Package logging creates the loggers of the programs: JSON or text, written without blocking.
package logging

import (
	"io"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
)

// Config is section log of a configuration.
type Config struct {
	Level  string `yaml:"level" oneof:"debug,info,warn,error" help:"minimum level of log messages"`
	Format string `yaml:"format" oneof:"auto,json,text" help:"log format; auto: text on a terminal, else json"`
}

// Defaults returns the default configuration.
func Defaults() Config { return Config{Level: "info", Format: "auto"} }

func isText(cfg Config, terminal bool) bool {
	return cfg.Format == "text" || cfg.Format == "auto" && terminal
}

// handler writes to w, which is a terminal or not, with or without colors.
func handler(cfg Config, w io.Writer, terminal, colors bool) slog.Handler {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // the configuration is valid
	if !isText(cfg, terminal) {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: readableDuration})
	}
	return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !colors})
}

// readableDuration formats durations as 1.5ms; slog's JSON has nanoseconds without a unit.
func readableDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
