# The verbs that need a running Docker engine, included by the Makefile.

.PHONY: engine-test

# The packages that have tests with the build tag engine.
ENGINE_PACKAGES := ./docker/... ./fleet/... ./cmd/supervise/...

engine-test: setup #+ try containers on a Docker engine (FOVEA_TEST_IMAGE=fovea: with Fovea's own image as well)
	go vet -tags=engine,gocv_specific_modules $(ENGINE_PACKAGES)
	go test -count=1 -race -timeout=15m -tags=engine,gocv_specific_modules $(ARGS) $(ENGINE_PACKAGES)
