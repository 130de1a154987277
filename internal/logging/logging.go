// Package logging creates the loggers of the programs: JSON or text, written without blocking.
package logging

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"fovea/internal/mistake"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// Config says what is logged and how.
type Config struct {
	Level  string `yaml:"level" usage:"debug, info, warn or error"`
	Format string `yaml:"format" usage:"json, text, or auto: text on a terminal"`
}

// Defaults is the configuration where nothing else is said.
func Defaults() Config { return Config{Level: "info", Format: "auto"} }

// Validate returns all mistakes, each naming its key.
func (c Config) Validate() error {
	return errors.Join(mistake.OneOf("level", c.Level, "debug", "info", "warn", "error"),
		mistake.OneOf("format", c.Format, "auto", "json", "text"))
}

// New returns a logger that writes JSON, or coloured text on a terminal, to w. The configuration must be valid.
func New(cfg Config, w io.Writer) *slog.Logger {
	return slog.New(handler(cfg, w, isTerminal(w)))
}

func isTerminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

func handler(cfg Config, w io.Writer, terminal bool) slog.Handler {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // checked by Validate
	if cfg.Format == "json" || cfg.Format == "auto" && !terminal {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: readableDuration})
	}
	return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !terminal})
}

// readableDuration formats durations as 1.5ms; slog's JSON has nanoseconds without a unit.
func readableDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
