{{/* Recording rules and alerts. Every alert has an entry in docs/operations.md and two tests in tests/helm/rules. */}}

{{/* An alert: dict root, name, expr, for, severity, summary, description. */}}
{{- define "maskweave.alert" -}}
{{- $rule := .root.Values.monitoring.prometheusRule }}
- alert: {{ .name }}
  expr: {{ .expr | toRawJson }}
  {{- with .for }}
  for: {{ . }}
  {{- end }}
  labels:
    {{- toYaml (mergeOverwrite (deepCopy $rule.alertLabels) (dict "severity" .severity)) | nindent 4 }}
  annotations:
    summary: {{ .summary | toRawJson }}
    description: {{ .description | toRawJson }}
    runbook_url: {{ printf "%s#%s" $rule.runbookUrl (lower .name) | toJson }}
{{- end }}

{{/* An objective's failures, recorded over several windows, and its two alerts. Windows and factors are those of the
     SRE workbook: 14.4 times the budget's pace for an hour is 2 % of a month's budget, 6 times for six hours 5 %,
     3 times for a day 10 %, 1 time for three days 10 %. dict root, record, ratio (with WINDOW), budget, name, what. */}}
{{- define "maskweave.objective" -}}
{{- $selector := include "maskweave.promSelector" .root }}
{{- range list "5m" "30m" "1h" "2h" "6h" "1d" "3d" }}
- record: {{ $.record }}:ratio_rate{{ . }}
  expr: {{ $.ratio | replace "WINDOW" . | toRawJson }}
  labels: {maskweave: {{ include "maskweave.fullname" $.root }}}
{{- end }}
{{- $recorded := printf "%s:ratio_rate%%s{maskweave=%q} > %%s * %s" .record (include "maskweave.fullname" .root) .budget }}
{{- $both := "(%s and %s)" }}
{{- $burn := list }}
{{- range list (list "14.4" "1h" "5m") (list "6" "6h" "30m") (list "3" "1d" "2h") (list "1" "3d" "6h") }}
{{- $burn = append $burn (printf $both (printf $recorded (index . 1) (index . 0)) (printf $recorded (index . 2) (index . 0))) }}
{{- end }}
{{ include "maskweave.alert" (dict "root" .root "name" (printf "Maskweave%sBudgetBurnsFast" .name) "severity" "critical" "for" "2m"
    "expr" (printf "%s or %s" (index $burn 0) (index $burn 1))
    "summary" (printf "%s at a pace that uses up the month's budget within days" .what)
    "description" (printf "{{ $value | humanizePercentage }} %s; the objective allows %s of 1." .of .budget)) }}
{{ include "maskweave.alert" (dict "root" .root "name" (printf "Maskweave%sBudgetBurnsSlowly" .name) "severity" "warning" "for" "15m"
    "expr" (printf "%s or %s" (index $burn 2) (index $burn 3))
    "summary" (printf "%s at a pace that uses up the month's budget before its end" .what)
    "description" (printf "{{ $value | humanizePercentage }} %s; the objective allows %s of 1." .of .budget)) }}
{{- end }}

{{/* The allowed part of failures: 99.9 gives 0.001. */}}
{{- define "maskweave.budget" -}}
{{- round (divf (subf 100 .) 100) 6 }}
{{- end }}

{{- define "maskweave.rules" -}}
{{- $values := .Values }}
{{- $name := include "maskweave.fullname" . }}
{{- $rule := $values.monitoring.prometheusRule }}
{{- $selector := include "maskweave.promSelector" . }}
{{- $triton := include "maskweave.promTritonSelector" . }}
{{- $methods := "grpc_service=\"maskweave.v1.SynthesisService\",grpc_method=~\"Synthesize|Edit|EncodeStyles|ReadLabelMap\"" }}
{{- /* Reasons that are ours: not those of bad requests, quotas and deadlines that callers chose. */}}
{{- $ours := "reason=~\"OVERLOADED|UNAVAILABLE|ENGINE_UNREACHABLE|MODEL_NOT_READY|ENGINE_FAILURE|REPOSITORY_INVALID|INTERNAL\"" }}
{{- /* A bucket's bound as clients write it: 1 or 1.0, 0.5. */}}
{{- $bound := $rule.latencySeconds | toJson | replace "." "[.]" }}
{{- if not (contains "[.]" $bound) }}{{ $bound = printf "%s([.]0)?" $bound }}{{ end }}
{{- $deadline := dig "default_timeout_seconds" 30 $values.gateway.settings | float64 }}
{{- $capacity := dig "queue_capacity" 256 $values.gateway.settings | int }}
- name: {{ $name }}-objectives
  rules:
    {{- include "maskweave.objective" (dict "root" . "record" "maskweave:failures" "name" "Availability"
        "budget" (include "maskweave.budget" $rule.availabilityObjective)
        "ratio" (printf "(sum(rate(maskweave_failures_total{%s,%s}[WINDOW])) or vector(0)) / (sum(rate(grpc_server_handled_total{%s}[WINDOW])) > 0)" $selector $ours $selector)
        "what" "Requests fail through us" "of" "of requests fail through us") | trim | nindent 4 }}
    {{- include "maskweave.objective" (dict "root" . "record" "maskweave:slow" "name" "Latency"
        "budget" (include "maskweave.budget" $rule.latencyObjective)
        "ratio" (printf "1 - (sum(rate(grpc_server_handling_seconds_bucket{%s,%s,grpc_code=\"OK\",le=~\"%s\"}[WINDOW])) or vector(0)) / (sum(rate(grpc_server_handling_seconds_count{%s,%s,grpc_code=~\"OK|DeadlineExceeded\"}[WINDOW])) > 0)" $selector $methods $bound $selector $methods)
        "what" (printf "Requests take longer than %s s" ($rule.latencySeconds | toJson)) "of" (printf "of requests take longer than %s s" ($rule.latencySeconds | toJson))) | trim | nindent 4 }}
