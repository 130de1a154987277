package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// child is a process of this program that runs a verb and prints JSON.
type child struct {
	server
	verb    string
	input   io.WriteCloser
	printed *json.Decoder
}

// startChild starts a verb in a separate process, so that neither side's memory or garbage collector affects the other.
func startChild(o options, verb string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{verb: verb}
	c.cmd = exec.Command(self, verb, "-models", o.Models, "-model", o.Model, "-saturating-int8="+strconv.FormatBool(o.Saturating))
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	c.printed = json.NewDecoder(out)
	return c, o.start(c.cmd)
}

// decode reads the next value that the process prints.
func (c *child) decode(value any) error {
	if err := c.printed.Decode(value); err != nil {
		return fmt.Errorf("%s: %w", c.verb, err)
	}
	return nil
}

// loop has tensorLoop run for d.
func (c *child) loop(d time.Duration) (r rate, err error) {
	if _, err := fmt.Fprintln(c.input, d); err != nil {
		return rate{}, err
	}
	return r, c.decode(&r)
}
