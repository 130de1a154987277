package peers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fovea/loadtest"
)

// server is one of the compared servers.
type server struct {
	key, title string
	route      func(c cell) string // empty: the server's users do not send such bodies
	prefix     string              // path of the first image's prediction in a response
	command    func(o Options, c cell, port int) []string
	env        []string // tuning, which the environment overrides
}

// routes returns the routes for multipart and raw bodies.
func routes(multipart, raw string) func(cell) string {
	return func(c cell) string {
		if c.form == loadtest.Raw {
			return raw
		}
		return multipart
	}
}

// servers are in the order of the tables. How each was tuned, and what else was tried, is in docs/benchmarks.md.
var servers = []server{
	{"fovea", "Fovea", func(c cell) string { return "/v1/models/" + c.model + "/predict" }, "predictions.{i}.", foveaCommand, nil},
	{"fastapi", "FastAPI", routes("/predict", "/raw"), "predictions.{i}.", fastAPICommand, nil},
	{"litserve", "LitServe", routes("/predict", ""), "predictions.{i}.", script("litserve_server.py"), nil},
	{"bentoml", "BentoML", routes("/predict", "/raw"), "{i}.", bentoCommand, []string{"BENTOML_DO_NOT_TRACK=True"}},
	{"mosec", "mosec", routes("", "/inference"), "predictions.{i}.", mosecCommand, []string{"PEER_BATCH=1"}},
}

// foveaCommand makes Fovea sum int8 products like the others: with ONNX Runtime's default, except in cells with exact sums.
func foveaCommand(o Options, c cell, port int) []string {
	return []string{o.Serve, "--http.address=" + address(port), "--repository.dir=" + o.Models,
		"--inference.models=" + c.model + ":required", "--inference.saturating_int8=" + strconv.FormatBool(!c.exact), "--log.level=warn"}
}

func fastAPICommand(o Options, _ cell, port int) []string {
	return []string{o.Python, "-m", "uvicorn", "fastapi_server:app", "--host", "127.0.0.1", "--port", strconv.Itoa(port),
		"--workers", o.setting("PEER_WORKERS"), "--log-level", "warning"}
}

func bentoCommand(o Options, _ cell, port int) []string {
	return []string{o.Python, "-m", "bentoml", "serve", "bentoml_server:Images", "--host", "127.0.0.1", "--port", strconv.Itoa(port)}
}

func mosecCommand(o Options, _ cell, port int) []string {
	return []string{o.Python, "mosec_server.py", "--address", "127.0.0.1", "--port", strconv.Itoa(port), "--log-level", "warning"}
}

func script(name string) func(Options, cell, int) []string {
	return func(o Options, _ cell, _ int) []string { return []string{o.Python, name} }
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// selectServers returns the servers with comma-separated keys; all if keys is empty.
func selectServers(keys string) ([]server, error) {
	if keys == "" {
		return servers, nil
	}
	var chosen []server
	for key := range strings.SplitSeq(keys, ",") {
		i := slices.IndexFunc(servers, func(s server) bool { return s.key == key })
		if i < 0 {
			return nil, fmt.Errorf("servers: %q is not one of %s", key, strings.Join(serverKeys(), ", "))
		}
		chosen = append(chosen, servers[i])
	}
	return chosen, nil
}

func serverKeys() []string {
	var keys []string
	for _, s := range servers {
		keys = append(keys, s.key)
	}
	return keys
}

// competing returns those of the chosen servers that take the cell's bodies.
func (c cell) competing(chosen []server) []server {
	return slices.DeleteFunc(slices.Clone(chosen), func(s server) bool { return s.route(c) == "" })
}
