package access

import (
	"strings"
	"testing"

	"fovea/internal/tlsfiles"
)

func TestRisk(t *testing.T) {
	keys, encrypted := Config{Keys: "keys.yaml"}, tlsfiles.Config{Certificate: "a", Key: "b"}
	mutual := encrypted
	mutual.ClientCA = "c"
	for _, test := range []struct {
		name, address string
		access        Config
		tls           tlsfiles.Config
		anyone, read  bool
	}{
		{"loopback", "127.0.0.1:8000", Config{}, tlsfiles.Config{}, false, false},
		{"loopback of IPv6", "[::1]:8000", Config{}, tlsfiles.Config{}, false, false},
		{"all addresses", "0.0.0.0:8000", Config{}, tlsfiles.Config{}, true, true},
		{"all addresses of IPv6", "[::]:8000", Config{}, tlsfiles.Config{}, true, true},
		{"with keys", "192.0.2.1:8000", keys, tlsfiles.Config{}, false, true},
		{"with TLS", "192.0.2.1:8000", Config{}, encrypted, true, false},
		{"with both", "192.0.2.1:8000", keys, encrypted, false, false},
		{"with client certificates", "192.0.2.1:8000", Config{}, mutual, false, false},
	} {
		got := Risk(test.address, test.access, test.tls)
		if strings.Contains(got, "anyone") != test.anyone || strings.Contains(got, "can be read") != test.read || (got == "") != (!test.anyone && !test.read) {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}
