{{/* The gateway's settings as TOML, but for what the pod's variables say. dict root, track, values. */}}
{{- define "maskweave.settings" -}}
{{- $gateway := .values.gateway }}
{{- $settings := deepCopy $gateway.settings }}
{{- $_ := set $settings "engine" (ternary "embedded" "triton" (eq .values.mode "embedded")) }}
{{- if ne .values.mode "embedded" }}
{{- $_ := set $settings "triton_url" (include "maskweave.tritonUrl" .) }}
{{- end }}
{{- /* Where there may be no Triton, callers wait for it. */}}
{{- if and .values.triton.scaleToZero (not (hasKey $settings "hold_while_unreachable")) }}
{{- $_ := set $settings "hold_while_unreachable" true }}
{{- end }}
{{- if $gateway.tls.existingSecret }}
{{- $_ := set $settings "tls_certificate" "/etc/maskweave/tls/tls.crt" }}
{{- $_ := set $settings "tls_key" "/etc/maskweave/tls/tls.key" }}
{{- if $gateway.tls.clientCertificates }}{{ $_ := set $settings "tls_client_ca" "/etc/maskweave/tls/ca.crt" }}{{ end }}
{{- else }}
{{- $_ := set $settings "allow_plaintext" $gateway.allowPlaintext }}
{{- end }}
{{- if $gateway.apiKeys.existingSecret }}
{{- $_ := set $settings "api_keys_file" (printf "/etc/maskweave/keys/%s" $gateway.apiKeys.key) }}
{{- end }}
{{- if $gateway.contentCredentials.existingSecret }}
{{- $_ := set $settings "c2pa_certificate" "/etc/maskweave/signing/tls.crt" }}
{{- $_ := set $settings "c2pa_key" "/etc/maskweave/signing/tls.key" }}
{{- end }}
{{- /* The bound of a bucket, so that the part of requests within the objective is exact. */}}
{{- if not (hasKey $settings "latency_target_seconds") }}
{{- $_ := set $settings "latency_target_seconds" .values.monitoring.prometheusRule.latencySeconds }}
{{- end }}
{{- range $name := keys $settings | sortAlpha }}
{{ $name }} = {{ get $settings $name | toJson }}
{{- end }}
{{- end }}

{{/* Whether the kubelet can ask over gRPC: it speaks no TLS and has no key. dict values. */}}
{{- define "maskweave.grpcProbes" -}}
{{- if and (not .values.gateway.tls.existingSecret) (dig "health_open" true .values.gateway.settings) }}true{{ end }}
{{- end }}

{{/* A question whether the gateway is ready; the health service tells it under "" as under the service's name. */}}
{{- define "maskweave.readiness" -}}
{{- if include "maskweave.grpcProbes" . }}
grpc: {port: 50051}
{{- else }}
httpGet: {path: /healthz, port: http}
{{- end }}
{{- end }}

