package main

import (
	"context"
	"errors"
	"io"
)

func floor(context.Context, options, io.Writer) error { return errors.New("x") }
