package gpu

import "time"

// Kind is the kind of an event.
type Kind string

// The kinds.
const (
	KindWatching       Kind = "watching"    // events are received from now on; earlier ones may have been missed
	KindInterrupted    Kind = "interrupted" // events are not received; Err says why. KindWatching follows
	KindXID            Kind = "xid"         // the driver reported a critical error; XID is its number
	KindECC            Kind = "ecc"         // uncorrected memory error
	KindECCCorrected   Kind = "ecc corrected"
	KindRecoveryAction Kind = "recovery action" // the recovery action changed
	KindLost           Kind = "lost"            // the GPU is unreachable
	KindNeedsRepair    Kind = "needs repair"    // the GPU takes no new work; Err says what it needs
	KindUnresponsive   Kind = "unresponsive"    // a call about the GPU did not return in time
	KindFailed         Kind = "failed"          // the GPU responds with another error
	KindRecovered      Kind = "recovered"       // the GPU responds and takes work again
)

// Event is a change of a GPU or, with Index -1, of the watch itself.
type Event struct {
	Time  time.Time // when Fovea received it
	Kind  Kind
	Index int
	UUID  string
	XID   int // of KindXID, else 0
	Class Class
	// Recovery is the driver's recovery action just after the event; nil if unknown.
	Recovery *RecoveryAction
	// ByDriver: Class follows from Recovery rather than from the table of XIDs.
	ByDriver        bool
	GPUInstance     *int // the MIG instance of an XID, if any
	ComputeInstance *int
	Err             error
	// Missed counts the events dropped before this one because the reader was too slow. Call Inventory after a gap.
	Missed int
}

// eventBuffer bounds the events that wait for a slow reader. If it is full the oldest is dropped, since the newest describe
// the present state, and counted in the Missed of the next.
const eventBuffer = 64

// outbox sends events to one reader without waiting for it.
type outbox chan Event

func (o outbox) send(e Event) {
	for {
		select {
		case o <- e:
			return
		default:
		}
		select {
		case old := <-o:
			e.Missed += old.Missed + 1
		default: // the reader took one meanwhile
		}
	}
}
