package gpu

import "time"

// Kind is what an event tells.
type Kind int

// The kinds.
const (
	KindWatching    Kind = iota // from now on events are received; anything before it may have gone unseen
	KindInterrupted             // events are not received; Err says why. KindWatching follows when they are again
	KindXID                     // the driver reported a critical error; XID is its number
	KindECC                     // uncorrected memory error
	KindECCCorrected
	KindRecovery     // the recovery action changed
	KindLost         // the GPU is out of reach
	KindNeedsRepair  // the GPU takes no new work; Err says what it needs
	KindNotAnswering // a call about the GPU hangs
	KindFailed       // the GPU answers with another error
	KindBack         // the GPU answers and takes work again
)

var kindNames = [...]string{
	"watching", "interrupted", "xid", "ecc", "ecc corrected", "recovery", "lost", "needs repair", "not answering",
	"failed", "back",
}

// String names the kind, in lower case.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "invalid"
	}
	return kindNames[k]
}

// Event is something that happened to a GPU, or (Index -1) to the watch itself.
type Event struct {
	Time  time.Time // when Fovea heard of it
	Kind  Kind
	Index int
	UUID  string
	XID   int // of KindXID, else 0
	Class Class
	// Recovery is the driver's recovery action just after the event; nil where it is not told.
	Recovery *RecoveryAction
	// ByDriver: Class follows from Recovery, not from the table of XIDs.
	ByDriver        bool
	GPUInstance     *int // the MIG instance that an XID is about, if it is about one
	ComputeInstance *int
	Err             error
	// Missed counts the events dropped before this one because nobody took them in time. After a gap, ask Inventory.
	Missed int
}

// eventBuffer is how many events wait for a slow reader. When it is full the oldest goes: the newest say how things
// are now, and each event that replaces another counts it in Missed.
const eventBuffer = 64

// outbox sends events to one reader and never waits for it.
type outbox struct{ events chan Event }

func (o outbox) send(e Event) {
	for {
		select {
		case o.events <- e:
			return
		default:
		}
		select {
		case old := <-o.events:
			e.Missed += old.Missed + 1
		default: // The reader took one meanwhile.
		}
	}
}
