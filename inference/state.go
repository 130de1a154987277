package inference

// State is where a version of a model stands.
type State uint8

// The states. A version goes Loading → Ready → Unloading and is gone then, or Loading → Failed.
const (
	Loading   State = iota // its file is read, its batches are made and it is tried
	Ready                  // it answers
	Failed                 // it could not be loaded; Status.Error says why
	Unloading              // it answers what it has accepted, and no more
)

// String is the state's name in answers, logs and metrics.
func (s State) String() string {
	switch s {
	case Loading:
		return "loading"
	case Ready:
		return "ready"
	case Failed:
		return "failed"
	case Unloading:
		return "unloading"
	}
	return "unknown"
}
