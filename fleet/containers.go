package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"fovea/docker"
)

// ContainerEngine is the part of the Docker engine that a fleet uses. *docker.Client implements it.
type ContainerEngine interface {
	Info(ctx context.Context) (docker.Info, error)
	EnsureNetwork(ctx context.Context, name, owner string) error
	RemoveNetwork(ctx context.Context, name, owner string) error
	ImageInfo(ctx context.Context, ref string) (docker.Image, error)
	Create(ctx context.Context, s docker.Spec) (string, error)
	Start(ctx context.Context, id string) error
	Stop(ctx context.Context, id string, grace time.Duration) error
	Remove(ctx context.Context, id string) error
	Inspect(ctx context.Context, id string) (docker.Status, error)
	List(ctx context.Context, labels map[string]string) ([]docker.Summary, error)
	Events(ctx context.Context, labels map[string]string) (<-chan docker.Event, <-chan error)
	Logs(ctx context.Context, id string, tail int) ([]string, error)
	FollowLogs(ctx context.Context, id string, tail int, w io.Writer) error
}

// tailLines is how many lines are kept of an ended container's log.
const tailLines = 20

// containerActions performs actions on containers.
type containerActions struct {
	engine ContainerEngine
	fleet  string
}

func (c containerActions) labels() map[string]string {
	return map[string]string{docker.LabelOwner: c.fleet}
}

// create also starts the container.
func (c containerActions) create(ctx context.Context, a create) created {
	id, err := c.start(ctx, a.spec)
	o := created{seq: a.seq, container: id, err: err}
	if err != nil {
		o.cause = endCauseOf(err)
		if errors.Is(err, docker.ErrConflict) && c.owns(ctx, a.spec.Name) {
			o.cause = endEngineError // A leftover of the fleet: the next list removes it.
		}
		return o
	}
	status, err := c.engine.Inspect(ctx, id)
	if err != nil {
		o.err, o.cause = err, endEngineError
		return o
	}
	found := inspected(status)
	o.url, o.grpc = found.url, found.grpc
	if o.url == "" && status.State == docker.Running {
		o.err, o.cause = errors.New("the Docker engine did not publish the container's port"), endFailure
	}
	return o
}

func (c containerActions) start(ctx context.Context, spec docker.Spec) (id string, err error) {
	if err := c.engine.EnsureNetwork(ctx, spec.Network, c.fleet); err != nil {
		return "", err
	}
	if id, err = c.engine.Create(ctx, spec); err != nil {
		return "", err
	}
	return id, c.engine.Start(ctx, id)
}

// owns reports whether a container exists and belongs to the fleet.
func (c containerActions) owns(ctx context.Context, ref string) bool {
	status, err := c.engine.Inspect(ctx, ref)
	return err == nil && status.Labels[docker.LabelOwner] == c.fleet
}

// endCauseOf maps an error of the Docker engine to what it means for the replica.
func endCauseOf(err error) endCause {
	passing := []error{docker.ErrUnreachable, docker.ErrTimeout, docker.ErrDenied, docker.ErrNoNetwork, docker.ErrNotFound, context.Canceled}
	switch is := func(target error) bool { return errors.Is(err, target) }; {
	case slices.ContainsFunc(passing, is) && !is(docker.ErrNoImage):
		return endEngineError
	case is(docker.ErrEngine):
		return endFailure
	}
	return endFatal // Invalid specification, image or name: fatal, since the same call would fail the same way.
}

// remove stops and removes a container and returns its last log lines. Containers of others are left alone.
func (c containerActions) remove(ctx context.Context, a remove) removed {
	o := removed{seq: a.seq}
	status, err := c.engine.Inspect(ctx, a.ref)
	if err != nil || status.Labels[docker.LabelOwner] != c.fleet {
		o.err = unlessGone(err)
		return o
	}
	if status.State == docker.Running || status.State == docker.Paused {
		o.err = unlessGone(c.engine.Stop(ctx, status.ID, a.grace))
	}
	o.logs, err = c.engine.Logs(ctx, status.ID, tailLines)
	if err != nil {
		o.logs = []string{fmt.Sprintf("(cannot read its log: %v)", err)}
	}
	if o.err == nil {
		o.err = c.engine.Remove(ctx, status.ID)
	}
	return o
}

// unlessGone returns the error, or nil if it is that the container does not exist.
func unlessGone(err error) error {
	if errors.Is(err, docker.ErrNotFound) {
		return nil
	}
	return err
}

func (c containerActions) list(ctx context.Context, since time.Duration) listed {
	o := listed{since: since}
	list, err := c.engine.List(ctx, c.labels())
	if err != nil {
		o.err = err
		return o
	}
	for _, summary := range list {
		found := describe(summary)
		if !found.running { // The list lacks the exit status.
			status, err := c.engine.Inspect(ctx, summary.ID)
			if errors.Is(err, docker.ErrNotFound) {
				continue
			}
			if err != nil {
				o.err = err
				return o
			}
			found = inspected(status)
		}
		if summary.State != docker.Removing {
			o.containers = append(o.containers, found)
		}
	}
	return o
}

func describe(s docker.Summary) container {
	generation, _ := strconv.Atoi(s.Labels[docker.LabelGeneration]) // 0: unknown deployment
	return container{
		id: s.ID, name: s.Name, placement: s.Labels[docker.LabelReplica], generation: generation, hash: s.Labels[docker.LabelHash],
		running: s.State == docker.Running || s.State == docker.Paused, paused: s.State == docker.Paused,
		url: httpURL(address(s.HostPort, serverPort, s.Address, s.Gateway)), grpc: address(s.GRPCPort, docker.GRPCPort, s.Address, s.Gateway),
	}
}

// httpURL is the URL of a server at an address; "" for none.
func httpURL(address string) string {
	if address == "" {
		return ""
	}
	return "http://" + address
}

func inspected(s docker.Status) container {
	c := describe(s.Summary)
	c.exitCode, c.oom, c.reason = s.ExitCode, s.OOMKilled, s.Error
	return c
}

// address returns the address of a port of a container's server: the container's own address if the Docker engine's bridge is on this host,
// otherwise, as with a rootless engine, the published port. The proxy of published ports is a process of the Docker engine
// and ends with it, even with live-restore.
func address(published int, port uint16, own, gateway netip.Addr) string {
	switch {
	case published == 0:
		return ""
	case bridged(own, gateway):
		return netip.AddrPortFrom(own, port).String()
	}
	return fmt.Sprintf("127.0.0.1:%d", published)
}

// serverPort is the server's port inside the container.
var serverPort = uint16(docker.Defaults().ContainerPort)

// bridged reports whether this host is the container's gateway, which the source address of its route shows. Nothing is
// sent.
func bridged(own, gateway netip.Addr) bool {
	if !own.IsValid() || !gateway.IsValid() {
		return false
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(own, serverPort)))
	if err != nil {
		return false
	}
	defer c.Close()
	from, ok := c.LocalAddr().(*net.UDPAddr)
	return ok && from.AddrPort().Addr().Unmap() == gateway
}
