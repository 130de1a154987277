# Targets that need a running Docker engine, included by the Makefile. FOVEA_TEST_IMAGE is the image to test, default
# fovea.

.PHONY: engine-test fleet-figures gateway-figures

# Packages with tests behind the build tag engine, and those tests: make test and make race have run the others.
ENGINE_PACKAGES := ./docker ./fleet ./cmd/supervise
ENGINE_TESTS = ^($(shell grep -lE '^//go:build engine' $(ENGINE_PACKAGES:%=%/*_test.go) | xargs sed -nE 's/^func (Test[A-Z][A-Za-z0-9]*).*/\1/p' | paste -sd'|'))$$

engine-test: setup #+ test containers and fleets under faults on a Docker engine (ARGS=-v prints the figures)
	go vet -tags=engine,gocv_specific_modules $(ENGINE_PACKAGES)
	go test -count=1 -p 1 -race -timeout=15m -tags=engine,gocv_specific_modules -run='$(ENGINE_TESTS)' $(ARGS) $(ENGINE_PACKAGES)

# Tests to measure at full scale; each takes a little longer than FIGURES_SPAN.
FIGURES ?= Rollout.*Loses|Planned|SupervisorKilled|ReplicaKilled|OffTheBus
FIGURES_SPAN ?= 60s
FIGURES_RATE ?= 100

fleet-figures: setup #+ measure planned and unplanned changes of a fleet under load, against targets
	@go test -c -tags=engine,gocv_specific_modules -o bin/fleet.test ./fleet
	@cd fleet && FOVEA_FLEET_FIGURES=1 FOVEA_FLEET_RATE=$(FIGURES_RATE) FOVEA_FLEET_SPAN=$(FIGURES_SPAN) \
	  ../bin/fleet.test -test.parallel=1 -test.timeout=30m -test.run '$(FIGURES)' $(ARGS)

gateway-figures: setup #+ measure the gateway against its replica, alternating
	@go test -c -o bin/gateway.test ./fleet/gateway
	@replica=$$(docker run --rm --detach --read-only --tmpfs /tmp --publish 127.0.0.1::8000 $(or $(FOVEA_TEST_IMAGE),fovea)) \
	  && trap "docker rm --force $$replica >/dev/null" EXIT \
	  && url=http://$$(docker port $$replica 8000/tcp) && curl --silent --fail --retry 60 --retry-delay 1 --retry-all-errors --output /dev/null $$url/ready \
	  && FOVEA_REPLICA=$$url FOVEA_IMAGE=$(CURDIR)/testdata/images/chelsea.jpg \
	    bin/gateway.test -test.run='^$$' -test.bench=Real -test.benchtime=$(or $(ROUND),2000)x $(ARGS)
