package pairs

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"fovea/tools/bench/proc"
)

// Counters are what the kernel counts of processes. Most depend on the speed of the machine much less than times do.
type Counters struct {
	User, System float64 // seconds of CPU time
	Wait         float64 // seconds that runnable threads waited for a core
	Voluntary    float64 // context switches: a thread waited for something
	Involuntary  float64 // context switches: a thread was preempted
	Migrations   float64 // threads that continued on another core
	MinorFaults  float64 // pages mapped without I/O
	TLB          float64 // interrupts of all cores for TLB shootdowns, of the whole machine
	Wakeups      float64 // interrupts of all cores for rescheduling, of the whole machine
}

// fields are the counters with their titles, in the order of the tables.
func (c *Counters) fields() []field {
	return []field{
		{"user ms", &c.User, 1000}, {"system ms", &c.System, 1000}, {"run queue ms", &c.Wait, 1000},
		{"voluntary switches", &c.Voluntary, 1}, {"involuntary", &c.Involuntary, 1}, {"migrations", &c.Migrations, 1},
		{"minor faults", &c.MinorFaults, 1}, {"TLB IPIs", &c.TLB, 1}, {"reschedule IPIs", &c.Wakeups, 1},
	}
}

type field struct {
	title string
	value *float64
	scale float64 // from the counter to its unit in tables
}

// combine applies f to each pair of counters.
func combine(a, b Counters, f func(a, b float64) float64) Counters {
	left, right := a.fields(), b.fields()
	for i := range left {
		*left[i].value = f(*left[i].value, *right[i].value)
	}
	return a
}

// per divides the difference between two readings by a number of requests.
func per(before, after Counters, requests float64) Counters {
	return combine(after, before, func(a, b float64) float64 { return (a - b) / requests })
}

// readCounters reads the counters of processes and of the machine. Threads that have exited are missing from all but
// times and faults; the server keeps its threads.
func readCounters(pids []int) (Counters, error) {
	var sum Counters
	for _, pid := range pids {
		stat, err := proc.ReadStat(pid)
		if err != nil {
			return sum, err
		}
		sum = combine(sum, countersOf(stat), add)
		tasks, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*"))
		if err != nil {
			return sum, err
		}
		for _, task := range tasks {
			sum = combine(sum, readThread(task), add)
		}
	}
	interrupts, err := os.ReadFile("/proc/interrupts")
	if err != nil {
		return sum, err
	}
	sum.TLB, sum.Wakeups = interruptsOf(interrupts, "TLB"), interruptsOf(interrupts, "RES")
	return sum, nil
}

func add(a, b float64) float64 { return a + b }

func countersOf(s proc.Stat) Counters {
	return Counters{User: s.User.Seconds(), System: s.System.Seconds(), MinorFaults: float64(s.MinorFaults)}
}

// readThread reads the counters of one thread. One that has exited meanwhile counts nothing.
func readThread(dir string) (c Counters) {
	for name, into := range map[string]func(string){
		"status": func(text string) {
			c.Voluntary = valueOf(text, "voluntary_ctxt_switches:")
			c.Involuntary = valueOf(text, "nonvoluntary_ctxt_switches:")
		},
		"sched": func(text string) { c.Migrations = valueOf(text, "se.nr_migrations") },
		"schedstat": func(text string) { // time on a core, time waiting for one, both in ns; number of time slices
			if fields := strings.Fields(text); len(fields) > 1 {
				ns, _ := strconv.ParseFloat(fields[1], 64)
				c.Wait = ns / float64(time.Second)
			}
		},
	} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			into(string(text))
		}
	}
	return c
}

// valueOf returns the last word of the first line that starts with a key; 0 if there is none.
func valueOf(text, key string) float64 {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == key {
			n, _ := strconv.ParseFloat(words[len(words)-1], 64)
			return n
		}
	}
	return 0
}

// interruptsOf sums a line of /proc/interrupts over all cores.
func interruptsOf(text []byte, name string) float64 {
	sum := 0.0
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != name+":" {
			continue
		}
		for _, word := range words[1:] {
			n, err := strconv.ParseFloat(word, 64)
			if err != nil {
				return sum // the description begins
			}
			sum += n
		}
	}
	return sum
}
