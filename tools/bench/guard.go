package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"fovea/tools/bench/pairs"
)

// errBlind is returned when a loss would not have been noticed.
var errBlind = errors.New("the machine is too noisy for a verdict; repeat it with more -rounds, or on a quiet machine")

// guard is the verb `bench guard`: it fails if a build of the server has become slower than an older one. scripts/bench-guard
// builds both.
func guard(ctx context.Context, args []string, out io.Writer) error {
	var p pairFlags
	f := flag.NewFlagSet("bench guard", flag.ContinueOnError)
	p.add(f, 11)
	older := f.String("old", "", "server's binary to compare with")
	newer := f.String("new", "bin/serve", "server's binary that must not be slower")
	limit := f.Float64("limit", 3, "loss in percent that fails, beyond the noise")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *older == "" || *limit <= 0 {
		return errors.New("old is required, and limit must be above 0; scripts/bench-guard sets old")
	}
	if err := p.complete(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d rounds of three turns; each takes %v\n", p.load.Rounds, (p.load.Lone + p.load.Warmup + p.load.Window + time.Second).Round(time.Second))
	rounds, err := pairs.Run(ctx, pairs.Guarded(*older, *newer), p.load, out)
	if err != nil {
		return err
	}
	switch fails, blind := pairs.JudgeAll(out, rounds, *limit/100); {
	case fails:
		return fmt.Errorf("the new build is slower by more than %g %% beyond the noise", *limit)
	case blind:
		return errBlind
	}
	fmt.Fprintf(out, "no loss of more than %g %% beyond the noise\n", *limit)
	return nil
}
