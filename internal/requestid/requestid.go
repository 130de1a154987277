// Package requestid decides which X-Request-ID of a client is kept. The gateway and the server share the rule, so that the
// server keeps what the gateway has accepted.
package requestid

import "crypto/rand"

// Of returns the client's ID if it has 1 to 128 letters, digits and -._~:=+/@, and a random one otherwise.
func Of(given string) string {
	if len(given) < 1 || len(given) > 128 {
		return rand.Text()
	}
	for i := range len(given) {
		if !idByte(given[i]) {
			return rand.Text()
		}
	}
	return given
}

func idByte(b byte) bool {
	switch {
	case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
		return true
	}
	switch b {
	case '-', '.', '_', '~', ':', '=', '+', '/', '@':
		return true
	}
	return false
}