- name: {{ $name }}-gateways
  rules:
    {{- include "maskweave.alert" (dict "root" . "name" "MaskweaveNoGateway" "severity" "critical" "for" "3m"
        "expr" (printf "absent(up{%s} == 1)" $selector)
        "summary" "No gateway is up"
        "description" "Prometheus reaches no gateway of this release: nobody is served, or nothing is scraped.") | trim | nindent 4 }}
    {{- /* A gateway publishes its build once it has started: one that still loads its models is no alarm. */}}
    {{- include "maskweave.alert" (dict "root" . "name" "MaskweaveEngineDown" "severity" "critical" "for" "2m"
        "expr" (printf "maskweave_engine_ready{%s} == 0 and on (namespace, pod) maskweave_build_info{%s}%s" $selector $selector (ternary (printf " and on() sum(up{%s}) > 0" $triton) "" $values.triton.scaleToZero))
        "summary" "A gateway has no engine that can answer"
        "description" "The engine of {{ $labels.pod }} cannot answer: the gateway refuses calls and is out of the Services.") | trim | nindent 4 }}
    {{- include "maskweave.alert" (dict "root" . "name" "MaskweaveQueueSaturated" "severity" "warning" "for" "5m"
        "expr" (printf "maskweave_queue_depth{%s} > 0.8 * %d" $selector $capacity)
        "summary" "A gateway's queue is nearly full"
        "description" (printf "{{ $value }} of %d places in the queue of {{ $labels.pod }} are taken; beyond them requests are refused as OVERLOADED." $capacity)) | trim | nindent 4 }}
    {{- include "maskweave.alert" (dict "root" . "name" "MaskweaveWorkPilesUp" "severity" "warning" "for" "5m"
        "expr" (printf "maskweave_work_waiting_seconds{%s} > 0.5 * %s" $selector ($deadline | toJson))
        "summary" "More work waits than can be done in time"
        "description" (printf "{{ $value | humanizeDuration }} of work wait in {{ $labels.pod }}, more than half of the default deadline of %s s." ($deadline | toJson))) | trim | nindent 4 }}
    {{- /* A counter that begins with its first event has not increased: so a series that is new counts too. */}}
    {{- $refused := printf "maskweave_reloads_total{%s,result=\"refused\"}" $selector }}
    {{- include "maskweave.alert" (dict "root" . "name" "MaskweaveReloadRefused" "severity" "warning"
        "expr" (printf "increase(%s[1h]) > 0 or (%s > 0 unless %s offset 1h)" $refused $refused $refused)
        "summary" "A gateway refused new keys or a new certificate"
        "description" "{{ $labels.pod }} could not use the new {{ $labels.what }} and goes on with those from before.") | trim | nindent 4 }}
    {{- if or $values.gateway.tls.existingSecret $values.gateway.contentCredentials.existingSecret }}
    {{- include "maskweave.alert" (dict "root" . "name" "MaskweaveCertificateExpires" "severity" "warning" "for" "15m"
        "expr" (printf "maskweave_certificate_expiry_seconds{%s} - time() < 14 * 86400" $selector)
        "summary" "A certificate of the gateways expires within 14 days"
        "description" "The certificate {{ $labels.file }} of {{ $labels.pod }} has {{ $value | humanizeDuration }} left.") | trim | nindent 4 }}
    {{- include "maskweave.alert" (dict "root" . "name" "MaskweaveCertificateUnusable" "severity" "critical" "for" "5m"
        "expr" (printf "maskweave_certificate_expiry_seconds{%s} - time() < 2 * 86400" $selector)
        "summary" "A certificate of the gateways expires within two days, or is refused already"
        "description" "The certificate {{ $labels.file }} of {{ $labels.pod }} has {{ $value | humanizeDuration }} left; a time long gone means that it is refused as it is.") | trim | nindent 4 }}
    {{- end }}
    {{- if not $values.canary.enabled }}
    {{- include "maskweave.alert" (dict "root" . "name" "MaskweaveModelVersionsDiffer" "severity" "warning" "for" "30m"
        "expr" (printf "count by (model) (count by (model, version) (maskweave_model_info{%s})) > 1" $selector)
        "summary" "Gateways serve different versions of a model"
        "description" "{{ $labels.model }} is served in {{ $value }} versions, and no canary is meant to: one seed gives different images.") | trim | nindent 4 }}
    {{- end }}
{{- if ne $values.mode "embedded" }}
- name: {{ $name }}-triton
  rules:
    {{- $wanted := ternary (printf " and on() (sum(maskweave_requests_in_flight{%s}) > 0)" $selector) "" $values.triton.scaleToZero }}
    {{- include "maskweave.alert" (dict "root" . "name" "MaskweaveTritonDown" "severity" "critical" "for" "3m"
        "expr" (printf "absent(up{%s} == 1)%s" $triton $wanted)
        "summary" "No Triton is up"
        "description" "Prometheus reaches no Triton of this release.") | trim | nindent 4 }}
    {{- if include "maskweave.anyGpu" . }}
    {{- include "maskweave.alert" (dict "root" . "name" "MaskweaveNoGpu" "severity" "critical" "for" "10m"
        "expr" (printf "kube_pod_status_unschedulable{namespace=%q,pod=~\"%s-.*\"} == 1 or (up{%s} == 1 unless on (namespace, pod) nv_gpu_memory_total_bytes{%s})" .Release.Namespace (ternary $name (printf "%s-triton" $name) (eq $values.mode "sidecar")) $triton $triton)
        "summary" "A Triton has no GPU"
        "description" "{{ $labels.pod }} waits for a node with the GPU that it asks for, or runs and sees none.") | trim | nindent 4 }}
    {{- end }}
{{- end }}
{{- $scaled := list }}
{{- if ne $values.gateway.autoscaling.type "none" }}{{ $scaled = append $scaled $name }}{{ end }}
{{- if eq $values.mode "triton" }}
{{- range (include "maskweave.pools" (dict "root" . "track" "stable") | fromYaml).pools }}
{{- if ne .triton.autoscaling.type "none" }}{{ $scaled = append $scaled (include "maskweave.name" (dict "root" $ "part" "triton" "pool" .name)) }}{{ end }}
{{- end }}
{{- end }}
{{- with $scaled }}
{{- $autoscaler := printf "namespace=%q,horizontalpodautoscaler=~\"%s\"" $.Release.Namespace (join "|" .) }}
- name: {{ $name }}-autoscalers
  rules:
    {{- include "maskweave.alert" (dict "root" $ "name" "MaskweaveAutoscalerAtMaximum" "severity" "warning" "for" "15m"
        "expr" (printf "kube_horizontalpodautoscaler_status_desired_replicas{%s} >= on (namespace, horizontalpodautoscaler) kube_horizontalpodautoscaler_spec_max_replicas{%s}" $autoscaler $autoscaler)
        "summary" "An autoscaler is at its maximum"
        "description" "{{ $labels.horizontalpodautoscaler }} wants as many replicas as it may have, {{ $value }}; more load will be refused.") | trim | nindent 4 }}
    {{- include "maskweave.alert" (dict "root" $ "name" "MaskweaveAutoscalerBlind" "severity" "warning" "for" "10m"
        "expr" (printf "kube_horizontalpodautoscaler_status_condition{%s,condition=\"ScalingActive\",status=\"false\"} == 1" $autoscaler)
        "summary" "An autoscaler does not get its metrics"
        "description" "{{ $labels.horizontalpodautoscaler }} cannot read what it scales on; with KEDA the fallback holds.") | trim | nindent 4 }}
{{- end }}
{{- end }}

{{- define "maskweave.anyGpu" -}}
{{- range (include "maskweave.pools" (dict "root" . "track" "stable") | fromYaml).pools }}
{{- if .triton.gpu.enabled }}true{{ end }}
{{- end }}
{{- end }}
