package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/docker/docker/api/types/network"
)

// networkOptions: replicas only accept connections, so they can reach neither each other nor anything beyond the host.
var networkOptions = map[string]string{
	"com.docker.network.bridge.enable_icc":           "false",
	"com.docker.network.bridge.enable_ip_masquerade": "false",
}

// EnsureNetwork creates a bridge network for an owner's containers unless it exists. ErrConflict: a network of that name exists
// and is not this owner's.
//
// Calls are serialized: engines before 25 create two networks of one name for concurrent calls, and then accept neither.
func (c *Client) EnsureNetwork(ctx context.Context, name, owner string) error {
	if message := wrongNetwork(name); message != "" {
		return fmt.Errorf("network: %w: %s", ErrUnsafe, message)
	}
	err := c.checkNetwork(ctx, name, owner)
	if !errors.Is(err, ErrNoNetwork) {
		return err
	}
	c.networkMu.Lock()
	defer c.networkMu.Unlock()
	if err = c.checkNetwork(ctx, name, owner); !errors.Is(err, ErrNoNetwork) {
		return err
	}
	_, err = call(ctx, c.timeouts.Call, "create network "+name, func(ctx context.Context) (network.CreateResponse, error) {
		return c.api.NetworkCreate(ctx, name, network.CreateOptions{
			Driver: "bridge", Options: maps.Clone(networkOptions), Labels: map[string]string{LabelOwner: owner},
		})
	})
	if errors.Is(err, ErrConflict) {
		return c.checkNetwork(ctx, name, owner) // another process was faster
	}
	return err
}

func (c *Client) checkNetwork(ctx context.Context, name, owner string) error {
	found, err := call(ctx, c.timeouts.Call, "inspect network "+name, func(ctx context.Context) (network.Inspect, error) {
		return c.api.NetworkInspect(ctx, name, network.InspectOptions{})
	})
	if err != nil {
		return refine(err, ErrNotFound, ErrNoNetwork)
	}
	if found.Labels[LabelOwner] != owner || found.Driver != "bridge" {
		return fmt.Errorf("network %s: %w: it is a %s network with %s=%q instead of %q: choose another name, or remove it",
			name, ErrConflict, found.Driver, LabelOwner, found.Labels[LabelOwner], owner)
	}
	for option, want := range networkOptions {
		if found.Options[option] != want {
			return fmt.Errorf("network %s: %w: its option %s is %q, not %q: remove it, and it will be recreated",
				name, ErrUnsafe, option, found.Options[option], want)
		}
	}
	return nil
}

// RemoveNetwork removes an owner's network. Removing a missing one succeeds. ErrConflict: it is not this owner's; ErrDenied or
// ErrConflict: containers still use it.
func (c *Client) RemoveNetwork(ctx context.Context, name, owner string) error {
	err := c.checkNetwork(ctx, name, owner)
	if errors.Is(err, ErrNoNetwork) {
		return nil
	}
	if err != nil && !errors.Is(err, ErrUnsafe) {
		return err
	}
	return c.do(ctx, c.timeouts.Call, "remove network "+name, func(ctx context.Context) error {
		return c.api.NetworkRemove(ctx, name)
	})
}
