package gateway

import (
	"encoding/binary"
	"errors"
	"time"

	"fovea/internal/admission"
	"fovea/internal/apierror"
)

// enter admits the message whose prefix was read.
func (m *messages) enter() error {
	select {
	case m.slots <- struct{}{}:
	case <-m.halt():
		return errHalted
	case <-m.ctx.Done():
		return m.ctx.Err()
	}
	leave, err := m.pass()
	if err == nil {
		if m.body, err = m.admit(); err == nil {
			if err = m.add(&message{admitted: m.body, leave: leave}); err == nil {
				return nil
			}
			m.body.Release()
		}
		leave()
	}
	<-m.slots
	return err
}

// add adds a message that is to be read, unless the reading was stopped meanwhile.
func (m *messages) add(one *message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped() {
		return errHalted
	}
	m.open, m.within = append(m.open, one), true
	return nil
}

// pass has the guard admit a message. The first one is the call, which has passed. A stream's further messages wait while its key or
// address is at a limit.
func (m *messages) pass() (leave func(), err error) {
	if m.count == 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		leave, m.leave = m.leave, func() {}
		return leave, nil
	}
	for {
		_, leave, err = m.gateway.protection.Guard.Enter(m.route, m.caller)
		e := apierror.From(err)
		switch {
		case err == nil:
			return leave, nil
		case e.Code != apierror.RateLimited:
			m.settle(0)
			return leave, err
		}
		if err := m.sleep(max(e.RetryAfter, reenter)); err != nil {
			return nil, err
		}
	}
}

// admit counts a message as a request in flight. A stream's further messages wait while the gateway is at its limit.
func (m *messages) admit() (*admission.Body, error) {
	length := int64(binary.BigEndian.Uint32(m.prefix[1:]))
	for {
		admitted, err := m.gateway.admission.Admit(m.rc.client.ID, m.src, length, m.gateway.cfg.BodyTimeout, m.conn, nil)
		full, ok := errors.AsType[*admission.FullError](err)
		switch {
		case !ok:
			return admitted, err
		case m.count == 0:
			return nil, busy(full)
		}
		if err := m.sleep(reenter); err != nil {
			return nil, err
		}
	}
}

func (m *messages) sleep(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-m.halt():
		return errHalted
	case <-m.ctx.Done():
		return m.ctx.Err()
	}
}
