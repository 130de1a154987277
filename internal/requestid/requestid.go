// Package requestid is the rule of X-Request-ID, which the gateway and the server must share: an id that the one takes
// from a client, the other must take from it.
package requestid

import "crypto/rand"

// Of takes the client's id when it is 1 to 128 letters, digits and -._~:=+/@, and makes one otherwise.
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
