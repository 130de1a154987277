// Package exitcode is what the programs' exit statuses mean.
package exitcode

import "errors"

// Configuration is EX_CONFIG of sysexits.h: the configuration, or what it names, is at fault, and starting again does not
// mend it.
const Configuration = 78

// Restart is EX_TEMPFAIL of sysexits.h: the process has met a fault that it cannot recover from, such as a lost GPU, and
// starting again may mend it.
const Restart = 75

type configuration struct{ error }

func (c configuration) Unwrap() error { return c.error }

type restart struct{ error }

func (r restart) Unwrap() error { return r.error }

// ForRestart marks an error that starting again may mend; nil stays nil.
func ForRestart(err error) error {
	if err == nil {
		return nil
	}
	return restart{err}
}

// ForConfiguration marks an error that only another configuration mends; nil stays nil.
func ForConfiguration(err error) error {
	if err == nil {
		return nil
	}
	return configuration{err}
}

// Of is the exit status of a program that ended with an error.
func Of(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.As(err, &configuration{}):
		return Configuration
	case errors.As(err, &restart{}):
		return Restart
	}
	return 1
}
