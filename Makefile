# `make help` lists the targets: first those marked ##, then those marked #+. Targets install what they need first, once
# (scripts/setup).

ifeq (,$(shell command -v go))
$(error Fovea is built with Go 1.26 or newer: https://go.dev/dl)
endif

DEVICE ?= cpu
FUZZTIME ?= 30s
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fovea
GOLANGCI_VERSION := 2.15.0
# A tagged commit's version, otherwise the latest one in CHANGELOG.md with -dev.
VERSION ?= $(or $(patsubst v%,%,$(shell git describe --tags --exact-match --match='v*' 2>/dev/null)),$(shell sed -n 's/^\#\# \[\([0-9][^]]*\)\].*/\1/p' CHANGELOG.md | head -n 1)-dev)
GOLANGCI := $(CACHE)/bin/golangci-lint-$(GOLANGCI_VERSION)
# An S3-compatible storage and an OCI registry, which package internal/fetch is tested against.
VERSITYGW := $(CACHE)/bin/versitygw-1.8.0
REGISTRY := $(CACHE)/bin/registry-3.1.2
SCRIPTS := $(shell grep -lE '^\#!.*[/ ](ba)?sh$$' scripts/* .ci/* 2>/dev/null)

# Settings for every Go command: only three modules of OpenCV, and their location; grpc-go without its traces, whose
# templates keep the linker from dropping unused code (7 MB); lazy binding, which NVML needs
# (package gpu) and Ubuntu's compiler does not default to.
# For a shell or an editor without make: eval "$(make -s env)"
export GOFLAGS := $(strip $(shell go env GOFLAGS) -tags=gocv_specific_modules,grpcnotrace -ldflags=-extldflags=-Wl,-z,lazy)
export PKG_CONFIG_PATH := $(if $(PKG_CONFIG_PATH),$(PKG_CONFIG_PATH):)$(CURDIR)/scripts/opencv
# go-nvml's deprecated functions cause a thousand lines of warnings.
export CGO_CFLAGS ?= -O2 -g -Wno-deprecated-declarations
ifeq ($(DEVICE),cuda)
export FOVEA_ORT_LIBRARY ?= $(CACHE)/onnxruntime-1.30.0-cuda/libonnxruntime.so
endif

.DEFAULT_GOAL := help
.PHONY: help setup build serve models test test-servers test-clients test-playground docs test-docs reference test-training race fuzz proto man bench bench-v2 bench-predict bench-counters bench-guard bench-peers bench-tiles bench-corpus soak stress mutants lint vuln release gpu-check gpu-bench gpu-rehearsal gpu-pack fresh-test env

help: #+ list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
	@printf '\nless often:\n'
	@sed -nE '/^env:/s/\$$\$$/$$/; s/^([a-z0-9-]+):.*#\+ (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## install what is missing (DEVICE=cuda: ONNX Runtime for CUDA 13)
	@scripts/setup $(DEVICE)

build: setup ## build the programs into bin/
	go build -trimpath -ldflags='-X main.version=$(VERSION) -extldflags=-Wl,-z,lazy' -o bin/ ./cmd/...

serve: build ## serve on 127.0.0.1:8000 (ARGS="--http.address=…" is passed on)
	bin/serve --inference.default=efficientnet-lite0 $(ARGS)

man: build #+ write man pages and completions into bin/share, as /usr/local/share has them
	@scripts/man bin/share

models: build #+ fetch the weights of the other included models
	bin/serve models pull --all

test: setup test-servers ## vet and test everything
	go vet ./...
	python3 -B scripts/efficientnet_lite0_test.py --quiet
	go test -shuffle=on -timeout=15m ./...

# Tests of cmd and tools run the built programs, and those of preprocess compute on one goroutine: the detector would see nothing in them, in a
# third of the time of all.
race: setup test-servers ## test with the race detector
	go test -race -timeout=20m $$(go list ./... | grep -vE '/(cmd|tools|preprocess)(/|$$)')

test-clients: setup #+ run the examples of docs/clients.md, with the Python packages that they need
	@scripts/clients-test

test-playground: setup #+ check the types of the playground, and try it in Chromium (docs/playground.md), which it installs if there is none
	@scripts/playground-test

test-training: build #+ test training/ on the CPU, with the packages of its lock file (docs/training.md)
	@scripts/training test $(ARGS)

docs: #+ build the documentation as a site into dist/docs, with the packages that it needs
	@scripts/docs

test-docs: setup #+ run the commands of docs/, and its configurations with nginx, Caddy and Prometheus (ARGS=-v)
	@scripts/test-docs $(ARGS)

reference: setup #+ write what docs/ says about keys, commands, metrics and the API, from the code
	FOVEA_TEST_UPDATE_REFERENCE=1 go test -count=1 -p 1 -run "Reference|CommandLine" ./api ./cmd/... ./fleet/gateway

fuzz: setup ## run every fuzz target for FUZZTIME (30s)
	@scripts/fuzz $(FUZZTIME)

proto: setup #+ generate api/v2grpc/pb from inference.proto
	@scripts/proto

bench: build ## measure the server against a plain loop over the same sessions
	go run ./tools/bench ratio $(ARGS)

bench-v2: build #+ measure the Open Inference Protocol against a plain loop over the same tensors (needs make models)
	go run ./tools/bench v2 $(ARGS)

bench-predict: build #+ measure serve predict of a folder against a plain loop over images in memory (ARGS="-files 10000")
	go run ./tools/bench predict $(ARGS)

bench-counters: build #+ context switches, CPU time and more per image, one process against pinned ones (ARGS="-rounds 11")
	go run ./tools/bench counters $(ARGS)

bench-guard: setup #+ fail if the server is slower than that of COMMIT (main) by more than 3 % beyond the noise
	@scripts/bench-guard $(or $(COMMIT),main) $(ARGS)

bench-peers: build #+ compare the server with FastAPI, LitServe, BentoML and mosec (ARGS="-quick")
	@scripts/bench-peers $(ARGS)

bench-tiles: build #+ compare predictions in tiles with those of sahi: boxes and times (ARGS="-sizes 4000x3000")
	@scripts/bench-tiles $(ARGS)

bench-corpus: setup #+ CPU time of hostile images against ordinary ones (ARGS="-url=… -copies=4" sends the costliest)
	go run ./tools/bench corpus $(ARGS)

soak: build #+ 200,000 mixed requests; memory, goroutines and open files must not grow
	go run ./tools/bench soak $(ARGS)

stress: setup #+ repeat the tests under load to find flaky ones (ARGS="-n 5 -run Watch ./gpu")
	@scripts/repeat-tests $(ARGS)

mutants: setup #+ mutate the code and list the mutants that no test kills (ARGS="-n 15 -seed 2 ./docker")
	go run ./tools/mutants $(ARGS)

vuln: setup #+ check for known vulnerabilities with govulncheck (docs/security.md)
	@scripts/vulncheck

lint: setup $(GOLANGCI) ## check Go style and imports, wording, links and scripts
	$(GOLANGCI) run --allow-serial-runners ./...
	@python3 -B scripts/prose_lint_test.py --quiet
	@scripts/prose-lint
	@scripts/training lint
	@if command -v shellcheck >/dev/null; then shellcheck -x $(SCRIPTS); else echo "lint: shellcheck is not installed; the scripts are not checked"; fi

$(GOLANGCI):
	GOFLAGS= GOBIN=$(CACHE)/bin/new go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_VERSION)
	mv $(CACHE)/bin/new/golangci-lint $@

test-servers: $(VERSITYGW) $(REGISTRY) #+ build the servers that internal/fetch is tested against

$(VERSITYGW):
	GOFLAGS= GOBIN=$(CACHE)/bin/new go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
	mv $(CACHE)/bin/new/versitygw $@

$(REGISTRY):
	GOFLAGS= GOBIN=$(CACHE)/bin/new go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2
	mv $(CACHE)/bin/new/registry $@

release: #+ build programs, images, SBOMs and checksums into dist/, without publishing (docs/release.md)
	@scripts/release

gpu-check: #+ check everything that needs a GPU, on a machine with one (installs ONNX Runtime for CUDA 13)
	@$(MAKE) --no-print-directory setup DEVICE=cuda
	@scripts/gpu-check

gpu-bench: #+ measure a GPU: images per second, bottlenecks, comparison with PyTorch (docs/gpu.md)
	@$(MAKE) --no-print-directory setup DEVICE=cuda
	@scripts/gpu-bench

gpu-rehearsal: #+ run gpu-check and gpu-bench without a GPU, on a simulated CUDA
	@$(MAKE) --no-print-directory setup DEVICE=cuda
	@FOVEA_TEST_GPU_REHEARSAL=1 scripts/gpu-check
	@FOVEA_TEST_GPU_REHEARSAL=1 scripts/gpu-bench

gpu-pack: #+ build bin/gpu-pack for a GPU machine without network, Go or OpenCV
	@$(MAKE) --no-print-directory setup DEVICE=cuda
	@scripts/gpu-pack

fresh-test: #+ run make serve and make test on a fresh Debian 12 and Ubuntu 24.04, in chroots (as root)
	@scripts/fresh-test debian
	@scripts/fresh-test ubuntu

env: #+ print the environment of Go commands, for a shell: eval "$$(make -s env)"
	@printf 'export GOFLAGS="%s" PKG_CONFIG_PATH="%s" CGO_CFLAGS="%s"\n' "$$GOFLAGS" "$$PKG_CONFIG_PATH" "$$CGO_CFLAGS"

-include deploy/image.mk # images and their tests
-include deploy/engine.mk # engine-test
-include deploy/chart.mk # chart-test, cluster-test
