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

// maxLine bounds a line of a log in memory; the rest of a longer one is left out.
const maxLine = 16 << 10

// Logs returns a container's last lines, of both its outputs, oldest first and at most tail of them.
func (c *Client) Logs(ctx context.Context, id string, tail int) ([]string, error) {
	lines := &lastLines{max: max(tail, 0)}
	err := c.do(ctx, c.timeouts.Call, "logs of container "+short(id), func(ctx context.Context) error {
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

// FollowLogs writes a container's last tail lines, and then what it says, until it ends (nil) or the context does. Only
// the start of the stream has a time-out: silence is the container's right.
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
	return translate(ctx, "follow logs of container "+short(id), err)
}

func (c *Client) openLogs(ctx context.Context, id string, options container.LogsOptions) (io.ReadCloser, error) {
	options.ShowStdout, options.ShowStderr = true, true
	return c.api.ContainerLogs(ctx, id, options)
}

// lastLines keeps the last lines of what is written to it.
type lastLines struct {
	max   int
	lines []string
	rest  []byte
}

func (l *lastLines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, after, ended := bytes.Cut(p, []byte{'\n'})
		l.rest = append(l.rest, line[:min(len(line), maxLine-len(l.rest))]...)
		if !ended {
			return n, nil
		}
		l.push()
		p = after
	}
}

func (l *lastLines) push() {
	l.lines = append(l.lines, string(l.rest))
	l.rest = l.rest[:0]
	if len(l.lines) > l.max {
		l.lines = l.lines[len(l.lines)-l.max:]
	}
}

func (l *lastLines) finish() []string {
	if len(l.rest) > 0 {
		l.push()
	}
	return l.lines
}
