package native

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// held is memory from an arena, filled with one value.
type held struct {
	p     unsafe.Pointer
	bytes []byte
	value byte
}

func take(t *testing.T, arena, size int, value byte) held {
	t.Helper()
	p := AllocFrom(arena, size)
	if p == nil || uintptr(p)%Alignment != 0 {
		t.Fatalf("%d bytes are at %p", size, p)
	}
	h := held{p, unsafe.Slice((*byte)(p), size), value}
	for i := range h.bytes {
		h.bytes[i] = value
	}
	return h
}

func (h held) give(t *testing.T) {
	t.Helper()
	for i, b := range h.bytes {
		if b != h.value {
			t.Fatalf("byte %d of %d is %d, want %d: another chunk overlaps", i, len(h.bytes), b, h.value)
		}
	}
	FreeTo(h.p)
}

// atRest checks that nothing is in use, and that trimming then returns everything.
func atRest(t *testing.T) {
	t.Helper()
	if _, used := Arenas(); used != 0 {
		t.Errorf("%d bytes are in use", used)
	}
	TrimArenas()
	if mapped, _ := Arenas(); mapped != 0 {
		t.Errorf("%d bytes are still mapped", mapped)
	}
}

// TestArenasKeepMemoryApart allocates and frees at random, each arena by one goroutine, which frees some of another's.
func TestArenasKeepMemoryApart(t *testing.T) {
	const goroutines = 4
	var group sync.WaitGroup
	handed := make(chan held, 64)
	for arena := range goroutines {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(arena)))
			var mine []held
			for step := range 4000 {
				switch {
				case rng.IntN(5) < 3 && len(mine) < 40:
					size := 1 + rng.IntN(1<<rng.IntN(21))
					mine = append(mine, take(t, arena, size, byte(step*goroutines+arena)))
				case len(mine) > 0:
					i := rng.IntN(len(mine))
					select {
					case handed <- mine[i]:
					default:
						mine[i].give(t)
					}
					mine[i] = mine[len(mine)-1]
					mine = mine[:len(mine)-1]
				}
				if rng.IntN(4) == 0 {
					select {
					case other := <-handed:
						other.give(t)
					default:
					}
				}
			}
			for _, h := range mine {
				h.give(t)
			}
		})
	}
	group.Wait()
	close(handed)
	for h := range handed {
		h.give(t)
	}
	atRest(t)
}

func TestArenaReusesMemory(t *testing.T) {
	first := take(t, 1, 100_000, 1)
	other := take(t, 2, 100_000, 2)
	if first.p == other.p {
		t.Error("two arenas gave the same memory")
	}
	first.give(t)
	again := take(t, 1, 100_000, 3)
	if again.p != first.p {
		t.Error("what was freed last was not used again")
	}
	other.give(t)
	again.give(t)

	var pieces []held // neighbors, which are one chunk again once all are free, in whatever order
	for i := range 3 {
		pieces = append(pieces, take(t, 1, 1_000_000, byte(i)))
	}
	before, _ := Arenas()
	for _, i := range []int{0, 2, 1} {
		pieces[i].give(t)
	}
	whole := take(t, 1, 3_000_000, 9)
	if after, _ := Arenas(); after != before {
		t.Errorf("%d bytes are mapped instead of %d: free neighbors were not merged", after, before)
	}
	whole.give(t)
	large := take(t, 1, 40_000_000, 9)
	if after, _ := Arenas(); after < before+40_000_000 {
		t.Errorf("%d bytes are mapped", after)
	}
	large.give(t)
	atRest(t)
}

func TestArenaRefusesSizesBeyondAddresses(t *testing.T) {
	for _, size := range []int{math.MaxInt, -1, -64, 1 << 60} {
		if p := AllocFrom(1, size); p != nil {
			t.Errorf("%d bytes are at %p", size, p)
		}
	}
	FreeTo(nil)
	atRest(t)
}

func affinity(t *testing.T) (set unix.CPUSet) {
	t.Helper()
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// TestPlacesHoldDifferentCores enters more places at once than there are cores.
func TestPlacesHoldDifferentCores(t *testing.T) {
	cores := runtime.NumCPU()
	n := cores + 2
	places := make([]Place, n)
	entered, leave := make(chan int), make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			before := affinity(t)
			places[i] = EnterPlace(true)
			if core := places[i].Core(); core >= 0 {
				if set := affinity(t); set.Count() != 1 || !set.IsSet(core) {
					t.Errorf("a thread that holds core %d may use %d cores", core, set.Count())
				}
			}
			entered <- i
			<-leave
			places[i].Leave()
			if after := affinity(t); after != before {
				t.Errorf("it may use %d cores afterwards, and %d before", after.Count(), before.Count())
			}
		})
	}
	for range n {
		<-entered
	}
	arenas, holders := map[int]bool{}, map[int]bool{}
	for i := range places {
		if arenas[places[i].Arena()] || places[i].Arena() == 0 {
			t.Errorf("arena %d is used by two runs, or by all else", places[i].Arena())
		}
		arenas[places[i].Arena()] = true
		if core := places[i].Core(); core >= 0 {
			if holders[core] {
				t.Errorf("core %d is held twice", core)
			}
			holders[core] = true
		}
	}
	if want := cores; cores > 1 && len(holders) != want {
		t.Errorf("%d cores are held, want %d", len(holders), want)
	}
	close(leave)
	group.Wait()
}

// TestPlacesUseFewArenas checks that runs one after the other use one arena, whatever core they are on, and that a run on several
// threads holds no core.
func TestPlacesUseFewArenas(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	all := affinity(t)
	defer func() {
		if err := unix.SchedSetaffinity(0, &all); err != nil {
			t.Error(err)
		}
	}()
	for i := range 20 * runtime.NumCPU() {
		core := i % runtime.NumCPU()
		var one unix.CPUSet
		one.Set(core)
		if !all.IsSet(core) || unix.SchedSetaffinity(0, &one) != nil {
			continue
		}
		p := EnterPlace(false)
		if p.Core() >= 0 {
			t.Errorf("a run that is to hold no core holds core %d", p.Core())
		}
		if p.Arena() > runtime.NumCPU()+2 { // those of the test before
			t.Errorf("arena %d is used although others are free", p.Arena())
		}
		p.Leave()
	}
}
