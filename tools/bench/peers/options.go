package peers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Options are the flags of a comparison.
type Options struct {
	Serve   string // Fovea's binary
	Models  string // the models folder, with weights
	Python  string // of the virtual environment of the peers
	Servers string // folder of the peers' programs
	Images  string // folder that servers/images.py created
	Only    string // cells
	Compete string // servers
	JSON    string // the result's file
	Cores   int    // that servers and load share; 0: all
	Rounds  int    // turns of each server in each cell
	Window  time.Duration
	Budget  time.Duration // no round of a cell starts after it; 0: no limit
	Equal   bool          // compare latencies at the same rate, too
	Quick   bool
}

// Compare is the verb `bench peers`: it measures the cells and writes the result.
func Compare(ctx context.Context, args []string, out io.Writer) error {
	var o Options
	f := flag.NewFlagSet("bench peers", flag.ContinueOnError)
	f.StringVar(&o.Serve, "serve", "bin/serve", "Fovea's binary")
	f.StringVar(&o.Models, "models", "models", "models folder, with weights")
	f.StringVar(&o.Python, "python", "", "Python of the peers' virtual environment (scripts/bench-peers makes it)")
	f.StringVar(&o.Servers, "peers", "tools/bench/peers/servers", "folder of the peers' programs")
	f.StringVar(&o.Images, "images", "", "folder of images (scripts/bench-peers makes it)")
	f.StringVar(&o.Only, "only", "", "cells to measure, such as classifier/small,yolox/*/raw (default: all)")
	f.StringVar(&o.Compete, "servers", "", "servers to measure: "+strings.Join(serverKeys(), ",")+" (default: all, and the loop without HTTP)")
	f.StringVar(&o.JSON, "json", "peers.json", "file for the result")
	f.IntVar(&o.Cores, "cores", 0, "cores that servers and load share (default: all)")
	f.IntVar(&o.Rounds, "rounds", 7, "turns of each server in each cell; rates follow the first")
	f.DurationVar(&o.Budget, "budget", 0, "start no further round of a cell after this time (default: no limit)")
	f.DurationVar(&o.Window, "window", time.Second, "length of each of a level's three windows")
	f.BoolVar(&o.Equal, "equal-load", true, "compare latencies at the same rate, too")
	f.BoolVar(&o.Quick, "quick", false, "small images only, two rounds, short windows")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.Quick {
		o.Only, o.Rounds, o.Window = "*/small", 2, 500*time.Millisecond
	}
	return compare(ctx, o, out)
}

// check reports everything that is missing.
func (o *Options) check(chosen []cell) error {
	var errs []error
	exists := func(key, path string) {
		if _, err := os.Stat(path); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	exists("serve", o.Serve)
	exists("python", o.Python)
	exists("peers", o.Servers)
	for _, c := range chosen {
		exists("models", filepath.Join(o.Models, c.model, "1", "model.onnx"))
		exists("images", filepath.Join(o.Images, c.size, c.first))
	}
	if o.Rounds < 1 || o.Rounds > 20 {
		errs = append(errs, fmt.Errorf("rounds: %d is out of range (1–20)", o.Rounds))
	}
	return errors.Join(errs...)
}

// absolute makes the paths absolute.
func (o *Options) absolute() error {
	for _, path := range []*string{&o.Serve, &o.Models, &o.Servers, &o.Images} {
		full, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = full
	}
	return nil
}

// defaults returns the settings of the peers' programs: a process per core, one intra-op thread.
func (o *Options) defaults() map[string]string {
	return map[string]string{"PEER_WORKERS": strconv.Itoa(runtime.NumCPU()), "PEER_THREADS": "1"}
}

// setting returns a setting from the environment, or its default.
func (o *Options) setting(key string) string {
	if value, ok := os.LookupEnv(key); ok {
		return value
	}
	return o.defaults()[key]
}

// environment returns a server's environment; this process's environment overrides the defaults.
func (o *Options) environment(s server, c cell, port int) []string {
	var env []string
	for key, value := range o.defaults() {
		env = append(env, key+"="+value)
	}
	if c.exact {
		env = append(env, "PEER_EXACT_INT8=1")
	}
	env = append(append(env, s.env...), os.Environ()...)
	return append(env, "PEER_MODEL="+filepath.Join(o.Models, c.model), "PEER_PORT="+strconv.Itoa(port))
}
