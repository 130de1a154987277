package docker

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
)

// State is a container's state, in the engine's words.
type State string

// The states.
const (
	Created    State = "created" // not yet started
	Running    State = "running"
	Paused     State = "paused"
	Restarting State = "restarting"
	Removing   State = "removing"
	Exited     State = "exited"
	Dead       State = "dead" // removal failed
)

// Summary is a container in a List.
type Summary struct {
	ID, Name string
	State    State
	Labels   map[string]string
	HostPort int        // on 127.0.0.1; 0 unless it runs
	GRPCPort int        // of the host, on 127.0.0.1, for gRPC; 0 unless it runs and has one
	Address  netip.Addr // on its network; invalid unless it runs
	Gateway  netip.Addr // the host's address on that network
}

// Status describes a container.
type Status struct {
	Summary

	ExitCode  int  // of an exited container; 137 after SIGKILL
	OOMKilled bool // the kernel killed one of its processes for lack of memory
	Error     string
	Pid       int // of its main process on the host; 0 unless it runs

	// Violations are the deviations from this package's hardening, such as "privileged: true". A container with any was not
	// made by this package.
	Violations []string
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
		Summary: Summary{
			ID: response.ID, Name: strings.TrimPrefix(response.Name, "/"), State: State(response.State.Status), Labels: response.Config.Labels,
		},
		ExitCode: response.State.ExitCode, OOMKilled: response.State.OOMKilled, Error: response.State.Error, Pid: response.State.Pid,
		Violations: violations(response),
	}
	if response.NetworkSettings == nil {
		return s
	}
	for port, bindings := range response.NetworkSettings.Ports {
		for _, binding := range bindings {
			if binding.HostIP == loopback {
				host, _ := strconv.Atoi(binding.HostPort) // from the engine, so it is a number
				s.publish(port.Int(), host)
			}
		}
	}
	s.Address, s.Gateway = addresses(response.NetworkSettings.Networks)
	return s
}

// publish notes the port of the host for a port in the container.
func (s *Summary) publish(port, host int) {
	if port == GRPCPort {
		s.GRPCPort = host
	} else {
		s.HostPort = host
	}
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
		s := Summary{ID: found.ID, State: State(found.State), Labels: found.Labels}
		if len(found.Names) > 0 {
			s.Name = strings.TrimPrefix(found.Names[0], "/")
		}
		if found.NetworkSettings != nil {
			s.Address, s.Gateway = addresses(found.NetworkSettings.Networks)
		}
		for _, port := range found.Ports {
			if port.IP == loopback {
				s.publish(int(port.PrivatePort), int(port.PublicPort))
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
