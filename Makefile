# Fovea's verbs; `make help` lists them: first those with ##, then those with #+. Every verb that needs something installs it first (scripts/setup), once.

ifeq (,$(shell command -v go))
$(error Fovea is built with Go 1.26 or newer: https://go.dev/dl)
endif

DEVICE ?= cpu
FUZZTIME ?= 30s
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fovea
GOLANGCI_VERSION := 2.15.0
GOLANGCI := $(CACHE)/bin/golangci-lint-$(GOLANGCI_VERSION)
SCRIPTS := $(shell grep -lE '^\#!.*[/ ](ba)?sh$$' scripts/* .ci/* 2>/dev/null)

# What every Go command of Fovea needs, in its one place: only three modules of OpenCV, and where they are; and
# functions that are bound at their first call, as Ubuntu's compiler does not by itself and NVML needs (package gpu).
# For a shell or an editor without make: eval "$(make -s env)"
export GOFLAGS := $(strip $(shell go env GOFLAGS) -tags=gocv_specific_modules -ldflags=-extldflags=-Wl,-z,lazy)
export PKG_CONFIG_PATH := $(if $(PKG_CONFIG_PATH),$(PKG_CONFIG_PATH):)$(CURDIR)/scripts/opencv
# go-nvml's functions that NVIDIA deprecated give a thousand lines of warnings.
export CGO_CFLAGS ?= -O2 -g -Wno-deprecated-declarations
ifeq ($(DEVICE),cuda)
export FOVEA_ORT_LIBRARY ?= $(CACHE)/onnxruntime-1.30.0-cuda/libonnxruntime.so
endif

.DEFAULT_GOAL := help
.PHONY: help setup build serve models test race fuzz bench bench-peers bench-corpus soak stress mutants lint vuln gpu-check gpu-bench gpu-rehearsal gpu-pack fresh-test env

help: #+ list the verbs
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
	@printf '\nless often:\n'
	@sed -nE '/^env:/s/\$$\$$/$$/; s/^([a-z0-9-]+):.*#\+ (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## install what is missing (DEVICE=cuda: ONNX Runtime for CUDA 13)
	@scripts/setup $(DEVICE)

build: setup ## build the programs into bin/
	go build -trimpath -o bin/ ./cmd/...

serve: build ## answer on 127.0.0.1:8000 (ARGS="--http.address=…" is passed on)
	bin/serve --inference.default=efficientnet-lite0 $(ARGS)

models: build #+ fetch the weights of the other shipped models
	bin/serve models pull --all

test: setup ## vet and test everything
	go vet ./...
	python3 -B scripts/efficientnet_lite0_test.py --quiet
	go test -shuffle=on -timeout=15m ./...

race: setup ## test everything with the race detector
	go test -race -timeout=20m ./...

fuzz: setup ## run every fuzz target for FUZZTIME (30s)
	@scripts/fuzz $(FUZZTIME)

bench: build ## measure the server against a plain loop over the same sessions
	go run ./tools/bench ratio $(ARGS)

bench-peers: build #+ measure the server against FastAPI, LitServe and BentoML (ARGS="-quick")
	@scripts/bench-peers $(ARGS)

bench-corpus: setup #+ CPU time of hostile images against honest ones (ARGS="-url=… -copies=4" sends the costliest)
	go run ./tools/bench corpus $(ARGS)

soak: build #+ 200,000 mixed requests; memory, goroutines and files must stay where they were
	go run ./tools/bench soak $(ARGS)

stress: setup #+ run the tests again and again beside a load (ARGS="-n 5 -run Watch ./gpu")
	@scripts/repeat-tests $(ARGS)

mutants: setup #+ change the code in small ways and list what no test notices (ARGS="-n 15 -seed 2 ./docker")
	go run ./tools/mutants $(ARGS)

vuln: setup #+ look for known vulnerabilities with govulncheck (docs/security.md)
	@scripts/vulncheck

lint: setup $(GOLANGCI) ## check style and who may import whom, and the scripts
	$(GOLANGCI) run --allow-serial-runners ./...
	@if command -v shellcheck >/dev/null; then shellcheck -x $(SCRIPTS); else echo "lint: no shellcheck here; the scripts are not checked"; fi

$(GOLANGCI):
	GOFLAGS= GOBIN=$(CACHE)/bin/new go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_VERSION)
	mv $(CACHE)/bin/new/golangci-lint $@

gpu-check: #+ check everything that needs a GPU, on a machine that has one (installs ONNX Runtime for CUDA 13)
	@$(MAKE) --no-print-directory setup DEVICE=cuda
	@scripts/gpu-check

gpu-bench: #+ measure a GPU: images a second, what bounds them, PyTorch beside it (docs/gpu.md)
	@$(MAKE) --no-print-directory setup DEVICE=cuda
	@scripts/gpu-bench

gpu-rehearsal: #+ run gpu-check and gpu-bench without a GPU, on a simulated CUDA
	@$(MAKE) --no-print-directory setup DEVICE=cuda
	@FOVEA_TEST_GPU_REHEARSAL=1 scripts/gpu-check
	@FOVEA_TEST_GPU_REHEARSAL=1 scripts/gpu-bench

gpu-pack: #+ make bin/gpu-pack, to be carried to a GPU machine without network, Go or OpenCV
	@$(MAKE) --no-print-directory setup DEVICE=cuda
	@scripts/gpu-pack

fresh-test: #+ try make serve and make test on a new Debian 12 and a new Ubuntu 24.04, in chroots (as root)
	@scripts/fresh-test debian
	@scripts/fresh-test ubuntu

env: #+ print what `make` sets, for a shell: eval "$$(make -s env)"
	@printf 'export GOFLAGS="%s" PKG_CONFIG_PATH="%s" CGO_CFLAGS="%s"\n' "$$GOFLAGS" "$$PKG_CONFIG_PATH" "$$CGO_CFLAGS"

-include deploy/image.mk # image and what tests it
-include deploy/engine.mk # engine-test
