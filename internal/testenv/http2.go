package testenv

import "net/http"

// HTTP2 returns a transport of HTTP/2 without TLS. The caller closes its idle connections.
func HTTP2() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: protocols}
}
