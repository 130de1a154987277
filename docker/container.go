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

// Create creates a container without starting it, and returns its ID. Errors: those of Validate; ErrNoImage; ErrUnsafe for an
// image or engine that would weaken it; ErrUnsupported for a GPU driver that the engine lacks; ErrConflict if the name is taken;
// ErrRefused; and those of every call.
func (c *Client) Create(ctx context.Context, s Spec) (string, error) {
	if err := s.validateOnHost(); err != nil {
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
	// By ID: the image that was checked is the one that runs, even if the name has moved.
	return c.create(ctx, s.Name, s.config(image.ID, requests), s.hostConfig(requests), s.Network)
}

func (c *Client) create(ctx context.Context, name string, config *container.Config, host *container.HostConfig, join string) (string, error) {
	made, err := call(ctx, c.timeouts.Call, "create container "+name, func(ctx context.Context) (container.CreateResponse, error) {
		endpoints := map[string]*network.EndpointSettings{join: {}}
		return c.api.ContainerCreate(ctx, config, host, &network.NetworkingConfig{EndpointsConfig: endpoints}, nil, name)
	})
	if err != nil {
		return "", refine(err, ErrNotFound, ErrNoImage)
	}
	for _, warning := range made.Warnings {
		c.log.WarnContext(ctx, "warning from the Docker engine", "container", name, "warning", warning)
	}
	return made.ID, nil
}

// Start starts a container. Errors: ErrNotFound, ErrNoNetwork and those of every call. After a failure the container still
// exists, with the reason in Status.Error.
func (c *Client) Start(ctx context.Context, id string) error {
	err := c.do(ctx, c.timeouts.Start, "start container "+shortID(id), func(ctx context.Context) error {
		return c.api.ContainerStart(ctx, id, container.StartOptions{})
	})
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	if _, inspect := c.Inspect(ctx, id); inspect == nil {
		return refine(err, ErrNotFound, ErrNoNetwork) // the container exists, so the network is missing
	}
	return err
}

// Stop sends SIGTERM and, after the grace period, SIGKILL, and waits for the exit. Stopping an exited container succeeds.
// ErrTimeout: it still runs, for example because a GPU's driver blocks its exit.
func (c *Client) Stop(ctx context.Context, id string, grace time.Duration) error {
	seconds := wholeSeconds(grace)
	timeout := time.Duration(seconds)*time.Second + c.timeouts.Stop
	return c.do(ctx, timeout, "stop container "+shortID(id), func(ctx context.Context) error {
		return c.api.ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds})
	})
}

// wholeSeconds rounds up, at least to 1: the engine takes whole seconds, and 0 would mean an immediate SIGKILL.
func wholeSeconds(d time.Duration) int {
	return max(1, int(math.Ceil(d.Seconds())))
}

// Kill sends SIGKILL without waiting. Killing a container that does not run succeeds.
func (c *Client) Kill(ctx context.Context, id string) error {
	err := c.do(ctx, c.timeouts.Call, "kill container "+shortID(id), func(ctx context.Context) error {
		return c.api.ContainerKill(ctx, id, "KILL")
	})
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// Remove removes a container and its logs, killing it if it runs. Removing a missing one succeeds.
func (c *Client) Remove(ctx context.Context, id string) error {
	err := c.do(ctx, c.timeouts.Stop, "remove container "+shortID(id), func(ctx context.Context) error {
		return c.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
