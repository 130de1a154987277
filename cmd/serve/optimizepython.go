package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"fovea/training"
)

const (
	// probeTimeout is how long finding a Python may take: a first import reads hundreds of megabytes.
	probeTimeout = 2 * time.Minute
	// stopPython is how long the quantizer has to end after SIGTERM.
	stopPython = 10 * time.Second
	// trainingProject is where uv finds the packages, in the working directory.
	trainingProject = "training"
	quantizerFile   = "quantize.py"
)

// quantizer returns the command that runs the quantizer in the stage: its first words, without the program's arguments.
func (o *optimization) quantizer(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	works := func(command ...string) error {
		out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput() //nolint:gosec // programs that the user chose
		if err != nil {
			return fmt.Errorf("%s: %w: %s", command[0], err, lastLine(out))
		}
		return nil
	}
	const imports = "import onnx, onnxruntime.quantization"
	if o.python != "" {
		if err := works(o.python, "-c", imports); err != nil {
			return nil, fmt.Errorf("--python: %w", err)
		}
		python, err := filepath.Abs(o.python)
		if strings.ContainsRune(o.python, filepath.Separator) && err == nil {
			return []string{python, quantizerFile}, nil
		}
		return []string{o.python, quantizerFile}, nil
	}
	if works("python3", "-c", imports) == nil {
		return []string{"python3", quantizerFile}, nil
	}
	project, err := filepath.Abs(trainingProject)
	if err == nil && works("uv", "--version") == nil {
		if _, err := os.Stat(filepath.Join(project, "uv.lock")); err == nil {
			return []string{"uv", "run", "--project", project, "--frozen", "--no-dev", "python", quantizerFile}, nil
		}
	}
	if works("docker", "image", "inspect", o.container) == nil {
		stage, err := filepath.Abs(o.stage)
		if err != nil {
			return nil, err
		}
		return []string{"docker", "run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--user",
			fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid()), "--volume", stage + ":/stage", "--workdir", "/stage", "--entrypoint", "python3",
			o.container, quantizerFile}, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("the quantizer needs Python with onnx and onnxruntime: name one with --python (pip install onnx onnxruntime), "+
		"install uv and run this command next to the folder %s, or build the container image %s", trainingProject, o.container)
}

// candidate is a file that the quantizer has made.
type candidate struct {
	file    string
	method  string
	leftOut []string
}

// quantizerLine is a line of the quantizer's output.
type quantizerLine struct {
	Progress  string   `json:"progress"`
	Candidate string   `json:"candidate"`
	Method    string   `json:"method"`
	LeftOut   []string `json:"left_out"`
}

// make runs the quantizer.
func (o *optimization) make(ctx context.Context, leaveOut string) (made []candidate, err error) {
	if err := os.WriteFile(filepath.Join(o.stage, quantizerFile), training.Quantizer, 0o644); err != nil {
		return nil, err
	}
	arguments := append(o.command[1:len(o.command):len(o.command)], "--model", filepath.Join("models", o.source.model, o.source.version(), "model.onnx"),
		"--rows", "rows", "--out", "out", "--to", o.to, "--weight-bits", fmt.Sprint(o.bits), "--leave-out", leaveOut)
	running, stop := context.WithCancel(ctx)
	defer stop()
	c := exec.CommandContext(running, o.command[0], arguments...) //nolint:gosec // programs that the user chose
	c.Dir = o.stage
	c.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "ORT_DISABLE_TELEMETRY=1")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its own processes end with it
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	c.WaitDelay = stopPython
	var complaints tail
	c.Stderr = &complaints
	lines, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("the quantizer: %w", err)
	}
	made, readErr := o.read(lines)
	if readErr != nil {
		stop() // it would wait until its output is read
	}
	switch err := c.Wait(); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case readErr != nil:
		return nil, fmt.Errorf("the quantizer's output: %w", readErr)
	case err != nil:
		return nil, fmt.Errorf("the quantizer failed: %w: %s", err, lastLine(complaints.data))
	case len(made) == 0:
		return nil, errors.New("the quantizer made nothing")
	}
	return made, nil
}

// read reads the quantizer's output and shows its progress. Lines that are no objects are what libraries print.
func (o *optimization) read(lines io.Reader) (made []candidate, err error) {
	scanner := bufio.NewScanner(lines)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line quantizerLine
		if json.Unmarshal(scanner.Bytes(), &line) != nil {
			continue
		}
		switch {
		case line.Progress != "":
			o.say("%s", line.Progress)
		case line.Candidate != "":
			if !filepath.IsLocal(line.Candidate) {
				return nil, fmt.Errorf("%q is not in the stage", line.Candidate)
			}
			made = append(made, candidate{line.Candidate, line.Method, line.LeftOut})
		}
	}
	return made, scanner.Err()
}

// tail keeps the end of what is written.
type tail struct{ data []byte }

const maxTail = 16 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if over := len(t.data) - maxTail; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
	return len(p), nil
}

// lastLine is the last line of a program's output that is not empty: of a Python traceback, the error.
func lastLine(out []byte) string {
	out = bytes.TrimSpace(out)
	return string(out[bytes.LastIndexByte(out, '\n')+1:])
}
