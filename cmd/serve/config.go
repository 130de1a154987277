package main

import (
	"errors"
	"fmt"
	"time"

	"fovea/api"
	"fovea/inference"
	"fovea/internal/logging"
	"fovea/internal/mistake"
)

// Config is all that an operator decides, composed of the packages' own configurations.
type Config struct {
	HTTP       api.Config       `yaml:"http"`
	Inference  inference.Config `yaml:"inference"`
	Repository RepositoryConfig `yaml:"repository"`
	GPU        GPUConfig        `yaml:"gpu"`
	Log        logging.Config   `yaml:"log"`
	Shutdown   ShutdownConfig   `yaml:"shutdown"`
}

// RepositoryConfig says where models are.
type RepositoryConfig struct {
	Dir    string        `yaml:"dir" usage:"folder of models: NAME/model.yaml and NAME/VERSION/model.onnx"`
	Mirror string        `yaml:"mirror" usage:"folder or address that holds NAME.onnx, fetched instead of a model's own source"`
	Poll   time.Duration `yaml:"poll" usage:"how often to look for new versions; 0: only on SIGHUP"`
}

// GPUConfig says how GPUs are watched.
type GPUConfig struct {
	Library string        `yaml:"library" usage:"NVML's library; empty: libnvidia-ml.so.1"`
	Check   time.Duration `yaml:"check" usage:"how long an answer of a GPU keeps it ready, and its metrics fresh"`
}

// ShutdownConfig says how the server ends.
type ShutdownConfig struct {
	Delay   time.Duration `yaml:"delay" usage:"how long to keep answering after /ready turned 503, so that load balancers notice"`
	Timeout time.Duration `yaml:"timeout" usage:"time for all of the shutdown, delay included"`
	// BrokenAfter is for where nobody else restarts a server whose /health is 503 for good.
	BrokenAfter time.Duration `yaml:"broken_after" usage:"time after a fault that only a restart can fix until the server exits with status 75; 0: never"`
}

func defaults() Config {
	return Config{
		HTTP:       api.Defaults(),
		Inference:  inference.Defaults(),
		Repository: RepositoryConfig{Dir: "models"},
		GPU:        GPUConfig{Check: 5 * time.Second},
		Log:        logging.Defaults(),
		Shutdown:   ShutdownConfig{Timeout: 30 * time.Second},
	}
}

// Validate returns all mistakes, each naming its key.
func (c Config) Validate() error {
	return errors.Join(
		mistake.Under("http", c.HTTP.Validate()),
		mistake.Under("inference", c.Inference.Validate()),
		mistake.Under("repository", c.Repository.Validate()),
		mistake.Under("gpu", within("check", c.GPU.Check, 100*time.Millisecond)),
		mistake.Under("log", c.Log.Validate()),
		mistake.Under("shutdown", c.Shutdown.Validate()),
	)
}

// Validate returns all mistakes, each naming its key.
func (c RepositoryConfig) Validate() error {
	var dir error
	if c.Dir == "" {
		dir = errors.New("dir: is empty")
	}
	return errors.Join(dir, within("poll", c.Poll, 0))
}

// Validate returns all mistakes, each naming its key.
func (c ShutdownConfig) Validate() error {
	err := errors.Join(within("delay", c.Delay, 0), within("timeout", c.Timeout, time.Millisecond))
	if err == nil && c.Delay >= c.Timeout {
		err = fmt.Errorf("delay: %s leaves nothing of the timeout of %s", c.Delay, c.Timeout)
	}
	return errors.Join(err, within("broken_after", c.BrokenAfter, 0))
}

func within(key string, d, low time.Duration) error {
	if d < low || d > time.Hour {
		return fmt.Errorf("%s: %s is not between %s and 1h", key, d, low)
	}
	return nil
}
