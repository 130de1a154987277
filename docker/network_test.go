package docker

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/docker/docker/api/types/network"
)

// Engines before 25 check the name and create the network in two steps, so that concurrent calls could create several.
func TestConcurrentCallsCreateOneNetwork(t *testing.T) {
	const replicas = 4
	var asked, made atomic.Int64
	all := make(chan struct{}) // all have seen that there is none
	c := open(t, script{apiVersion: "1.41", routes: map[string]http.HandlerFunc{
		"GET /{v}/networks/fleet": func(w http.ResponseWriter, _ *http.Request) {
			there := made.Load() > 0
			if n := asked.Add(1); n == replicas {
				close(all)
			}
			<-all
			if !there {
				fail(w, http.StatusNotFound, "no such network")
				return
			}
			reply(w, network.Inspect{Name: "fleet", Driver: "bridge", Options: networkOptions, Labels: map[string]string{LabelOwner: "test"}})
		},
		"POST /{v}/networks/create": func(w http.ResponseWriter, _ *http.Request) {
			made.Add(1)
			reply(w, network.CreateResponse{ID: "1"})
		},
	}}.serve(t))
	var replica sync.WaitGroup
	for range replicas {
		replica.Go(func() {
			if err := c.EnsureNetwork(context.Background(), "fleet", "test"); err != nil {
				t.Error(err)
			}
		})
	}
	replica.Wait()
	if made.Load() != 1 {
		t.Errorf("%d networks of one name were made", made.Load())
	}
}
