{{- define "fovea.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "fovea.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains (include "fovea.name" .) .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "fovea.name" .) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fovea.selector" -}}
app.kubernetes.io/name: {{ include "fovea.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "fovea.labels" -}}
{{ include "fovea.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "fovea.image" -}}
{{- $i := .Values.image -}}
{{- if $i.digest -}}
{{- printf "%s@%s" $i.repository $i.digest -}}
{{- else -}}
{{- printf "%s:%s" $i.repository (default (printf "%s%s" .Chart.AppVersion (ternary "-cuda" "" .Values.gpu.enabled)) $i.tag) -}}
{{- end -}}
{{- end -}}

{{- define "fovea.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "fovea.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "fovea.scaled" -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled }}yes{{ end -}}
{{- end -}}

{{- /* The fewest replicas that are meant to run. */ -}}
{{- define "fovea.replicas" -}}
{{- if .Values.autoscaling.enabled -}}{{ .Values.autoscaling.minReplicas }}
{{- else if .Values.keda.enabled -}}{{ .Values.keda.minReplicas }}
{{- else -}}{{ .Values.replicas }}{{- end -}}
{{- end -}}

{{- define "fovea.maxSurge" -}}
{{- if ne (toString .Values.strategy.maxSurge) "" -}}{{ .Values.strategy.maxSurge }}
{{- else -}}{{ ternary 0 1 .Values.gpu.enabled }}{{- end -}}
{{- end -}}

{{- define "fovea.maxUnavailable" -}}
{{- if ne (toString .Values.strategy.maxUnavailable) "" -}}{{ .Values.strategy.maxUnavailable }}
{{- else -}}{{ ternary 1 0 .Values.gpu.enabled }}{{- end -}}
{{- end -}}

{{- define "fovea.securityContext" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
privileged: false
readOnlyRootFilesystem: true
{{- end -}}

{{- /* A probe of a path, in the container with mTLS: the kubelet has no client certificate. */ -}}
{{- define "fovea.probe" -}}
{{- if .root.Values.tls.clientCA.secretName -}}
exec: {command: [/usr/local/bin/serve, probe, "--timeout={{ .times.timeoutSeconds }}s"{{ if eq .path "/ready" }}, --ready{{ end }}]}
{{- else -}}
httpGet: {path: {{ .path }}, port: http{{ if .root.Values.tls.secretName }}, scheme: HTTPS{{ end }}}
{{- end }}
{{- range $key, $value := .times }}
{{ $key }}: {{ $value }}
{{- end }}
{{- end -}}

{{- /* Settings as environment variables: each generation of pods keeps its own, also when a pod of it starts again. */ -}}
{{- define "fovea.settings" -}}
{{- $prefix := .prefix -}}
{{- range $key, $value := .values }}
{{- $name := printf "%s_%s" $prefix (upper $key) }}
{{- if kindIs "map" $value }}
{{- include "fovea.settings" (dict "prefix" $name "values" $value) }}
{{- else if kindIs "slice" $value }}
- {name: {{ $name }}, value: {{ join "," $value | quote }}}
{{- else if kindIs "string" $value }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- else }}
- {name: {{ $name }}, value: {{ toJson $value | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The environment of the server and of the init container. */ -}}
{{- define "fovea.env" -}}
- {name: FOVEA_REPOSITORY_DIR, value: /models}
{{- include "fovea.settings" (dict "prefix" "FOVEA" "values" .Values.config) }}
{{- end -}}

{{- define "fovea.definitionItems" -}}
{{- range $name, $files := .Values.models.definitions }}
{{- range $file, $_ := $files }}
- {key: {{ printf "%s..%s" $name $file | quote }}, path: {{ printf "%s/%s" $name $file | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{- /* What the schema cannot say, reported together. */ -}}
{{- define "fovea.check" -}}
{{- $v := .Values -}}
{{- $errors := list -}}
{{- if and $v.models.definitions (eq $v.models.from "image") -}}
{{- $errors = append $errors "models.definitions are for weights from a claim, a pull or an image volume, not for models.from: image" -}}
{{- end -}}
{{- $closed := and $v.networkPolicy.enabled (not (or $v.networkPolicy.egress $v.networkPolicy.publicPorts)) -}}
{{- if and $closed (eq $v.models.from "pull") -}}
{{- $errors = append $errors "models.from: pull needs networkPolicy.publicPorts or networkPolicy.egress for the models' sources, or networkPolicy.enabled: false" -}}
{{- end -}}
{{- if and $closed (dig "http" "image_urls" "hosts" "" $v.config) -}}
{{- $errors = append $errors "config.http.image_urls.hosts needs networkPolicy.publicPorts or networkPolicy.egress for these hosts, or networkPolicy.enabled: false" -}}
{{- end -}}
{{- if and $closed (dig "traces" "endpoint" "" $v.config) -}}
{{- $errors = append $errors "config.traces.endpoint needs networkPolicy.egress for it, or networkPolicy.enabled: false" -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (or $v.ingress.enabled $v.httpRoute.enabled $v.grpcRoute.enabled $v.podMonitor.enabled) (not (or $v.networkPolicy.namespaces $v.networkPolicy.from)) -}}
{{- $errors = append $errors "networkPolicy.namespaces must name the name spaces of the ingress controller, the Gateway and Prometheus, or networkPolicy.enabled be false" -}}
{{- end -}}
{{- if and $v.gpu.enabled (not $v.gpu.claim.enabled) (hasSuffix ".shared" $v.gpu.resource) (gt (int $v.gpu.count) 1) -}}
{{- $errors = append $errors "gpu.count must be 1 for a shared GPU: more slices are not more of the GPU, and NVIDIA's device plugin refuses them" -}}
{{- end -}}
{{- if and (semverCompare "<1.35.0-0" .Capabilities.KubeVersion.Version) (eq $v.models.from "volume") -}}
{{- $errors = append $errors (printf "models.from: volume needs Kubernetes 1.35 or newer, this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and (semverCompare "<1.34.0-0" .Capabilities.KubeVersion.Version) $v.gpu.enabled $v.gpu.claim.enabled -}}
{{- $errors = append $errors (printf "gpu.claim needs Kubernetes 1.34 or newer, this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and (eq (include "fovea.maxSurge" .) "0") (eq (include "fovea.maxUnavailable" .) "0") -}}
{{- $errors = append $errors "strategy.maxSurge and strategy.maxUnavailable must not both be 0: no pod could be replaced" -}}
{{- end -}}
{{- if lt (int $v.autoscaling.maxReplicas) (int $v.autoscaling.minReplicas) -}}
{{- $errors = append $errors "autoscaling.maxReplicas must not be below autoscaling.minReplicas" -}}
{{- end -}}
{{- if lt (int $v.keda.maxReplicas) (int $v.keda.minReplicas) -}}
{{- $errors = append $errors "keda.maxReplicas must not be below keda.minReplicas" -}}
{{- end -}}
{{- if $errors -}}{{- fail (printf "\n- %s\n" (join "\n- " $errors)) -}}{{- end -}}
{{- end -}}
