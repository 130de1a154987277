package peers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// server is one of those that are compared.
type server struct {
	key, title string
	route      func(c cell) string
	prefix     string // of where an answer holds the first image's prediction
	command    func(o Options, c cell, port int) []string
	env        []string // how it was tuned; what the environment says instead is stronger
}

func predictRoute(cell) string { return "/predict" }

// servers are in the order of the tables. How each was tuned, and what else was tried, is in docs/benchmarks.md.
var servers = []server{
	{"fovea", "Fovea", func(c cell) string { return "/v1/models/" + c.model + "/predict" }, "predictions.{i}.", foveaCommand, nil},
	{"fastapi", "FastAPI", predictRoute, "predictions.{i}.", fastAPICommand, nil},
	{"litserve", "LitServe", predictRoute, "predictions.{i}.", script("litserve_server.py"), nil},
	{"bentoml", "BentoML", predictRoute, "{i}.", bentoCommand, []string{"BENTOML_DO_NOT_TRACK=True"}},
}

// foveaCommand has Fovea add up int8 products as the others do, by ONNX Runtime's default.
func foveaCommand(o Options, c cell, port int) []string {
	return []string{o.Serve, "--http.address=" + address(port), "--repository.dir=" + o.Models,
		"--inference.models=" + c.model + ":required", "--inference.saturating_int8=true", "--log.level=warn"}
}

func fastAPICommand(o Options, _ cell, port int) []string {
	return []string{o.Python, "-m", "uvicorn", "fastapi_server:app", "--host", "127.0.0.1", "--port", strconv.Itoa(port),
		"--workers", o.setting("PEER_WORKERS"), "--log-level", "warning"}
}

func bentoCommand(o Options, _ cell, port int) []string {
	return []string{o.Python, "-m", "bentoml", "serve", "bentoml_server:Images", "--host", "127.0.0.1", "--port", strconv.Itoa(port)}
}

func script(name string) func(Options, cell, int) []string {
	return func(o Options, _ cell, _ int) []string { return []string{o.Python, name} }
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// selectServers gives the servers with these keys, commas between; all for an empty text.
func selectServers(keys string) ([]server, error) {
	if keys == "" {
		return servers, nil
	}
	var chosen []server
	for key := range strings.SplitSeq(keys, ",") {
		i := slices.IndexFunc(servers, func(s server) bool { return s.key == key })
		if i < 0 {
			return nil, fmt.Errorf("servers: %q is none of fovea, fastapi, litserve and bentoml", key)
		}
		chosen = append(chosen, servers[i])
	}
	return chosen, nil
}
