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

// State is a container's, as the engine sees it.
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
	Dead // could not be removed
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

// Status is a container as the engine sees it.
type Status struct {
	ID, Name  string
	State     State
	ExitCode  int  // of an exited container; 137 after SIGKILL
	OOMKilled bool // the kernel ended one of its processes for want of memory
	Error     string
	StartedAt time.Time // zero: never
	EndedAt   time.Time // zero: not yet
	Labels    map[string]string
	ImageID   string
	Pid       int        // of its first process on the host; 0 unless it runs
	HostPort  int        // on 127.0.0.1; 0 unless it runs
	Address   netip.Addr // on its own network, for callers that are on it; invalid unless it runs
	Gateway   netip.Addr // the engine's host on that network

	// Weaknesses are the ways in which it is less closed than a container of this package, such as
	// "privileged: true". A container with any was not made by this package.
	Weaknesses []string
}

// Summary is what a list tells of a container, without asking for each.
type Summary struct {
	ID, Name string
	State    State
	ImageID  string
	Labels   map[string]string
	HostPort int // on 127.0.0.1; 0 unless it runs

	Address, Gateway netip.Addr // as in Status
}

// Inspect asks for one container, by ID or name. Errors: ErrNotFound and what every call may return.
func (c *Client) Inspect(ctx context.Context, id string) (Status, error) {
	answer, err := call(ctx, c.timeouts.Call, "inspect container "+short(id), func(ctx context.Context) (container.InspectResponse, error) {
		return c.api.ContainerInspect(ctx, id)
	})
	if err != nil {
		return Status{}, err
	}
	if answer.ContainerJSONBase == nil || answer.State == nil || answer.Config == nil || answer.HostConfig == nil {
		return Status{}, fmt.Errorf("inspect container %s: %w: the answer is incomplete", short(id), ErrEngine)
	}
	return status(answer), nil
}

func status(answer container.InspectResponse) Status {
	s := Status{
		ID: answer.ID, Name: strings.TrimPrefix(answer.Name, "/"),
		State: parseState(answer.State.Status), ExitCode: answer.State.ExitCode, OOMKilled: answer.State.OOMKilled,
		Error: answer.State.Error, StartedAt: moment(answer.State.StartedAt), EndedAt: moment(answer.State.FinishedAt),
		Labels: answer.Config.Labels, ImageID: answer.Image, Pid: answer.State.Pid,
		Weaknesses: weaknesses(answer),
	}
	if answer.NetworkSettings == nil {
		return s
	}
	for _, bindings := range answer.NetworkSettings.Ports {
		for _, binding := range bindings {
			if binding.HostIP == loopback {
				s.HostPort, _ = strconv.Atoi(binding.HostPort) // The engine's own number.
			}
		}
	}
	s.Address, s.Gateway = addresses(answer.NetworkSettings.Networks)
	return s
}

// addresses are a container's own on the one network that it has, and its host's there.
func addresses(networks map[string]*network.EndpointSettings) (own, gateway netip.Addr) {
	for _, endpoint := range networks {
		if endpoint == nil {
			continue
		}
		if address, err := netip.ParseAddr(endpoint.IPAddress); err == nil {
			own = address
			gateway, _ = netip.ParseAddr(endpoint.Gateway) // invalid where there is none
		}
	}
	return own, gateway
}

// moment reads a time of the engine; year 1 is its way to say never.
func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// List tells all containers, running or not, that have all these labels; an empty value stands for any.
func (c *Client) List(ctx context.Context, labels map[string]string) ([]Summary, error) {
	answer, err := call(ctx, c.timeouts.Call, "list containers", func(ctx context.Context) ([]container.Summary, error) {
		return c.api.ContainerList(ctx, container.ListOptions{All: true, Filters: withLabels(labels)})
	})
	if err != nil {
		return nil, err
	}
	list := make([]Summary, 0, len(answer))
	for _, found := range answer {
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

// short is how people know a container's ID.
func short(id string) string {
	if len(id) == 64 {
		return id[:12]
	}
	return id
}
