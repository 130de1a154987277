package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"
)

// Event says that a container changed. It is only a hint to call Inspect for its present state.
type Event struct {
	ID     string // the container's
	Action string // create, start, die, oom, pause, unpause or destroy
	Time   time.Time
	Labels map[string]string // the container's, plus the engine's: image, name, exitCode
}

// Events subscribes to events of the containers with these labels. When it returns, the subscription is active or has failed, so
// that a List afterwards misses nothing. Once the event channel is closed, the error channel holds the reason, and the caller
// subscribes and lists again. The engine is pinged every Timeouts.Watch, so that a hung one ends the stream with ErrTimeout.
// Errors: ErrUnreachable, ErrTimeout, ErrDenied, or the context's.
//
// A single connection that hangs cannot be distinguished from a quiet one: callers should also list periodically. The caller
// reads events promptly or cancels the context.
func (c *Client) Events(ctx context.Context, labels map[string]string) (<-chan Event, <-chan error) {
	out, failed := make(chan Event, 64), make(chan error, 1)
	streamCtx, end := context.WithCancelCause(ctx)
	late := time.AfterFunc(c.timeouts.Call, func() { end(fmt.Errorf("%w (%s)", ErrTimeout, c.timeouts.Call)) })
	messages, errs := c.api.Events(streamCtx, subscription(labels, time.Now()))
	late.Stop()
	var watch sync.WaitGroup
	watch.Go(func() { c.watch(streamCtx, end) })
	go func() {
		err := pump(streamCtx, messages, errs, out)
		end(nil)
		watch.Wait()
		failed <- streamError(ctx, streamCtx, err)
		close(failed)
		close(out)
	}()
	return out, failed
}

// subscription selects events from since on, because the engine responds shortly before it subscribes.
func subscription(labels map[string]string, since time.Time) events.ListOptions {
	args := withLabels(labels)
	args.Add("type", string(events.ContainerEventType))
	for _, action := range []events.Action{
		events.ActionCreate, events.ActionStart, events.ActionDie, events.ActionOOM,
		events.ActionPause, events.ActionUnPause, events.ActionDestroy,
	} {
		args.Add("event", string(action))
	}
	return events.ListOptions{Since: fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond()), Filters: args}
}

// watch ends the stream when the engine does not answer a ping.
func (c *Client) watch(ctx context.Context, end context.CancelCauseFunc) {
	ticker := time.NewTicker(c.timeouts.Watch)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := c.Ping(ctx); err != nil && ctx.Err() == nil {
				end(err)
				return
			}
		}
	}
}

func pump(ctx context.Context, messages <-chan events.Message, errs <-chan error, out chan<- Event) error {
	for {
		select {
		case m := <-messages:
			e := Event{ID: m.Actor.ID, Action: string(m.Action), Time: time.Unix(0, m.TimeNano), Labels: m.Actor.Attributes}
			select {
			case out <- e:
			case <-ctx.Done():
				return <-errs
			}
		case err := <-errs:
			return err
		}
	}
}

// streamError returns why a stream ended: the caller's context first, then a failed ping, then the stream's error.
func streamError(ctx, streamCtx context.Context, err error) error {
	cause := context.Cause(streamCtx)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("events: %w", ctx.Err())
	case cause != nil && !errors.Is(cause, context.Canceled):
		return fmt.Errorf("events: %w", cause)
	}
	return translate(ctx, "events", err)
}