{{/* The pod of a gateway: dict root, track, values. */}}
{{- define "maskweave.gatewayPod" -}}
{{- $values := .values }}
{{- $gateway := $values.gateway }}
{{- $sidecar := eq $values.mode "sidecar" }}
{{- $selector := dict "root" .root "component" "gateway" "track" .track }}
{{- $sidecarPool := dict }}
{{- $beside := dict }}
{{- if $sidecar }}
{{- $sidecarPool = (first (include "maskweave.pools" . | fromYaml).pools) }}
{{- $beside = dict "root" .root "values" (set (deepCopy $values) "triton" $sidecarPool.triton) "triton" $sidecarPool.triton "sidecar" true }}
{{- end }}
metadata:
  labels:
    {{- toYaml (mergeOverwrite (deepCopy $gateway.podLabels) (include "maskweave.labels" $selector | fromYaml)) | nindent 4 }}
  annotations:
    checksum/config: {{ include "maskweave.settings" . | sha256sum }}
    maskweave.dev/model-version: {{ $values.modelRepository.version | quote }}
    {{- with $gateway.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "maskweave.serviceAccountName" (dict "root" .root) }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- $needed := include "maskweave.gatewayStopSeconds" $values | int }}
  {{- if $sidecar }}{{ $needed = add $needed (include "maskweave.tritonStopSeconds" (set (deepCopy $sidecarPool.triton) "preStopSeconds" 0)) | int }}{{ end }}
  terminationGracePeriodSeconds: {{ default $needed $gateway.terminationGracePeriodSeconds }}
  securityContext:
    {{- include "maskweave.podSecurity" (dict "user" 10001) | nindent 4 }}
  {{- with include "maskweave.placement" (dict "root" .root "values" $gateway "selector" $selector) | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- $init := list }}
  {{- if or $sidecar (eq $values.mode "embedded") }}
  {{- $init = append $init (include "maskweave.fetchModels" .) }}
  {{- end }}
  {{- if $sidecar }}
  {{- $init = append $init (include "maskweave.planContainers" $beside) }}
  {{- $init = append $init (include "maskweave.tritonContainer" $beside) }}
  {{- end }}
  {{- with without $init "" }}
  initContainers:
    {{- range . }}
    {{- trim . | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - name: gateway
      image: {{ include "maskweave.image" (dict "root" .root "image" $gateway.image) | quote }}
      imagePullPolicy: {{ $gateway.image.pullPolicy }}
      args: [serve]
      env:
        - {name: MASKWEAVE_CONFIG, value: /etc/maskweave/maskweave.toml}
        - {name: MASKWEAVE_GRPC_HOST, value: {{ $gateway.listenAddress | quote }}}
        - {name: MASKWEAVE_GRPC_PORT, value: "50051"}
        - {name: MASKWEAVE_HTTP_HOST, value: {{ $gateway.listenAddress | quote }}}
        - {name: MASKWEAVE_HTTP_PORT, value: "8080"}
        - {name: MASKWEAVE_MODEL_REPOSITORY, value: /models}
        {{- with $gateway.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $gateway.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: grpc, containerPort: 50051}
        - {name: http, containerPort: 8080}
      startupProbe:
        {{- if $values.triton.scaleToZero }}
        httpGet: {path: /livez, port: http}
        {{- else }}
        {{- with include "maskweave.readiness" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- end }}
        periodSeconds: {{ $gateway.probes.startupPeriodSeconds }}
        failureThreshold: {{ $gateway.probes.startupFailureThreshold }}
        timeoutSeconds: {{ $gateway.probes.timeoutSeconds }}
      readinessProbe:
        {{- with include "maskweave.readiness" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        periodSeconds: {{ $gateway.probes.readinessPeriodSeconds }}
        failureThreshold: {{ $gateway.probes.readinessFailureThreshold }}
        timeoutSeconds: {{ $gateway.probes.timeoutSeconds }}
      # Over HTTP: the gRPC health service follows the engine, and a gateway whose Triton is away must not be restarted.
      livenessProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: {{ $gateway.probes.livenessPeriodSeconds }}
        failureThreshold: {{ $gateway.probes.livenessFailureThreshold }}
        timeoutSeconds: {{ $gateway.probes.timeoutSeconds }}
      {{- with include "maskweave.preStop" $gateway.preStopSeconds | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      resources:
        {{- toYaml $gateway.resources | nindent 8 }}
      securityContext:
        {{- include "maskweave.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/maskweave/maskweave.toml, subPath: maskweave.toml, readOnly: true}
        {{- if $gateway.tls.existingSecret }}
        - {name: tls, mountPath: /etc/maskweave/tls, readOnly: true}
        {{- end }}
        {{- if $gateway.apiKeys.existingSecret }}
        - {name: keys, mountPath: /etc/maskweave/keys, readOnly: true}
        {{- end }}
        {{- if $gateway.contentCredentials.existingSecret }}
        - {name: signing, mountPath: /etc/maskweave/signing, readOnly: true}
        {{- end }}
        {{- if eq $values.mode "embedded" }}
        {{- with include "maskweave.modelMount" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- end }}
        {{- with $gateway.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "maskweave.name" . }}}
    {{- if $gateway.tls.existingSecret }}
    - name: tls
      secret: {secretName: {{ $gateway.tls.existingSecret | quote }}, defaultMode: 0440}
    {{- end }}
    {{- if $gateway.apiKeys.existingSecret }}
    - name: keys
      secret: {secretName: {{ $gateway.apiKeys.existingSecret | quote }}, defaultMode: 0440}
    {{- end }}
    {{- if $gateway.contentCredentials.existingSecret }}
    - name: signing
      secret: {secretName: {{ $gateway.contentCredentials.existingSecret | quote }}, defaultMode: 0440}
    {{- end }}
    {{- if eq $values.mode "embedded" }}
    {{- with include "maskweave.modelVolumes" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if eq $values.modelRepository.source "objectStore" }}
    - name: scratch
      emptyDir: {sizeLimit: 256Mi}
    {{- end }}
    {{- else if $sidecar }}
    {{- with include "maskweave.tritonVolumes" $beside | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- with $gateway.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
