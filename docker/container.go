package docker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// Create makes a container, not yet started, and returns its ID. Errors: what Validate says; ErrNoImage; ErrUnsafe for
// an image or an engine that would weaken it; ErrUnsupported for a GPU driver that the engine lacks; ErrConflict when
// the name is taken; ErrRefused; and what every call may return.
func (c *Client) Create(ctx context.Context, s Spec) (string, error) {
	if err := s.Validate(); err != nil {
		return "", fmt.Errorf("container %s: %w", s.Name, err)
	}
	if err := s.checkSources(); err != nil {
		return "", fmt.Errorf("container %s: %w", s.Name, err)
	}
	image, err := c.ImageInfo(ctx, s.Image)
	if err != nil {
		return "", err
	}
	if err := image.Check(); err != nil {
		return "", fmt.Errorf("container %s: image %s: %w", s.Name, s.Image, err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		return "", err
	}
	if err := info.check(); err != nil {
		return "", fmt.Errorf("container %s: %w", s.Name, err)
	}
	requests, err := deviceRequests(s.GPU, info)
	if err != nil {
		return "", fmt.Errorf("container %s: %w", s.Name, err)
	}
	// The ID: what was checked is what runs, wherever the name points by now.
	return c.create(ctx, s.Name, s.config(image.ID, requests), s.hostConfig(requests), s.Network)
}

func (c *Client) create(ctx context.Context, name string, config *container.Config, host *container.HostConfig, join string) (string, error) {
	made, err := call(ctx, c.timeouts.Call, "create container "+name, func(ctx context.Context) (container.CreateResponse, error) {
		endpoints := map[string]*network.EndpointSettings{join: {}}
		return c.api.ContainerCreate(ctx, config, host, &network.NetworkingConfig{EndpointsConfig: endpoints}, nil, name)
	})
	if err != nil {
		return "", as(err, ErrNotFound, ErrNoImage)
	}
	for _, warning := range made.Warnings {
		c.log.WarnContext(ctx, "the Docker engine warns about a container", "container", name, "warning", warning)
	}
	return made.ID, nil
}

// Start starts a container. Errors: ErrNotFound, ErrNoNetwork and what every call may return; after a failure the
// container is still there, with the reason in Status.Error.
func (c *Client) Start(ctx context.Context, id string) error {
	err := c.do(ctx, c.timeouts.Start, "start container "+short(id), func(ctx context.Context) error {
		return c.api.ContainerStart(ctx, id, container.StartOptions{})
	})
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	if _, inspect := c.Inspect(ctx, id); inspect == nil {
		return as(err, ErrNotFound, ErrNoNetwork) // The container is there, so it is the network that is not.
	}
	return err
}

// Stop sends SIGTERM and, once the grace is over, SIGKILL, and waits for the end. A container that has ended already is
// stopped. ErrTimeout: it still runs after all that, as when a GPU's driver holds it; nothing more can be done from here.
func (c *Client) Stop(ctx context.Context, id string, grace time.Duration) error {
	seconds := wholeSeconds(grace)
	timeout := time.Duration(seconds)*time.Second + c.timeouts.Stop
	return c.do(ctx, timeout, "stop container "+short(id), func(ctx context.Context) error {
		return c.api.ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds})
	})
}

// wholeSeconds rounds up: the engine takes only these, and 0 would be a SIGKILL at once.
func wholeSeconds(d time.Duration) int {
	return max(1, int(math.Ceil(d.Seconds())))
}

// Kill sends SIGKILL, and does not wait. A container that does not run is killed already.
func (c *Client) Kill(ctx context.Context, id string) error {
	err := c.do(ctx, c.timeouts.Call, "kill container "+short(id), func(ctx context.Context) error {
		return c.api.ContainerKill(ctx, id, "KILL")
	})
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// Remove removes a container, its logs with it, and ends it if it still runs. One that is not there is removed already.
func (c *Client) Remove(ctx context.Context, id string) error {
	err := c.do(ctx, c.timeouts.Stop, "remove container "+short(id), func(ctx context.Context) error {
		return c.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
