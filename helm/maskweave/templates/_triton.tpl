{{/* The container of Triton, as a container of its own or as a sidecar, which Kubernetes starts before the gateway and
     stops after it. dict root, values, triton, sidecar. */}}
{{- define "maskweave.tritonContainer" -}}
{{- $triton := .triton }}
- name: triton
  image: {{ include "maskweave.image" (dict "root" .root "image" $triton.image) | quote }}
  imagePullPolicy: {{ $triton.image.pullPolicy }}
  {{- if .sidecar }}
  restartPolicy: Always
  {{- end }}
  {{- with $triton.args }}
  args:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  env:
    - {name: MASKWEAVE_MODEL_REPOSITORY, value: /models}
    - {name: MASKWEAVE_TRITON_CACHE_BYTES, value: {{ $triton.cacheBytes | toJson | quote }}}
    - {name: MASKWEAVE_TRITON_EXIT_TIMEOUT_SECONDS, value: {{ $triton.exitTimeoutSeconds | toJson | quote }}}
    {{- with $triton.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - {name: triton-grpc, containerPort: 8001}
    - {name: triton-metrics, containerPort: 8002}
  startupProbe:
    grpc: {port: 8001}
    periodSeconds: {{ $triton.probes.startupPeriodSeconds }}
    failureThreshold: {{ $triton.probes.startupFailureThreshold }}
    timeoutSeconds: {{ $triton.probes.timeoutSeconds }}
  readinessProbe:
    grpc: {port: 8001}
    periodSeconds: {{ $triton.probes.readinessPeriodSeconds }}
    timeoutSeconds: {{ $triton.probes.timeoutSeconds }}
  # Of the port alone: Triton's health says more of its models than of its life.
  livenessProbe:
    tcpSocket: {port: triton-grpc}
    periodSeconds: 10
    failureThreshold: 6
    timeoutSeconds: {{ $triton.probes.timeoutSeconds }}
  {{- if not .sidecar }}
  {{- with include "maskweave.preStop" $triton.preStopSeconds | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- end }}
  resources:
    {{- $resources := deepCopy $triton.resources }}
    {{- if $triton.gpu.enabled }}
    {{- $_ := set $resources "limits" (set (default dict $resources.limits) $triton.gpu.resourceName (int $triton.gpu.count)) }}
    {{- end }}
    {{- toYaml $resources | nindent 4 }}
  securityContext:
    {{- include "maskweave.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: triton-scratch, mountPath: /tmp}
    {{- with include "maskweave.modelMount" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if ne $triton.engineCache.type "none" }}
    - {name: engine-cache, mountPath: /var/cache/maskweave}
    {{- end }}
    {{- with $triton.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "maskweave.tritonVolumes" -}}
{{- $triton := .triton }}
- name: triton-scratch
  emptyDir: {sizeLimit: 1Gi}
{{- include "maskweave.modelVolumes" . }}
{{- if eq .values.modelRepository.source "objectStore" }}
- name: scratch
  emptyDir: {sizeLimit: 256Mi}
{{- end }}
{{- if eq $triton.engineCache.type "emptyDir" }}
- name: engine-cache
  emptyDir: {sizeLimit: {{ $triton.engineCache.sizeLimit | quote }}}
{{- else if eq $triton.engineCache.type "pvc" }}
- name: engine-cache
  persistentVolumeClaim: {claimName: {{ $triton.engineCache.claimName | quote }}}
{{- end }}
{{- if eq $triton.plans.build "initContainer" }}
- name: plan-scripts
  configMap: {name: {{ include "maskweave.fullname" .root }}-plans}
- name: plan-cache
  persistentVolumeClaim: {claimName: {{ $triton.plans.cacheClaimName | quote }}}
- name: plan-scratch
  emptyDir: {sizeLimit: 1Gi}
{{- end }}
{{- with $triton.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Init containers that fill a pod's own copy of the repository and put its plans there. dict root, values, triton. */}}
{{- define "maskweave.planContainers" -}}
{{- $triton := .triton }}
{{- if eq $triton.plans.build "initContainer" }}
{{- if ne .values.modelRepository.source "objectStore" }}
- name: copy-models
  {{- if eq .values.modelRepository.source "image" }}
  image: {{ include "maskweave.image" (dict "root" .root "image" $triton.image) | quote }}
  command: [cp, -R, /models/., /copy]
  {{- else }}
  image: {{ include "maskweave.image" (dict "root" .root "image" $triton.plans.image) | quote }}
  command: [cp, -R, /source/., /copy]
  {{- end }}
  resources:
    requests: {cpu: 100m, memory: 64Mi}
    limits: {memory: 256Mi}
  securityContext:
    {{- include "maskweave.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /copy}
    {{- if eq .values.modelRepository.source "pvc" }}
    - name: models-source
      mountPath: /source
      readOnly: true
      {{- with .values.modelRepository.pvc.subPath }}
      subPath: {{ . | quote }}
      {{- end }}
    {{- end }}
{{- end }}
{{ include "maskweave.planBuilder" . }}
{{- end }}
{{- end }}

{{/* The container that builds plans, or takes them out of the cache. dict root, values, triton. */}}
{{- define "maskweave.planBuilder" -}}
{{- $triton := .triton }}
- name: build-plans
  image: {{ include "maskweave.image" (dict "root" .root "image" $triton.plans.image) | quote }}
  command: [bash, /scripts/build-plans.sh, /models]
  env:
    - {name: HOME, value: /tmp}
    {{- if $triton.plans.cacheClaimName }}
    - {name: PLAN_CACHE, value: /cache}
    {{- end }}
  resources:
    {{- $resources := deepCopy $triton.plans.resources }}
    {{- $_ := set $resources "limits" (set (default dict $resources.limits) $triton.gpu.resourceName (int $triton.gpu.count)) }}
    {{- toYaml $resources | nindent 4 }}
  securityContext:
    {{- include "maskweave.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - name: models
      mountPath: /models
      {{- if and (eq $triton.plans.build "job") .values.modelRepository.pvc.subPath }}
      subPath: {{ .values.modelRepository.pvc.subPath | quote }}
      {{- end }}
    - {name: plan-scripts, mountPath: /scripts, readOnly: true}
    - {name: plan-scratch, mountPath: /tmp}
    {{- if $triton.plans.cacheClaimName }}
    - {name: plan-cache, mountPath: /cache}
    {{- end }}
{{- end }}

{{/* The pod of a Triton: dict root, track, values, pool (name and triton). */}}
{{- define "maskweave.tritonPod" -}}
{{- $triton := .pool.triton }}
{{- $values := set (deepCopy .values) "triton" $triton }}
{{- $arguments := dict "root" .root "values" $values "triton" $triton "sidecar" false }}
{{- $selector := dict "root" .root "component" "triton" "track" .track "pool" .pool.name }}
metadata:
  labels:
    {{- toYaml (mergeOverwrite (deepCopy $triton.podLabels) (include "maskweave.labels" $selector | fromYaml)) | nindent 4 }}
  annotations:
    maskweave.dev/model-version: {{ .values.modelRepository.version | quote }}
    {{- with $triton.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "maskweave.serviceAccountName" (dict "root" .root "part" "triton") }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "maskweave.tritonStopSeconds" $triton }}
  securityContext:
    {{- include "maskweave.podSecurity" (dict "user" 1000) | nindent 4 }}
  {{- with include "maskweave.placement" (dict "root" .root "values" $triton "selector" $selector) | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with without (list (include "maskweave.fetchModels" $arguments) (include "maskweave.planContainers" $arguments)) "" }}
  initContainers:
    {{- range . }}
    {{- trim . | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    {{- with include "maskweave.tritonContainer" $arguments | trim }}
    {{- . | nindent 4 }}
    {{- end }}
  volumes:
    {{- with include "maskweave.tritonVolumes" $arguments | trim }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end }}
