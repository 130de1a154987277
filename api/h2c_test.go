package api

import (
	"net/http"
	"testing"
)

func TestHTTP2WithoutTLS(t *testing.T) {
	for name, refused := range map[string]bool{"by default": false, "with no_h2c": true} {
		s := open(t, func(cfg *Config, _ *engine) { cfg.NoH2C = refused })
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: protocols}
		response, err := (&http.Client{Transport: transport}).Get(s.url("/health"))
		if err == nil {
			_ = response.Body.Close()
		}
		if (err != nil) != refused {
			t.Errorf("%s: %v", name, err)
		}
		transport.CloseIdleConnections()
	}
}
