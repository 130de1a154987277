package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"os"
	"strings"

	"fovea/inference"
	"fovea/internal/annotate"
	"fovea/internal/bulk"
	"fovea/internal/cgroup"
	"fovea/internal/cores"
	"fovea/internal/repository"
	"fovea/internal/terminal"
	"fovea/postprocess"
)

// keyVariable is the environment variable with the API key of predict --server.
const keyVariable = "FOVEA_API_KEY"

// localModel predicts in this process.
type localModel struct {
	engine *inference.Engine
	ref    *inference.Ref
	params postprocess.Params
}

// Predict implements bulk.Predictor.
func (l *localModel) Predict(ctx context.Context, image []byte) (*bulk.Answer, error) {
	response, err := l.ref.Predict(ctx, inference.Request{Image: image, Params: l.params})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(response.Prediction)
	return &bulk.Answer{Model: response.Model, Version: response.Version, JSON: text, Prediction: response.Prediction}, err
}

// Draw implements bulk.Predictor.
func (l *localModel) Draw(ctx context.Context, data []byte, a *bulk.Answer, format string) (out []byte, err error) {
	err = l.engine.Decode(ctx, data, maxDrawn, func(img *image.RGBA, scale float64) error {
		drawn, err := annotate.Prediction(img, scale, a.Prediction)
		if err == nil {
			out, err = bulk.Encode(drawn, format)
		}
		return err
	})
	return out, err
}

// Decode implements bulk.Predictor.
func (l *localModel) Decode(ctx context.Context, data []byte, use func(*image.RGBA, float64) error) error {
	return l.engine.Decode(ctx, data, maxDrawn, use)
}

// local loads the model and predicts the images with it.
func (o *predictOptions) local(ctx context.Context, name string, inputs []bulk.Input, progress *terminal.Progress) error {
	cores.AddProcessor()
	cgroup.LimitGo()
	repo := openRepository(o.cfg.Repository.Dir)
	chosen, models, err := chooseVersions(repo, []string{name})
	if err != nil {
		return err
	}
	cfg := o.cfg
	cfg.Inference.ThreadsAlone = 1 // no second session: images are predicted at the same time
	progress.Say("loading " + terminal.Clean(chosen[0].String()) + " …")
	return withModels(ctx, cfg, repo, models, func(engine *inference.Engine, failed error) error {
		progress.Clear()
		if failed != nil {
			return failed
		}
		ref, err := engine.Open(ctx, chosen[0].model, chosen[0].version())
		if err != nil {
			return err
		}
		defer ref.Close()
		if o.parallel == 0 {
			o.parallel = parallelOf(ref.Info())
		}
		o.parallel = min(o.parallel, ref.Info().MaxQueue)
		return o.predictAll(ctx, &localModel{engine, ref, o.params}, inputs, chosen[0].model, chosen[0].version(), progress)
	})
}

// parallelOf is how many images keep a model busy: those of the runs, as many that are decoded meanwhile, and a few that are read.
func parallelOf(info *inference.Info) int {
	rows := 0
	for _, g := range info.Instances {
		rows += g.Count * info.MaxBatch
	}
	return 2*max(rows, cores.Count()) + 2
}

// remote predicts the images with a server.
func (o *predictOptions) remote(ctx context.Context, model string, inputs []bulk.Input, progress *terminal.Progress) error {
	name, version, _ := strings.Cut(model, "/")
	if !repository.ValidName(name) || version != "" && strings.Trim(version, "0123456789") != "" {
		return fmt.Errorf("%.140q is not the name of a model of a server: NAME or NAME/VERSION", model)
	}
	key, err := o.apiKey()
	if err != nil {
		return err
	}
	if o.parallel == 0 {
		o.parallel = 8
	}
	options := bulk.RemoteOptions{Server: o.server, Model: name, Version: version, Query: o.query, Key: key, Timeout: o.timeout, Parallel: o.parallel,
		Decode: func(ctx context.Context, data []byte, use func(*image.RGBA, float64) error) error {
			return inference.DecodeImage(ctx, data, o.cfg.Inference.MaxPixels, maxDrawn, use)
		}}
	if o.caFile != "" {
		text, err := os.ReadFile(o.caFile)
		if err != nil {
			return fmt.Errorf("--ca-file: %w", err)
		}
		if options.Roots = x509.NewCertPool(); !options.Roots.AppendCertsFromPEM(text) {
			return fmt.Errorf("--ca-file: %s has no certificate in PEM form", o.caFile)
		}
	}
	client, err := bulk.NewRemote(options)
	if err != nil {
		return err
	}
	defer client.Close()
	return o.predictAll(ctx, client, inputs, name, version, progress)
}

// apiKey returns the API key; empty if there is none. Errors do not show it.
func (o *predictOptions) apiKey() (string, error) {
	key, from := o.key, "--key"
	switch {
	case o.keyFile != "":
		text, err := os.ReadFile(o.keyFile)
		if err != nil {
			return "", fmt.Errorf("--key-file: %w", err)
		}
		if key, from = string(text), "--key-file"; strings.TrimSpace(key) == "" {
			return "", errors.New("--key-file: the file is empty")
		}
	case key == "":
		key, from = os.Getenv(keyVariable), keyVariable
	}
	key = strings.TrimSpace(key)
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s: there are spaces, line breaks or characters other than ASCII in the key", from)
	}
	return key, nil
}
