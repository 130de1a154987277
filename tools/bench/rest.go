package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// resting is the server's size with no request under way.
type resting struct {
	usage
	goroutines int
}

// The server lets go of a connection that was cut within a second or so; a rest is measured once nothing has changed
// for longer than that.
const (
	restStep  = 100 * time.Millisecond
	restQuiet = 20  // steps without a change
	restMost  = 200 // steps in all
)

// rest closes the client's connections, waits until the server is at rest, at most twenty seconds, and measures it.
func (s *server) rest(ctx context.Context, c *client) (resting, error) {
	c.http.CloseIdleConnections()
	var last resting
	quiet := 0
	for range restMost {
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(restStep):
		}
		goroutines, err := s.metric("go_goroutines")
		if err != nil {
			return last, err
		}
		now := resting{goroutines: int(goroutines)}
		if now.usage, err = s.usage(); err != nil {
			return last, err
		}
		quiet++
		if now.goroutines != last.goroutines || now.Files != last.Files {
			quiet = 0
		}
		if last = now; quiet >= restQuiet {
			return now, nil
		}
	}
	return last, nil
}

// metric reads one metric without labels.
func (s *server) metric(name string) (float64, error) {
	req, err := http.NewRequest(http.MethodGet, s.base+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	req.Close = true // this connection is not to be counted
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}
