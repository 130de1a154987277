package fleet

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fovea/docker"
	"fovea/internal/config"
)

func TestConfigurationFiles(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		says []string // every one of these; none: it is good
	}{
		"empty file": {"", nil},
		"all kinds of values": {`
name: cameras
image: fovea@sha256:aa
gpus: [0, GPU-1]
limits: {memory: 1.5GiB, cpus: 0.5}
health: {start_timeout: 5m}
gateway: {address: "127.0.0.1:9000", body_timeout: 1s, replay_memory: 1GiB}
env: {FOVEA_LOG_LEVEL: debug}`, nil},
		"unknown keys, all at once": {"imago: x\nhealth: {begin: 1s}", []string{"imago: unknown key", "health.begin: unknown key"}},
		"wrong types, all at once":  {"replicas: many\nstop_timeout: soon\nlimits: {memory: big}", []string{"replicas:", "stop_timeout:", "limits.memory:"}},
		"values out of bounds, all at once": {"replicas: 0\nname: A_b\nuser: \"0:0\"\nrollout: {order: never}\ngateway: {address: x, body_timeout: 0s, unresponsive_after: 0s, replay_memory: 2000GiB, \"-\": 1}",
			[]string{"replicas: 0", "name:", "user:", "rollout.order:", "gateway.address:", "gateway.body_timeout:", "gateway.unresponsive_after:", "gateway.replay_memory:", "gateway.-: unknown key"}},
		"GPUs named badly":        {"gpus: [0, 0, x]", []string{"0 is listed twice", `"x" is neither`}},
		"variables of the loader": {"env: {LD_PRELOAD: x, NVIDIA_VISIBLE_DEVICES: all}", []string{"env.LD_PRELOAD", "env.NVIDIA_VISIBLE_DEVICES"}},
		"the host's network":      {"network: host", []string{"network:"}},
		"what a container may not have": {"models: /etc\nsecrets: {TOKEN: /var/run/docker.sock}\nenv: {API_TOKEN: x}\nlimits: {memory: 64MiB, tmpfs: 1GiB}",
			[]string{"models: unsafe", "secrets.TOKEN: unsafe", "env.API_TOKEN: unsafe", "limits.tmpfs: "}},
		"errors of all kinds, at once": {"imago: x\nreplicas: many\nname: A_b\nmodels: /etc", []string{"imago:", "replicas:", "name:", "models:"}},
		"a value left out":             {"image:", []string{"image: has no value"}},
		"not YAML":                     {"a: [", []string{"invalid YAML"}},
		"two documents":                {"name: a\n---\nname: b", []string{"2 YAML documents"}},
		"TLS, keys and limits of the gateway": {`
gateway:
  tls: {certificate: tls.crt, key: tls.key, client_ca: ca.crt, client_names: [camera]}
  keys: keys.yaml
  open_metrics: true
  trusted_proxies: [10.0.0.0/8]
  rate: {limit: 10, burst: 20}`, nil},
		"TLS and keys of replicas": {`
args: [--http.rate.limit=5]
env: {FOVEA_HTTP_TLS_CERTIFICATE: /tls.crt, FOVEA_HTTP_KEYS: /keys.yaml}`, []string{
			"args[0]: --http.rate.limit=5 is not for replicas, which only the supervisor reaches; set gateway.rate.limit",
			"env.FOVEA_HTTP_TLS_CERTIFICATE: is not for replicas", "env.FOVEA_HTTP_KEYS: is not for replicas, which only the supervisor reaches; set gateway.keys"}},
		"gRPC":                          {"gateway: {grpc: {address: \"127.0.0.1:8001\"}}", nil},
		"gRPC at the address of HTTP":   {"gateway: {address: \"127.0.0.1:1\", grpc: {address: \"127.0.0.1:1\"}}", []string{"gateway.grpc.address: is also gateway.address"}},
		"gRPC at no address":            {"gateway: {grpc: {address: x}}", []string{"gateway.grpc.address: "}},
		"gRPC of replicas, set twice":   {"gateway: {grpc: {address: \"127.0.0.1:1\"}}\nargs: [--grpc.address=:1]\nenv: {FOVEA_GRPC_ADDRESS: \":1\"}", []string{"args[0]: --grpc.address=:1 is set for the replicas", "env.FOVEA_GRPC_ADDRESS: is set for the replicas"}},
		"gRPC of replicas alone":        {"env: {FOVEA_GRPC_ADDRESS: \"127.0.0.1:1\"}", nil},
		"a certificate without its key": {"gateway: {tls: {certificate: tls.crt}, trusted_proxies: [host]}", []string{"gateway.tls.key: is required with certificate", "gateway.trusted_proxies[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "supervise.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(file)
			if (err == nil) != (len(c.says) == 0) {
				t.Fatalf("error %v", err)
			}
			if unsafe := strings.Contains(strings.Join(c.says, " "), "unsafe"); errors.Is(err, docker.ErrUnsafe) != unsafe && unsafe {
				t.Errorf("errors.Is does not find docker.ErrUnsafe in: %v", err)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

func TestValuesOfAConfiguration(t *testing.T) {
	c := Defaults()
	if err := config.Parse([]byte("limits: {memory: 1.5GiB}\ngpus: all\nhealth: {drain: 90s}\nmodels: m\ngateway: {keys: k, tls: {certificate: c, key: /k, client_ca: a}}"), "supervise.yaml", &c).Err(); err != nil {
		t.Fatal(err)
	}
	c.anchor("/etc/fovea")
	if g := c.Gateway; g.Access.Keys != "/etc/fovea/k" || g.TLS.Certificate != "/etc/fovea/c" || g.TLS.Key != "/k" || g.TLS.ClientCA != "/etc/fovea/a" {
		t.Errorf("files of the gateway: %+v", g)
	}
	if c.Limits.Memory != 3<<29 || !c.GPUs.All || c.Health.Drain != 90*time.Second || c.Models != "/etc/fovea/m" || c.Health.Failures != 3 {
		t.Errorf("%+v", c)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("gpus: [0, MIG-1]\nlimits: {memory: 1GiB}\nsecrets: {key: /k}"))
	f.Add([]byte("health:\n  start_timeout: 1m\nenv: {A: b}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, again := Defaults(), Defaults()
		if !utf8.Valid(data) || config.Parse(data, "supervise.yaml", &c).Err() != nil {
			return
		}
		_ = config.Check(c)
		var printed, twice bytes.Buffer
		if err := config.Write(&printed, c); err != nil || printed.Len() > config.MaxFile {
			return
		}
		if err := config.Parse(printed.Bytes(), "printed", &again).Err(); err != nil {
			t.Fatalf("%v\n%s", err, printed.String())
		}
		if err := config.Write(&twice, again); err != nil || twice.String() != printed.String() {
			t.Errorf("%v\n%s\n%s", err, printed.String(), twice.String())
		}
	})
}
