{{/* Labels of every object. */}}
{{- define "treadle.labels" -}}
app.kubernetes.io/name: treadle
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Labels that Pods are selected by, which an upgrade must not change. Give it (list . "operator"). */}}
{{- define "treadle.selector" -}}
app.kubernetes.io/name: treadle
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* An image's reference. Give it (list . .Values.operator.image). */}}
{{- define "treadle.image" -}}
{{- $image := index . 1 -}}
{{ $image.repository }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end }}

{{/* Manifests of a file of this chart, in the release's namespace, with its labels. Give it (list . "rbac/agent.yaml"). */}}
{{- define "treadle.manifests" -}}
{{- $root := index . 0 }}
{{- $own := printf "namespace: %s" $root.Release.Namespace }}
{{- range splitList "\n---\n" ($root.Files.Get (index . 1)) }}
{{- $object := . | replace "namespace: treadle-system" $own | fromYaml }}
{{- $_ := set $object.metadata "labels" (include "treadle.labels" $root | fromYaml) }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}

{{/* What containers may do: Pod Security's level `restricted`, and a file system that is read only. */}}
{{- define "treadle.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "treadle.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Whether nothing but the runtime class gives an agent its GPU; a device plugin, or a claim, says which itself. */}}
{{- define "treadle.gpuByRuntimeAlone" -}}
{{- if and .Values.agent.runtimeClassName (ne (include "treadle.gpuIsCounted" .) "true") }}true{{ end }}
{{- end }}

{{/* Whether an agent asks for its GPU by a device plugin's resource, or by a claim. */}}
{{- define "treadle.gpuIsCounted" -}}
{{- $plugin := false }}
{{- range $name, $_ := .Values.agent.resources.limits }}
{{- if hasPrefix "nvidia.com/" $name }}{{ $plugin = true }}{{ end }}
{{- end }}
{{- if or $plugin .Values.agent.resourceClaimTemplateName }}true{{ end }}
{{- end }}

{{/* What an agent keeps of models: four fifths of its volume. The rest is for what it is loading, and for kernels. */}}
{{- define "treadle.modelCacheSize" -}}
{{- $size := .Values.agent.cacheSize }}
{{- $mebibytes := mul (regexFind "^[0-9]+" $size) (get (dict "Mi" 1 "Gi" 1024 "Ti" 1048576) (regexFind "..$" $size)) }}
{{- max 1 (div (mul $mebibytes 4) 5) }}Mi
{{- end }}

{{/* How an agent's port is probed. */}}
{{- define "treadle.scheme" -}}
{{- if .Values.agent.tls.secretName }}, scheme: HTTPS{{ end }}
{{- end }}
