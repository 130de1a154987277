package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"fovea/loadtest"
	"fovea/tools/bench/proc"
)

const (
	startLimit = time.Minute
	firstRetry = 5 * time.Millisecond
)

// process is a running server with all its processes.
type process struct {
	cmd     *exec.Cmd
	log     *os.File
	url     string        // of its route
	startup time.Duration // from its start to its first correct response
}

// start runs a server on a free port and waits for its first correct response.
func start(ctx context.Context, o Options, s server, c cell) (p *process, err error) {
	free, err := proc.FreeAddress()
	if err != nil {
		return nil, err
	}
	body, contentType, err := firstBody(filepath.Join(o.Images, c.size, c.first), c.form)
	if err != nil {
		return nil, err
	}
	p = &process{url: "http://" + free.String() + s.route(c)}
	if p.log, err = os.CreateTemp("", "bench-"+s.key+"-*.log"); err != nil {
		return nil, err
	}
	args := s.command(o, c, free.Port)
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Dir = o.Servers
	if s.key == "fovea" {
		p.cmd.Dir = ""
	}
	p.cmd.Env = o.environment(s, c, free.Port)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", s.title, err), p.closeLog())
	}
	if err := p.awaitFirst(ctx, body, contentType, `"class":`+c.want[c.first]); err != nil {
		log := p.tail()
		return nil, errors.Join(fmt.Errorf("%s: %w; its log:\n%s", s.title, err, log), p.stop())
	}
	p.startup = time.Since(began)
	return p, nil
}

// firstBody returns an image as a body of the form.
func firstBody(path string, form loadtest.BodyKind) (body []byte, contentType string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	if form == loadtest.Raw {
		return data, http.DetectContentType(data), nil
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile(field, filepath.Base(path))
	if err != nil {
		return nil, "", err
	}
	if _, err := part.Write(data); err != nil {
		return nil, "", err
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), w.FormDataContentType(), nil
}

// awaitFirst sends requests until a response, without its spaces, contains want.
func (p *process) awaitFirst(ctx context.Context, body []byte, contentType, want string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	last := "no response"
	for {
		status, answer, err := post(ctx, client, p.url, contentType, body)
		switch {
		case err == nil && status == http.StatusOK && strings.Contains(strings.ReplaceAll(string(answer), " ", ""), want):
			return nil
		case err == nil:
			last = fmt.Sprintf("HTTP %d: %.200s", status, answer)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no correct response within %s, last: %s", startLimit, last)
		case <-time.After(firstRetry):
		}
	}
}

func post(ctx context.Context, client *http.Client, url, contentType string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, answer, err
}

// stop terminates the server and, once its first process has exited, kills the others.
func (p *process) stop() error {
	proc.Stop(p.cmd)
	return errors.Join(sweep(), p.closeLog())
}

// sweep kills and reaps all processes below this one.
func sweep() error {
	for deadline := time.Now().Add(proc.StopLimit); ; time.Sleep(10 * time.Millisecond) {
		list, err := tree()
		if err != nil || len(list) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes of a server do not exit, such as %d", len(list), list[0].PID)
		}
		for _, s := range list {
			_ = syscall.Kill(s.PID, syscall.SIGKILL) // it may have exited
			if s.Parent == os.Getpid() {
				_, _ = syscall.Wait4(s.PID, nil, syscall.WNOHANG, nil)
			}
		}
	}
}

func (p *process) closeLog() error { return errors.Join(p.log.Close(), os.Remove(p.log.Name())) }

// tail returns the end of the server's log.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}
