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

// Runtime is the container engine. *docker.Client implements it.
type Runtime interface {
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

// executor performs actions on containers.
type executor struct {
	engine Runtime
	fleet  string
}

func (e executor) labels() map[string]string { return map[string]string{docker.LabelOwner: e.fleet} }

// create creates and starts a container.
func (e executor) create(ctx context.Context, a create) created {
	id, err := e.start(ctx, a.spec)
	o := created{instanceID: a.instanceID, container: id, err: err}
	if err != nil {
		o.cause = endCauseOf(err)
		if errors.Is(err, docker.ErrConflict) && e.owns(ctx, a.spec.Name) {
			o.cause = endEngineError // A leftover of the fleet: the next list removes it.
		}
		return o
	}
	status, err := e.engine.Inspect(ctx, id)
	if err != nil {
		o.err, o.cause = err, endEngineError
		return o
	}
	if o.url = inspected(status).url; o.url == "" && status.State == docker.Running {
		o.err, o.cause = errors.New("the engine did not publish its port"), endFailure
	}
	return o
}

func (e executor) start(ctx context.Context, spec docker.Spec) (id string, err error) {
	if err := e.engine.EnsureNetwork(ctx, spec.Network, e.fleet); err != nil {
		return "", err
	}
	if id, err = e.engine.Create(ctx, spec); err != nil {
		return "", err
	}
	return id, e.engine.Start(ctx, id)
}

// owns reports whether a container exists and belongs to the fleet.
func (e executor) owns(ctx context.Context, ref string) bool {
	status, err := e.engine.Inspect(ctx, ref)
	return err == nil && status.Labels[docker.LabelOwner] == e.fleet
}

// endCauseOf maps an engine error to what it means for the replica.
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
func (e executor) remove(ctx context.Context, a remove) removed {
	o := removed{instanceID: a.instanceID}
	status, err := e.engine.Inspect(ctx, a.ref)
	if err != nil || status.Labels[docker.LabelOwner] != e.fleet {
		o.err = unlessGone(err)
		return o
	}
	if status.State == docker.Running || status.State == docker.Paused {
		o.err = unlessGone(e.engine.Stop(ctx, status.ID, a.grace))
	}
	o.logs, err = e.engine.Logs(ctx, status.ID, tailLines)
	if err != nil {
		o.logs = []string{fmt.Sprintf("(cannot read its log: %v)", err)}
	}
	if o.err == nil {
		o.err = e.engine.Remove(ctx, status.ID)
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

// list lists the fleet's containers.
func (e executor) list(ctx context.Context, since time.Duration) listed {
	o := listed{since: since}
	list, err := e.engine.List(ctx, e.labels())
	if err != nil {
		o.err = err
		return o
	}
	for _, summary := range list {
		c := describe(summary)
		if !c.running { // The list lacks the exit status.
			status, err := e.engine.Inspect(ctx, summary.ID)
			if errors.Is(err, docker.ErrNotFound) {
				continue
			}
			if err != nil {
				o.err = err
				return o
			}
			c = inspected(status)
		}
		if summary.State != docker.Removing {
			o.containers = append(o.containers, c)
		}
	}
	return o
}

func describe(s docker.Summary) container {
	generation, _ := strconv.Atoi(s.Labels[docker.LabelGeneration]) // 0: unknown deployment
	return container{
		id: s.ID, name: s.Name, placement: s.Labels[docker.LabelReplica], generation: generation, hash: s.Labels[docker.LabelHash],
		running: s.State == docker.Running || s.State == docker.Paused, paused: s.State == docker.Paused,
		url: address(s.HostPort, s.Address, s.Gateway),
	}
}

func inspected(s docker.Status) container {
	c := describe(s.Summary)
	c.exitCode, c.oom, c.reason = s.ExitCode, s.OOMKilled, s.Error
	return c
}

// address returns the URL of a container's server: the container's own address if the engine's bridge is on this host,
// otherwise, as with a rootless engine, the published port. The proxy of published ports is an engine process and ends
// with the engine, even with live-restore.
func address(port int, own, gateway netip.Addr) string {
	switch {
	case port == 0:
		return ""
	case bridged(own, gateway):
		return "http://" + netip.AddrPortFrom(own, serverPort).String()
	}
	return fmt.Sprintf("http://127.0.0.1:%d", port)
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
