package docker

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
)

// State is a container's state.
type State int

// The states.
const (
	Unknown State = iota
	Created       // not yet started
	Running
	Paused
	Restarting
	Removing
	Exited
	Dead // removal failed
)

var states = [...]string{"unknown", "created", "running", "paused", "restarting", "removing", "exited", "dead"}

func (s State) String() string {
	if s < 0 || int(s) >= len(states) {
		return states[Unknown]
	}
	return states[s]
}

func parseState(text string) State {
	for i, name := range states {
		if name == text {
			return State(i)
		}
	}
	return Unknown
}

// Status describes a container.
type Status struct {
	ID, Name  string
	State     State
	ExitCode  int  // of an exited container; 137 after SIGKILL
	OOMKilled bool // the kernel killed one of its processes for lack of memory
	Error     string
	StartedAt time.Time // zero: never
	EndedAt   time.Time // zero: not yet
	Labels    map[string]string
	ImageID   string
	Pid       int        // of its main process on the host; 0 unless it runs
	HostPort  int        // on 127.0.0.1; 0 unless it runs
	Address   netip.Addr // on its network; invalid unless it runs
	Gateway   netip.Addr // the host's address on that network

	// Violations are the deviations from this package's hardening, such as "privileged: true". A container with any was not
	// made by this package.
	Violations []string
}

// Summary is a container in a List.
type Summary struct {
	ID, Name string
	State    State
	ImageID  string
	Labels   map[string]string
	HostPort int // on 127.0.0.1; 0 unless it runs

	Address, Gateway netip.Addr // as in Status
}

// Inspect returns the status of a container by ID or name. Errors: ErrNotFound and those of every call.
func (c *Client) Inspect(ctx context.Context, id string) (Status, error) {
	response, err := call(ctx, c.timeouts.Call, "inspect container "+shortID(id), func(ctx context.Context) (container.InspectResponse, error) {
		return c.api.ContainerInspect(ctx, id)
	})
	if err != nil {
		return Status{}, err
	}
	if response.ContainerJSONBase == nil || response.State == nil || response.Config == nil || response.HostConfig == nil {
		return Status{}, fmt.Errorf("inspect container %s: %w: incomplete response", shortID(id), ErrEngine)
	}
	return status(response), nil
}

func status(response container.InspectResponse) Status {
	s := Status{
		ID: response.ID, Name: strings.TrimPrefix(response.Name, "/"),
		State: parseState(response.State.Status), ExitCode: response.State.ExitCode, OOMKilled: response.State.OOMKilled,
		Error: response.State.Error, StartedAt: parseTime(response.State.StartedAt), EndedAt: parseTime(response.State.FinishedAt),
		Labels: response.Config.Labels, ImageID: response.Image, Pid: response.State.Pid,
		Violations: violations(response),
	}
	if response.NetworkSettings == nil {
		return s
	}
	for _, bindings := range response.NetworkSettings.Ports {
		for _, binding := range bindings {
			if binding.HostIP == loopback {
				s.HostPort, _ = strconv.Atoi(binding.HostPort) // from the engine, so it is a number
			}
		}
	}
	s.Address, s.Gateway = addresses(response.NetworkSettings.Networks)
	return s
}

// addresses returns a container's address on its only network, and the host's there.
func addresses(networks map[string]*network.EndpointSettings) (own, gateway netip.Addr) {
	for _, endpoint := range networks {
		if endpoint == nil {
			continue
		}
		if address, err := netip.ParseAddr(endpoint.IPAddress); err == nil {
			own = address
			gateway, _ = netip.ParseAddr(endpoint.Gateway) // invalid if there is none
		}
	}
	return own, gateway
}

// parseTime parses a time of the engine, which uses year 1 for never.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// List returns all containers, running or not, that have all these labels; an empty value matches any.
func (c *Client) List(ctx context.Context, labels map[string]string) ([]Summary, error) {
	response, err := call(ctx, c.timeouts.Call, "list containers", func(ctx context.Context) ([]container.Summary, error) {
		return c.api.ContainerList(ctx, container.ListOptions{All: true, Filters: withLabels(labels)})
	})
	if err != nil {
		return nil, err
	}
	list := make([]Summary, 0, len(response))
	for _, found := range response {
		s := Summary{ID: found.ID, State: parseState(found.State), ImageID: found.ImageID, Labels: found.Labels}
		if len(found.Names) > 0 {
			s.Name = strings.TrimPrefix(found.Names[0], "/")
		}
		if found.NetworkSettings != nil {
			s.Address, s.Gateway = addresses(found.NetworkSettings.Networks)
		}
		for _, port := range found.Ports {
			if port.IP == loopback {
				s.HostPort = int(port.PublicPort)
			}
		}
		list = append(list, s)
	}
	return list, nil
}

func withLabels(labels map[string]string) filters.Args {
	args := filters.NewArgs()
	for name, value := range labels {
		if value != "" {
			name += "=" + value
		}
		args.Add("label", name)
	}
	return args
}

// shortID abbreviates a container's ID as docker ps does.
func shortID(id string) string {
	if len(id) == 64 {
		return id[:12]
	}
	return id
}
