// Package exitcode defines the exit statuses of the programs, so that a service manager knows whether to restart them.
package exitcode

import (
	"context"
	"errors"
	"slices"
)

// Failed is the status of an error that is none of the others.
const Failed = 1

// Data is EX_DATAERR of sysexits.h: the program did its work, and some of its input is unusable.
const Data = 65

// Configuration is EX_CONFIG of sysexits.h: the configuration, or what it names, is wrong, and a restart does not help.
const Configuration = 78

// Restart is EX_TEMPFAIL of sysexits.h: the process cannot recover from an error, such as a lost GPU, and a restart may help.
const Restart = 75

// Interrupted is what shells report of a program that SIGINT ended: a signal ended the program before it was done.
const Interrupted = 130

// Status is an exit status and what it means.
type Status struct {
	Code    int
	Meaning string
}

// meanings are those of the exit statuses that Of returns.
var meanings = []Status{
	{0, "success"},
	{Failed, "an error, which the end of standard error says; also wrong usage"},
	{Data, "the work is done, but some of the input is unusable: images without a prediction, each listed"},
	{Restart, "the process cannot recover from an error, such as a lost GPU; a restart may help"},
	{Configuration, "the configuration, or what it names, is wrong; a restart does not help"},
	{Interrupted, "a signal ended the program before it was done"},
}

// Statuses lists exit statuses with their meanings, for documentation: those of codes, or without any all that Of returns.
func Statuses(codes ...int) (list []Status) {
	for _, s := range meanings {
		if len(codes) == 0 || slices.Contains(codes, s.Code) {
			list = append(list, s)
		}
	}
	return list
}

type configuration struct{ error }

func (c configuration) Unwrap() error { return c.error }

type data struct{ error }

func (d data) Unwrap() error { return d.error }

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

// ForData marks an error about parts of the input; nil stays nil.
func ForData(err error) error {
	if err == nil {
		return nil
	}
	return data{err}
}

// Of returns the exit status of a program that ended with err: 0 for nil, Failed for an error that is not marked. Programs cancel their
// work only for signals.
func Of(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.As(err, &data{}):
		return Data
	case errors.As(err, &configuration{}):
		return Configuration
	case errors.As(err, &restart{}):
		return Restart
	}
	return Failed
}
