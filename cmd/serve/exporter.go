package main

import "fovea/internal/repository"

// How definitions are inferred and written. Without infer every model needs a model.yaml.
var (
	infer           repository.InferFunc
	writeDefinition func(*repository.Inferred) []byte
)
