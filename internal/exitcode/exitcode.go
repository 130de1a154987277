// Package exitcode defines the exit statuses of the programs, so that a service manager knows whether to restart them.
package exitcode

import "errors"

// Configuration is EX_CONFIG of sysexits.h: the configuration, or what it names, is wrong, and a restart does not help.
const Configuration = 78

// Restart is EX_TEMPFAIL of sysexits.h: the process cannot recover from an error, such as a lost GPU, and a restart may help.
const Restart = 75

type configuration struct{ error }

func (c configuration) Unwrap() error { return c.error }

type restart struct{ error }

func (r restart) Unwrap() error { return r.error }

// ForRestart marks an error after which a restart may help; nil stays nil.
func ForRestart(err error) error {
	if err == nil {
		return nil
	}
	return restart{err}
}

// ForConfiguration marks an error of the configuration; nil stays nil.
func ForConfiguration(err error) error {
	if err == nil {
		return nil
	}
	return configuration{err}
}

// Of returns the exit status of a program that ended with err: 0 for nil, 1 for an error that is not marked.
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
