package docker

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// maxLine bounds a log line in bytes; the rest of a longer one is dropped.
const maxLine = 16 << 10

// Logs returns the last lines, tail at most, of a container's stdout and stderr, oldest first.
func (c *Client) Logs(ctx context.Context, id string, tail int) ([]string, error) {
	lines := &lastLines{max: max(tail, 0)}
	err := c.do(ctx, c.timeouts.Call, "logs of container "+shortID(id), func(ctx context.Context) error {
		body, err := c.openLogs(ctx, id, container.LogsOptions{Tail: strconv.Itoa(lines.max)})
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = stdcopy.StdCopy(lines, lines, body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return lines.finish(), nil
}

// FollowLogs writes a container's last tail lines and then its output until it exits (nil) or the context ends. Only the start
// of the stream has a timeout.
func (c *Client) FollowLogs(ctx context.Context, id string, tail int, w io.Writer) error {
	streamCtx, end := context.WithCancel(ctx)
	defer end()
	late := time.AfterFunc(c.timeouts.Call, end)
	body, err := c.openLogs(streamCtx, id, container.LogsOptions{Tail: strconv.Itoa(max(tail, 0)), Follow: true})
	late.Stop()
	if err == nil {
		defer body.Close()
		_, err = stdcopy.StdCopy(w, w, body)
	}
	return translate(ctx, "follow logs of container "+shortID(id), err)
}

func (c *Client) openLogs(ctx context.Context, id string, options container.LogsOptions) (io.ReadCloser, error) {
	options.ShowStdout, options.ShowStderr = true, true
	return c.api.ContainerLogs(ctx, id, options)
}

// lastLines keeps the last lines written to it.
type lastLines struct {
	max     int
	lines   []string
	partial []byte
}

func (l *lastLines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, after, ended := bytes.Cut(p, []byte{'\n'})
		l.partial = append(l.partial, line[:min(len(line), maxLine-len(l.partial))]...)
		if !ended {
			return n, nil
		}
		l.push()
		p = after
	}
}

func (l *lastLines) push() {
	l.lines = append(l.lines, string(l.partial))
	l.partial = l.partial[:0]
	if len(l.lines) > l.max {
		l.lines = l.lines[len(l.lines)-l.max:]
	}
}

func (l *lastLines) finish() []string {
	if len(l.partial) > 0 {
		l.push()
	}
	return l.lines
}
