package pairs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Variant is one way to run the server.
type Variant struct {
	Name      string
	Processes int      // each with an equal share of the connections
	Pinned    bool     // each process on a separate core
	Env       []string // in addition to this process's
	Program   string
	Args      []string // in addition to those that all variants get
}

// ParseVariant reads "NAME: [Nx] [pinned] [KEY=VALUE…] PROGRAM [FLAG…]". Nx runs N processes; pinned runs each on a separate
// core. Words are separated by spaces; there is no quoting.
func ParseVariant(text string) (Variant, error) {
	name, rest, ok := strings.Cut(text, ":")
	v := Variant{Name: strings.TrimSpace(name), Processes: 1}
	if !ok || v.Name == "" {
		return v, fmt.Errorf("variant %q: want NAME: [Nx] [pinned] [KEY=VALUE…] PROGRAM [FLAG…]", text)
	}
	words := strings.Fields(rest)
	if len(words) > 0 {
		if count, found := strings.CutSuffix(words[0], "x"); found {
			n, err := strconv.Atoi(count)
			if err != nil || n < 1 || n > 64 {
				return v, fmt.Errorf("variant %s: %q is not a number of processes from 1x to 64x", v.Name, words[0])
			}
			v.Processes, words = n, words[1:]
		}
	}
	if len(words) > 0 && words[0] == "pinned" {
		v.Pinned, words = true, words[1:]
	}
	isFlag := func(word string) bool { return strings.HasPrefix(word, "-") }
	for len(words) > 0 && strings.Contains(words[0], "=") && !isFlag(words[0]) {
		v.Env, words = append(v.Env, words[0]), words[1:]
	}
	if len(words) == 0 || isFlag(words[0]) {
		return v, fmt.Errorf("variant %s: it names no program", v.Name)
	}
	v.Program, v.Args = words[0], words[1:]
	return v, nil
}

// Variants is a flag that may be repeated. The first is the one that others are compared with.
type Variants []Variant

// String implements flag.Value.
func (v *Variants) String() string {
	var names []string
	for _, one := range *v {
		names = append(names, one.Name)
	}
	return strings.Join(names, ", ")
}

// Set implements flag.Value.
func (v *Variants) Set(text string) error {
	one, err := ParseVariant(text)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(*v, func(o Variant) bool { return o.Name == one.Name }) {
		return errors.New("there are two variants called " + one.Name)
	}
	*v = append(*v, one)
	return nil
}
