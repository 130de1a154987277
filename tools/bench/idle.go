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

// idleUsage is the server's size with no request in flight.
type idleUsage struct {
	usage
	goroutines int
}

// The server releases an aborted connection within about a second; idle usage is measured once nothing has changed for
// longer than that.
const (
	idleStep       = 100 * time.Millisecond
	unchangedSteps = 20  // steps without a change
	maxIdleSteps   = 200 // steps in all
)

// measureIdle closes the client's connections, waits at most twenty seconds until the server is idle, and measures it.
func (s *server) measureIdle(ctx context.Context, c *client) (idleUsage, error) {
	c.http.CloseIdleConnections()
	var last idleUsage
	quiet := 0
	for range maxIdleSteps {
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(idleStep):
		}
		goroutines, err := s.metric("go_goroutines")
		if err != nil {
			return last, err
		}
		now := idleUsage{goroutines: int(goroutines)}
		if now.usage, err = s.usage(); err != nil {
			return last, err
		}
		quiet++
		if now.goroutines != last.goroutines || now.Files != last.Files {
			quiet = 0
		}
		if last = now; quiet >= unchangedSteps {
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
	req.Close = true // do not leave a connection open
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
