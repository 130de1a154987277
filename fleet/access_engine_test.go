//go:build engine

package fleet

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// accessLine is a line of the gateway's access log.
type accessLine struct {
	Message string    `json:"msg"`
	Time    time.Time `json:"time"`
	Took    logged    `json:"duration"`
	Replica string    `json:"replica"`
	Status  int       `json:"status"`
	Code    string    `json:"code"`
}

// logged is a duration as logged.
type logged time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *logged) UnmarshalText(text []byte) error {
	read, err := time.ParseDuration(string(text))
	*d = logged(read)
	return err
}

// change is a log line of a replica's change of state.
type change struct {
	Placement string `json:"placement"`
	State     string `json:"state"`
	Was       string `json:"was"`
	After     logged `json:"after"` // time in the old state
}

// begin returns when the gateway had received the request's headers.
func (a accessLine) begin() time.Time { return a.Time.Add(-time.Duration(a.Took)) }

func (b *harness) log() string { return filepath.Join(b.dir, "log") }

// accesses reads the gateway's access log.
func (b *harness) accesses() []accessLine {
	b.t.Helper()
	data, err := os.ReadFile(b.log())
	if err != nil {
		b.t.Fatal(err)
	}
	var list []accessLine
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var a accessLine
		if json.Unmarshal(lines.Bytes(), &a) == nil && a.Message == "request" {
			list = append(list, a)
		}
	}
	return list
}

// by returns, for the requests sent to a replica, how many were in flight at a moment, how many were lost, and when the
// last one was sent.
func (b *harness) by(replica string, moment time.Time) (underWay, lost int, last time.Time) {
	b.t.Helper()
	for _, a := range b.accesses() {
		if a.Replica != replica {
			continue
		}
		if a.begin().Before(moment) && !a.Time.Before(moment) {
			underWay++
		}
		if a.Status != http.StatusOK {
			lost++
		}
		if a.begin().After(last) {
			last = a.begin()
		}
	}
	return underWay, lost, last
}

// count returns how many requests a replica has finished.
func (b *harness) count(replica string) (n int) {
	b.t.Helper()
	for _, a := range b.accesses() {
		if a.Replica == replica {
			n++
		}
	}
	return n
}

// losses asserts that requests failed only with a replica that went down, and returns how many.
func (b *harness) losses(replica string) int {
	b.t.Helper()
	n := 0
	for _, a := range b.accesses() {
		if a.Status == http.StatusOK {
			continue
		}
		n++
		if a.Replica != replica || a.Code != "replica_lost" && a.Code != "response_cut" {
			b.t.Errorf("a request failed that %s did not lose: %+v", replica, a)
		}
	}
	return n
}

// starting returns how long the placement's last replica took to start, which is the time its model takes to load.
func (b *harness) starting(placement string) (d time.Duration) {
	b.t.Helper()
	data, err := os.ReadFile(b.log())
	if err != nil {
		b.t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var c change
		if json.Unmarshal(lines.Bytes(), &c) == nil && c.Placement == placement && c.State == "ready" && c.Was == "starting" {
			d = time.Duration(c.After)
		}
	}
	return d
}
