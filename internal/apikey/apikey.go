// Package apikey reads the file of API keys and finds the key that a client has sent.
//
// Keys are generated, with 256 random bits, and the file has their SHA-256. A slow hash such as bcrypt protects passwords,
// which are few enough to be guessed; no one can try 2^256 keys at any speed, and a slow hash would let anyone occupy the server
// with wrong keys.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"fovea/internal/config"
)

// Scope is a kind of requests that a key may send.
type Scope string

// The scopes.
const (
	Predict Scope = "predict" // predictions
	Models  Scope = "models"  // which models there are, what they are, and metrics
	Admin   Scope = "admin"   // loading and unloading models
)

// Scopes lists all scopes.
var Scopes = []Scope{Predict, Models, Admin}

// Key is an entry of the file.
type Key struct {
	Name       string   `yaml:"name"`
	Hash       string   `yaml:"hash"` // sha256: and 64 hexadecimal digits
	Scopes     []string `yaml:"scopes"`
	Models     []string `yaml:"models"`                      // that the key may use; empty: all
	Rate       float64  `yaml:"rate" range:"0..1000000"`     // requests per second; 0: the server's http.rate.limit
	Burst      int      `yaml:"burst" range:"0..1000000"`    // requests at once; 0: those of a second, at least one
	Concurrent int      `yaml:"concurrent" range:"0..65536"` // requests in flight; 0: no limit
}

// May reports whether the key has a scope.
func (k *Key) May(s Scope) bool { return slices.Contains(k.Scopes, string(s)) }

// MayUse reports whether the key may use a model.
func (k *Key) MayUse(model string) bool {
	return len(k.Models) == 0 || slices.Contains(k.Models, model)
}

const (
	prefix     = "fovea_" // lets scanners find keys that were published by mistake
	randomSize = 32       // bytes
	hashPrefix = "sha256:"
)

// secretSize is the length of a key as clients send it.
var secretSize = len(prefix) + base64.RawURLEncoding.EncodedLen(randomSize)

// New generates a key as clients send it.
func New() string {
	var random [randomSize]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	return prefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// Hash is the hash of a key as the file has it.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hashPrefix + hex.EncodeToString(sum[:])
}

// Keys are the keys of a file. They are not changed and safe for concurrent use.
type Keys struct {
	list    []Key
	byStart map[uint64][]hashed
}

// hashed is a key by the first bytes of its hash.
type hashed struct {
	sum [sha256.Size]byte
	key *Key
}

// List returns the keys in the order of the file.
func (k *Keys) List() []Key { return k.list }

// Find returns the key that a client has sent, or nil. Its time does not depend on how much of a wrong key is right.
func (k *Keys) Find(secret string) *Key {
	if len(secret) != secretSize || !strings.HasPrefix(secret, prefix) {
		return nil
	}
	sum := sha256.Sum256([]byte(secret))
	for _, h := range k.byStart[start(sum)] {
		if subtle.ConstantTimeCompare(sum[:], h.sum[:]) == 1 {
			return h.key
		}
	}
	return nil
}

func start(sum [sha256.Size]byte) uint64 { return binary.LittleEndian.Uint64(sum[:8]) }

// file is the content of the file.
type file struct {
	Keys []Key `yaml:"keys"`
}

// Parse reads the content of the file, which is named so in errors. All errors are returned together.
func Parse(content []byte, name string) (*Keys, error) {
	var f file
	report := config.ParseStrict(content, name, &f)
	var errs config.Errors
	if !report.Given("keys") {
		errs.Add("keys", "is required; a file without keys, which allows no requests, has keys: []")
	}
	k := &Keys{list: f.Keys, byStart: map[uint64][]hashed{}}
	seen := map[string]string{}
	for i := range k.list {
		key, path := &k.list[i], config.Index("keys", i)
		key.check(path, seen, &errs)
		if sum, ok := parseHash(key.Hash); ok {
			k.byStart[start(sum)] = append(k.byStart[start(sum)], hashed{sum, key})
		}
		var ranges config.Errors
		if err := config.Check(*key); err != nil {
			ranges, _ = err.(config.Errors) //nolint:errorlint // what Check returns
		}
		errs.Under(path, ranges)
	}
	report.Add(errs)
	if err := report.Err(); err != nil {
		return nil, err
	}
	return k, nil
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName checks the name of a key, which appears in logs and metrics.
func CheckName(name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%.80q is not a name of 1 to 64 letters, digits, dots, dashes and underscores that begins with a letter or digit", name)
}

// check reports what is wrong with an entry. Names and hashes seen before map to their entries.
func (k *Key) check(path string, seen map[string]string, errs *config.Errors) {
	once := func(key, value string) {
		if other, twice := seen[key+value]; twice {
			errs.Add(config.Join(path, key), "is that of %s as well", other)
		}
		seen[key+value] = path
	}
	if err := CheckName(k.Name); err != nil {
		errs.Add(config.Join(path, "name"), "%w", err)
	} else {
		once("name", k.Name)
	}
	if _, ok := parseHash(k.Hash); !ok {
		errs.Add(config.Join(path, "hash"), "want sha256: and 64 hexadecimal digits, as serve keys new prints it")
	} else {
		once("hash", strings.ToLower(k.Hash))
	}
	if len(k.Scopes) == 0 {
		errs.Add(config.Join(path, "scopes"), "is required: a list of %s", scopeNames())
	}
	for i, s := range k.Scopes {
		if !slices.Contains(Scopes, Scope(s)) {
			errs.Add(config.Index(config.Join(path, "scopes"), i), "%.40q is not one of %s", s, scopeNames())
		}
	}
	for i, m := range k.Models {
		if m == "" {
			errs.Add(config.Index(config.Join(path, "models"), i), "is empty")
		}
	}
	if k.Burst > 0 && k.Rate == 0 {
		errs.Add(config.Join(path, "burst"), "has no effect without rate")
	}
}

func scopeNames() string {
	names := make([]string, len(Scopes))
	for i, s := range Scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

func parseHash(text string) (sum [sha256.Size]byte, ok bool) {
	digits, ok := strings.CutPrefix(text, hashPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(sum)) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(digits))
	return sum, err == nil
}
