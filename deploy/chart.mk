# Targets of the Helm chart, included by the Makefile.

HELM := $(CACHE)/bin/helm-4.3.1
KUBECONFORM := $(CACHE)/bin/kubeconform-0.8.0
KUBE_SCHEMAS := $(CACHE)/kube-schemas-1.37.2

.PHONY: chart-test cluster-test

chart-test: setup $(HELM) $(KUBECONFORM) $(KUBE_SCHEMAS) #+ lint and render the Helm chart, and check the objects against Kubernetes' schemas (ARGS=-update writes deploy/kubernetes)
	FOVEA_TEST_HELM=$(HELM) FOVEA_TEST_KUBECONFORM=$(KUBECONFORM) FOVEA_TEST_KUBE_SCHEMAS=$(KUBE_SCHEMAS) \
	  go test -count=1 -tags=chart,gocv_specific_modules ./deploy/helm $(ARGS)

cluster-test: setup $(HELM) #+ prove the chart on a real Kubernetes cluster, as root (needs ../shared/cluster and a Docker engine; docs/kubernetes.md)
	@FOVEA_TEST_HELM=$(HELM) scripts/cluster-test $(ARGS)

$(HELM):
	GOFLAGS= GOBIN=$(CACHE)/bin/new CGO_ENABLED=0 go install helm.sh/helm/v4/cmd/helm@v4.3.1
	mv $(CACHE)/bin/new/helm $@

$(KUBECONFORM):
	GOFLAGS= GOBIN=$(CACHE)/bin/new CGO_ENABLED=0 go install github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
	mv $(CACHE)/bin/new/kubeconform $@

$(KUBE_SCHEMAS): scripts/kube-schemas tools/kubeschemas/main.go
	scripts/kube-schemas $@
	touch $@
