package testenv

import (
	"os"
	"path/filepath"
	"testing"

	"fovea/internal/apikey"
)

// KeyFile writes a file of API keys and returns its path, and the keys as clients send them by their names.
func KeyFile(t testing.TB, keys ...apikey.Key) (path string, secrets map[string]string) {
	t.Helper()
	path, secrets = filepath.Join(t.TempDir(), "keys.yaml"), map[string]string{}
	text := "keys:\n"
	for _, k := range keys {
		secrets[k.Name] = apikey.New()
		k.Hash = apikey.Hash(secrets[k.Name])
		text += k.Entry()
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, secrets
}
