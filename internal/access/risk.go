package access

import (
	"net/netip"
	"strings"

	"fovea/internal/tlsfiles"
)

// Risk says what others can do with a listener that other machines can reach, "" if it is protected.
func Risk(address string, c Config, tls tlsfiles.Config) string {
	if a, err := netip.ParseAddrPort(address); err != nil || a.Addr().IsLoopback() {
		return ""
	}
	var risks []string
	if c.Keys == "" && !tls.Mutual() {
		risks = append(risks, "anyone who can reach this address can use it, since there are no API keys")
	}
	if !tls.Enabled() {
		risks = append(risks, "what clients send can be read on the network, since there is no TLS")
	}
	if len(risks) == 0 {
		return ""
	}
	return strings.Join(risks, "; ") + " (docs/security.md)"
}
