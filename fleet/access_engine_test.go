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

// access is a line of the gateway's access log.
type access struct {
	Message string    `json:"msg"`
	Time    time.Time `json:"time"`
	Took    logged    `json:"duration"`
	Replica string    `json:"replica"`
	Status  int       `json:"status"`
	Code    string    `json:"code"`
}

// logged is a duration as the log has it.
type logged time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *logged) UnmarshalText(text []byte) error {
	read, err := time.ParseDuration(string(text))
	*d = logged(read)
	return err
}

// change is a line of the supervisor's log about a replica's state.
type change struct {
	Place string `json:"replica"`
	State string `json:"state"`
	Was   string `json:"was"`
	After logged `json:"after"` // so long in the old state
}

// begin is when the gateway had the request's headers.
func (a access) begin() time.Time { return a.Time.Add(-time.Duration(a.Took)) }

func (b *bench) log() string { return filepath.Join(b.dir, "log") }

// accesses reads the gateway's log.
func (b *bench) accesses() []access {
	b.t.Helper()
	data, err := os.ReadFile(b.log())
	if err != nil {
		b.t.Fatal(err)
	}
	var list []access
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var a access
		if json.Unmarshal(lines.Bytes(), &a) == nil && a.Message == "request" {
			list = append(list, a)
		}
	}
	return list
}

// by is what happened to the requests that a replica got, from the gateway's log: how many were under way with it at a
// moment, how many it lost in all, and when the last one was given to it.
func (b *bench) by(replica string, moment time.Time) (underWay, lost int, last time.Time) {
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

// count is how many requests a replica has finished.
func (b *bench) count(replica string) (n int) {
	b.t.Helper()
	for _, a := range b.accesses() {
		if a.Replica == replica {
			n++
		}
	}
	return n
}

// losses asserts that requests failed only with a replica, whose end they met, and returns how many.
func (b *bench) losses(replica string) int {
	b.t.Helper()
	n := 0
	for _, a := range b.accesses() {
		if a.Status == http.StatusOK {
			continue
		}
		n++
		if a.Replica != replica || a.Code != "replica_lost" && a.Code != "response_cut" {
			b.t.Errorf("a request that %s did not lose failed: %+v", replica, a)
		}
	}
	return n
}

// starting is how long the replica that became ready last at a place had been starting, which is its model's time to
// load.
func (b *bench) starting(place string) (d time.Duration) {
	b.t.Helper()
	data, err := os.ReadFile(b.log())
	if err != nil {
		b.t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var c change
		if json.Unmarshal(lines.Bytes(), &c) == nil && c.Place == place && c.State == "ready" && c.Was == "starting" {
			d = time.Duration(c.After)
		}
	}
	return d
}
