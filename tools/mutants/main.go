// Command mutants measures how well tests detect faults: it changes a random sample of conditions, operators, constants,
// statements and returned errors, one at a time, runs the tests of the changed package, and lists the changes that no test
// noticed. The sources stay as they are: mutants are passed to the compiler with -overlay.
//
//	mutants [-n 20] [-seed 1] [-timeout 3m] [PACKAGE…]
//
// The sample is drawn for each argument, which is a package or a pattern such as ./fleet/...; build flags come from
// GOFLAGS. A mutant counts as killed if its tests fail or exceed the timeout; one that does not compile is replaced by
// another.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// defaultPackages are those whose faults cost the most.
var defaultPackages = []string{"./api", "./inference/...", "./postprocess", "./fleet/...", "./docker"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	n       int
	seed    uint64
	timeout time.Duration
	dir     string // of the module
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o := options{}
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.IntVar(&o.n, "n", 20, "mutants per argument")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the sample")
	flags.DurationVar(&o.timeout, "timeout", 3*time.Minute, "limit for the tests of one mutant")
	flags.StringVar(&o.dir, "C", ".", "folder of the module")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	o.dir = dir
	patterns := flags.Args()
	if len(patterns) == 0 {
		patterns = defaultPackages
	}
	var total score
	for _, pattern := range patterns {
		s, err := o.measure(ctx, pattern, out)
		if err != nil {
			return fmt.Errorf("%s: %w", pattern, err)
		}
		fmt.Fprintf(out, "%s: %s\n", pattern, s)
		total.killed, total.survived, total.invalid = total.killed+s.killed, total.survived+s.survived, total.invalid+s.invalid
	}
	if len(patterns) > 1 {
		fmt.Fprintf(out, "total: %s\n", total)
	}
	return nil
}

// score counts the outcomes of mutants.
type score struct{ killed, survived, invalid int }

func (s score) String() string {
	n := s.killed + s.survived
	return fmt.Sprintf("%d of %d mutants killed (%.0f %%); %d more did not compile", s.killed, n, 100*float64(s.killed)/float64(max(n, 1)), s.invalid)
}

// measure tests a sample of the mutants of a pattern's packages, whose tests must pass without them.
func (o options) measure(ctx context.Context, pattern string, out io.Writer) (s score, err error) {
	candidates, err := o.candidates(ctx, pattern)
	if err != nil {
		return s, err
	}
	if text, err := o.test(ctx, pattern, ""); err != nil {
		return s, fmt.Errorf("the tests fail without a mutant: %w\n%s", err, text)
	}
	random := rand.New(rand.NewPCG(o.seed, o.seed)) //nolint:gosec // a repeatable sample
	random.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
	for _, m := range candidates {
		if s.killed+s.survived == o.n {
			break
		}
		outcome, err := o.try(ctx, m)
		if err != nil {
			return s, err
		}
		switch outcome {
		case killed:
			s.killed++
		case invalid:
			s.invalid++
		case survived:
			s.survived++
			name, err := filepath.Rel(o.dir, m.file)
			if err != nil {
				name = m.file
			}
			fmt.Fprintf(out, "survived: %s:%d: %s: %s\n", name, m.line, m.description, lineOf(m))
		}
	}
	return s, nil
}

// candidates returns all mutants of a pattern's packages that have tests.
func (o options) candidates(ctx context.Context, pattern string) ([]mutant, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-json=Dir,GoFiles,TestGoFiles,XTestGoFiles", pattern)
	cmd.Dir, cmd.Stderr = o.dir, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var all []mutant
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var p struct {
			Dir                                string
			GoFiles, TestGoFiles, XTestGoFiles []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			continue
		}
		for _, name := range p.GoFiles {
			list, err := mutantsOf(filepath.Join(p.Dir, name))
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		}
	}
}

// The outcomes of a mutant.
type outcome int

const (
	killed outcome = iota
	survived
	invalid
)

// try runs the tests of a mutant's package.
func (o options) try(ctx context.Context, m mutant) (outcome, error) {
	work, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(work) //nolint:errcheck // a leftover temporary folder does no harm
	source, err := os.ReadFile(m.file)
	if err != nil {
		return 0, err
	}
	changed, overlay := filepath.Join(work, filepath.Base(m.file)), filepath.Join(work, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {m.file: changed}})
	if err != nil {
		return 0, err
	}
	if err := errors.Join(os.WriteFile(changed, m.apply(source), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return 0, err
	}
	text, err := o.test(ctx, filepath.Dir(m.file), overlay)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err == nil:
		return survived, nil
	case strings.Contains(text, "[build failed]") || strings.Contains(text, "[setup failed]"):
		return invalid, nil
	case errors.As(err, &exit) || errors.Is(err, context.DeadlineExceeded):
		return killed, nil
	}
	return 0, err
}

// test runs the tests of a pattern. What hangs is killed with all its processes.
func (o options) test(ctx context.Context, pattern, overlay string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout+2*time.Minute) // for the compiler
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-failfast", "-timeout="+o.timeout.String(), "-overlay="+overlay, pattern)
	cmd.Dir, cmd.WaitDelay = o.dir, 10*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// lineOf returns the source line of a mutant.
func lineOf(m mutant) string {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(strings.Split(string(source), "\n")[m.line-1])
}
