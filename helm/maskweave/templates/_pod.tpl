{{/* Parts that the pods have in common. */}}

{{- define "maskweave.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
privileged: false
readOnlyRootFilesystem: true
{{- end }}

{{/* Security of a pod: dict user. */}}
{{- define "maskweave.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Where pods run: dict root, values (of gateway or triton), selector (dict). */}}
{{- define "maskweave.placement" -}}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- $spread := .values.topologySpread }}
{{- if and $spread.enabled $spread.keys }}
topologySpreadConstraints:
  {{- range $spread.keys }}
  - topologyKey: {{ . }}
    maxSkew: {{ $spread.maxSkew }}
    whenUnsatisfiable: {{ $spread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "maskweave.selector" $.selector | nindent 8 }}
    # Otherwise the pods of the version that is being replaced count.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}

{{- define "maskweave.preStop" -}}
{{- if . }}
lifecycle:
  preStop: {sleep: {seconds: {{ . }}}}
{{- end }}
{{- end }}

{{/* The seconds of a life's end that a gateway needs: what may pass before SIGTERM, while it still serves, and while
     it finishes, and 5 more to free models and ports. Rounded up. */}}
{{- define "maskweave.gatewayStopSeconds" -}}
{{- $settings := .gateway.settings }}
{{- $delay := dig "shutdown_delay_seconds" 0 $settings | float64 }}
{{- $grace := dig "shutdown_grace_seconds" 10 $settings | float64 }}
{{- addf .gateway.preStopSeconds $delay $grace 5 | ceil | int }}
{{- end }}

{{- define "maskweave.tritonStopSeconds" -}}
{{- add .preStopSeconds .exitTimeoutSeconds 10 }}
{{- end }}

{{/* ---- The model repository ---- */}}

{{/* Whether pods have a copy of their own. dict values (of the track). */}}
{{- define "maskweave.ownCopy" -}}
{{- if or (eq .values.modelRepository.source "objectStore") (and (ne .values.mode "embedded") (eq .values.triton.plans.build "initContainer")) }}true{{ end }}
{{- end }}

{{/* The volume with it, where it is not in the image. dict values. */}}
{{- define "maskweave.modelVolumes" -}}
{{- $repository := .values.modelRepository }}
{{- $own := include "maskweave.ownCopy" . }}
{{- if $own }}
- name: models
  emptyDir: {sizeLimit: {{ $repository.objectStore.sizeLimit | quote }}}
{{- end }}
{{- if eq $repository.source "pvc" }}
- name: {{ ternary "models-source" "models" (eq $own "true") }}
  persistentVolumeClaim: {claimName: {{ $repository.pvc.claimName | quote }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "maskweave.modelMount" -}}
{{- if or (include "maskweave.ownCopy" .) (eq .values.modelRepository.source "pvc") }}
- name: models
  mountPath: /models
  readOnly: true
  {{- if and (eq .values.modelRepository.source "pvc") (not (include "maskweave.ownCopy" .)) .values.modelRepository.pvc.subPath }}
  subPath: {{ .values.modelRepository.pvc.subPath | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The init container that fetches it. dict root, values. */}}
{{- define "maskweave.fetchModels" -}}
{{- $store := .values.modelRepository.objectStore }}
{{- if eq .values.modelRepository.source "objectStore" }}
- name: fetch-models
  image: {{ include "maskweave.image" (dict "root" .root "image" $store.image) | quote }}
  args:
    {{- toYaml $store.args | nindent 4 }}
  env:
    - {name: MODEL_VERSION, value: {{ .values.modelRepository.version | quote }}}
    # Programs of stores like to write below the home folder.
    - {name: HOME, value: /scratch}
  {{- with $store.existingSecret }}
  envFrom:
    - secretRef: {name: {{ . | quote }}}
  {{- end }}
  resources:
    requests: {cpu: 100m, memory: 128Mi}
    limits: {memory: 512Mi}
  securityContext:
    {{- include "maskweave.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: scratch, mountPath: /scratch}
{{- end }}
{{- end }}
