{{/* Scaling of one Deployment. All targets are AverageValues: the metric's sum over all gateways, divided by the number
     of replicas of what is scaled, is held at the target. */}}

{{- define "maskweave.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: {{ .scaleUp.stabilizationSeconds }}
  # Whichever adds more.
  selectPolicy: Max
  policies:
    - {type: Percent, value: {{ .scaleUp.percent }}, periodSeconds: {{ .scaleUp.periodSeconds }}}
    - {type: Pods, value: {{ .scaleUp.pods }}, periodSeconds: {{ .scaleUp.periodSeconds }}}
scaleDown:
  # Longer than a model load ({{ .modelLoadSeconds }} s).
  stabilizationWindowSeconds: {{ .scaleDown.stabilizationSeconds }}
  policies:
    - {type: Pods, value: {{ .scaleDown.pods }}, periodSeconds: {{ .scaleDown.periodSeconds }}}
{{- end }}

{{/* The metrics to scale on, by name, with their targets. dict scaling. */}}
{{- define "maskweave.targets" -}}
{{- $targets := dict }}
{{- if .scaling.workWaitingSeconds }}{{ $_ := set $targets "maskweave_work_waiting_seconds" .scaling.workWaitingSeconds }}{{ end }}
{{- if .scaling.imagesInProgress }}{{ $_ := set $targets "maskweave_images_in_progress" .scaling.imagesInProgress }}{{ end }}
{{- toYaml $targets }}
{{- end }}

{{/* A quantity: 1.5 as "1500m". */}}
{{- define "maskweave.quantity" -}}
{{- $milli := round (mulf . 1000) 0 | int }}
{{- if eq 0 (mod $milli 1000) }}{{ div $milli 1000 }}{{ else }}{{ $milli }}m{{ end }}
{{- end }}

{{/* A HorizontalPodAutoscaler: dict root, scaling, name, about (labels), own (the pods publish the metrics). */}}
{{- define "maskweave.hpa" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  {{- include "maskweave.metadata" .about | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .name }}}
  minReplicas: {{ .scaling.minReplicas }}
  maxReplicas: {{ .scaling.maxReplicas }}
  metrics:
    {{- range $metric, $target := include "maskweave.targets" . | fromYaml }}
    {{- if $.own }}
    - type: Pods
      pods:
        metric: {name: {{ $metric }}}
        target: {type: AverageValue, averageValue: {{ include "maskweave.quantity" $target | quote }}}
    {{- else }}
    # Published by the gateways, in whose queues the work waits. A share of the load is a target that much higher.
    - type: External
      external:
        metric:
          name: {{ $metric }}
          selector: {matchLabels: {job: {{ include "maskweave.fullname" $.root }}{{ if $.root.Values.canary.enabled }}, track: stable{{ end }}}}
        target: {type: AverageValue, averageValue: {{ include "maskweave.quantity" (divf $target $.scaling.share) | quote }}}
    {{- end }}
    {{- end }}
    {{- with .scaling.cpuUtilization }}
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ . }}}
    {{- end }}
  behavior:
    {{- include "maskweave.behavior" .scaling | nindent 4 }}
{{- end }}

{{/* A ScaledObject: as the above, and zero. */}}
{{- define "maskweave.scaledObject" -}}
{{- $keda := .scaling.keda }}
{{- $selector := include "maskweave.promSelector" .root }}
{{- if .root.Values.canary.enabled }}{{ $selector = printf "%s,track=\"stable\"" $selector }}{{ end }}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ .name }}
  {{- include "maskweave.metadata" .about | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .name }}}
  pollingInterval: {{ $keda.pollingSeconds }}
  {{- if .zero }}
  minReplicaCount: 0
  # How long nobody must have asked before the last Triton goes.
  cooldownPeriod: {{ .scaling.scaleDown.stabilizationSeconds }}
  {{- else }}
  minReplicaCount: {{ .scaling.minReplicas }}
  {{- end }}
  maxReplicaCount: {{ .scaling.maxReplicas }}
  fallback:
    failureThreshold: {{ $keda.fallbackFailures }}
    replicas: {{ $keda.fallbackReplicas }}
    {{- with $keda.fallbackBehavior }}
    behavior: {{ . }}
    {{- end }}
  advanced:
    horizontalPodAutoscalerConfig:
      name: {{ .name }}
      behavior:
        {{- include "maskweave.behavior" .scaling | nindent 8 }}
  triggers:
    {{- range $metric, $target := include "maskweave.targets" . | fromYaml }}
    {{- $query := printf "sum(%s{%s})" $metric $selector }}
    {{- if ne (toString $.scaling.share) "1" }}{{ $query = printf "%s * %s" $query ($.scaling.share | toJson) }}{{ end }}
    {{- include "maskweave.trigger" (dict "keda" $keda "name" ($metric | replace "_" "-") "query" $query "threshold" ($target | toJson) "zero" $.zero) | nindent 4 }}
    {{- end }}
    {{- if .zero }}
    # One Triton while calls are in progress, those that are held among them, or were refused for want of one, or
    # while a gateway waits for it to start.
    {{- $failures := printf "maskweave_failures_total{%s,reason=~\"ENGINE_UNREACHABLE|MODEL_NOT_READY|UNAVAILABLE\"}" $selector }}
    {{- /* A counter that begins with its first event has not increased: so a series that is new counts too. */}}
    {{- $refused := printf "sum(increase(%s[2m]) > 0 or %s)" $failures (printf "(%s unless %s offset 2m)" $failures $failures) }}
    {{- $busy := printf "sum(maskweave_requests_in_flight{%s})" $selector }}
    {{- $starting := printf "sum(up{%s} == 1) - sum(maskweave_build_info{%s})" $selector $selector }}
    {{- $query := printf "sum((%s or vector(0)) + (%s or vector(0)) + (%s or vector(0)) > bool 0)" $refused $busy $starting }}
    {{- include "maskweave.trigger" (dict "keda" $keda "name" "maskweave-wanted" "query" $query "threshold" "1" "zero" true) | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "maskweave.trigger" -}}
- type: prometheus
  name: {{ .name }}
  metricType: AverageValue
  metadata:
    serverAddress: {{ .keda.prometheusAddress | quote }}
    query: {{ .query | toRawJson }}
    threshold: {{ .threshold | quote }}
    # No data is an error, after which the fallback holds, and not the number 0.
    ignoreNullValues: "false"
    {{- if .zero }}
    # Any work that waits brings the first one.
    activationThreshold: "0"
    {{- end }}
  {{- with .keda.authenticationRef }}
  authenticationRef: {name: {{ . | quote }}}
  {{- end }}
{{- end }}
