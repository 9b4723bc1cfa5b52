{{- define "redis-observer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "redis-observer.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "redis-observer.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "redis-observer.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "redis-observer.selector" -}}
app.kubernetes.io/name: {{ include "redis-observer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "redis-observer.labels" -}}
{{ include "redis-observer.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "redis-observer.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "redis-observer.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* How the kubelet asks: by HTTP, or by TCP where that would need a password. */ -}}
{{- define "redis-observer.probe" -}}
{{- if .Values.webConfigSecret -}}
tcpSocket:
  port: metrics
{{- else -}}
httpGet:
  path: /readyz
  port: metrics
{{- end -}}
{{- end -}}

{{- define "redis-observer.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* The job has the same name in every release: the alert for an absent observer selects by it. */ -}}
{{- define "redis-observer.endpoint" -}}
- port: metrics
  relabelings:
    - targetLabel: job
      replacement: redis-observer
    - sourceLabels: [__meta_kubernetes_pod_node_name]
      targetLabel: instance
{{- with .Values.monitorEndpoint }}
{{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The security context of the container, with the capabilities for TLS if they are wanted. */}}
{{- define "redis-observer.securityContext" -}}
{{- $context := deepCopy .Values.securityContext }}
{{- if .Values.tls }}
{{- $capabilities := $context.capabilities | default dict }}
{{- $_ := set $capabilities "add" (concat ($capabilities.add | default list) (list "SYS_PTRACE" "CHECKPOINT_RESTORE") | uniq) }}
{{- $_ := set $context "capabilities" $capabilities }}
{{- end }}
{{- toYaml $context }}
{{- end }}

{{- /* The Services of service:// addresses, as "namespace/name" separated by spaces; empty if there is none. */ -}}
{{- define "redis-observer.services" -}}
{{- $found := list -}}
{{- range (.Values.config).endpoints -}}
{{- range .addresses -}}
{{- if hasPrefix "service://" . -}}
{{- $found = append $found (trimPrefix "service://" . | splitList ":" | first) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $found | uniq | sortAlpha | join " " -}}
{{- end -}}

{{- /* Labels and namespaces that need the pods of the node, separated by spaces; empty if there is none. */ -}}
{{- define "redis-observer.podsNeeded" -}}
{{- $found := list -}}
{{- range ((.Values.config).metrics).labels -}}
{{- if or (hasPrefix "k8s_" .) (eq "container_name" .) -}}
{{- $found = append $found . -}}
{{- end -}}
{{- end -}}
{{- range ((.Values.config).ignore).namespaces -}}
{{- $found = append $found . -}}
{{- end -}}
{{- $found | join " " -}}
{{- end -}}

{{- /* Port of the collector that metrics are exported to, empty without one. */ -}}
{{- define "redis-observer.collectorPort" -}}
{{- with ((.Values.config).otlp).endpoint -}}
{{- $url := urlParse . -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}
{{- end -}}
