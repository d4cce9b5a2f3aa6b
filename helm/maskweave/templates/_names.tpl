{{/* Names and labels. Everywhere `track` is "stable" or "canary". */}}

{{- define "maskweave.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}
{{- end }}

{{/* Name of an object: dict root, track, and optionally part ("triton") and pool. */}}
{{- define "maskweave.name" -}}
{{- $parts := list (include "maskweave.fullname" .root) }}
{{- with .part }}{{ $parts = append $parts . }}{{ end }}
{{- if and .pool (ne .pool "default") }}{{ $parts = append $parts .pool }}{{ end }}
{{- if eq (default "stable" .track) "canary" }}{{ $parts = append $parts "canary" }}{{ end }}
{{- join "-" $parts }}
{{- end }}

{{- define "maskweave.tracks" -}}
{{- if .Values.canary.enabled }}{{ list "stable" "canary" | toJson }}{{ else }}{{ list "stable" | toJson }}{{ end }}
{{- end }}

{{/* Labels that select pods: they never change. dict root, component, track, pool; track and pool may be left out. */}}
{{- define "maskweave.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- with .track }}
maskweave.dev/track: {{ . }}
{{- end }}
{{- with .pool }}
maskweave.dev/pool: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Labels of an object: dict root, component, and what the selector takes. */}}
{{- define "maskweave.labels" -}}
{{- $labels := include "maskweave.selector" . | fromYaml }}
{{- $own := dict "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63)
    "app.kubernetes.io/version" .root.Chart.AppVersion
    "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.commonLabels) $own $labels) }}
{{- end }}

{{/* metadata but for the name: dict as for labels, and annotations. */}}
{{- define "maskweave.metadata" -}}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "maskweave.labels" . | nindent 2 }}
{{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) (default dict .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The values of a track: those of the canary have its overrides. dict root, track. As YAML. */}}
{{- define "maskweave.values" -}}
{{- $values := deepCopy .root.Values }}
{{- if eq .track "canary" }}{{ $values = mergeOverwrite $values (deepCopy .root.Values.canary.overrides) }}{{ end }}
{{- toYaml $values }}
{{- end }}

{{/* Pools of Triton as {"pools": [{"name": ..., "triton": values}]}. dict root, track. As YAML. */}}
{{- define "maskweave.pools" -}}
{{- $values := include "maskweave.values" . | fromYaml }}
{{- $pools := list }}
{{- range default (list (dict "name" "default")) $values.triton.pools }}
{{- $triton := mergeOverwrite (deepCopy $values.triton) (deepCopy (default dict .overrides)) }}
{{- $pools = append $pools (dict "name" .name "triton" $triton) }}
{{- end }}
{{- toYaml (dict "pools" $pools) }}
{{- end }}

{{- define "maskweave.serviceAccountName" -}}
{{- if .root.Values.serviceAccount.create }}{{ include "maskweave.name" (dict "root" .root "part" .part) }}
{{- else }}{{ default "default" .root.Values.serviceAccount.name }}{{ end }}
{{- end }}

{{/* An image: dict root, image. */}}
{{- define "maskweave.image" -}}
{{- with .root.Values.images.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end }}
{{- end }}

{{/* Where gateways of a track find Triton. dict root, track. */}}
{{- define "maskweave.tritonUrl" -}}
{{- if eq .root.Values.mode "sidecar" }}127.0.0.1:8001
{{- else }}dns:///{{ include "maskweave.name" (dict "root" .root "track" .track "part" "triton") }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}:8001
{{- end }}
{{- end }}

{{/* Label matchers of the gateways' and of Triton's metrics. */}}
{{- define "maskweave.promSelector" -}}
{{- default (printf "namespace=%q,job=%q" .Release.Namespace (include "maskweave.fullname" .)) .Values.monitoring.selector }}
{{- end }}
{{- define "maskweave.promTritonSelector" -}}
{{- default (printf "namespace=%q,job=%q" .Release.Namespace (include "maskweave.name" (dict "root" . "part" "triton"))) .Values.monitoring.tritonSelector }}
{{- end }}
