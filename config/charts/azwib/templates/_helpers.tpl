{{/*
Labels of an object: those of config/, Helm's own, and extraLabels. Takes a dict of "root" and "component".
*/}}
{{- define "azwib.labels" -}}
app.kubernetes.io/name: azwib
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: azwib
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
By which the operator's pods are found.
*/}}
{{- define "azwib.selector" -}}
app.kubernetes.io/name: azwib
app.kubernetes.io/component: operator
{{- end }}

{{/*
The operator's user, as the API server names it.
*/}}
{{- define "azwib.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ .Values.serviceAccount.name }}
{{- end }}

{{- define "azwib.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
Whether the azure-workload-identity webhook signs the operator in: "true" or nothing.
*/}}
{{- define "azwib.webhook" -}}
{{- if and (eq .Values.auth.method "workload-identity") .Values.auth.webhook -}}true{{- end -}}
{{- end }}

{{/*
The client id; nothing where the node's own identity is meant.
*/}}
{{- define "azwib.clientId" -}}
{{- with .Values.auth -}}
{{- if not (and (eq .method "managed-identity") (hasPrefix "REPLACE_WITH" .clientId)) -}}{{ .clientId }}{{- end -}}
{{- end -}}
{{- end }}

{{/*
Ports of a rule of a NetworkPolicy. Takes a dict of "ports" and "protocols".
*/}}
{{- define "azwib.ports" -}}
{{- range $protocol := .protocols }}
{{- range $.ports }}
- protocol: {{ $protocol }}
  port: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Whether metrics are served by https, to those who may scrape: "true" or nothing.
*/}}
{{- define "azwib.secureMetrics" -}}
{{- if and .Values.metrics.enabled .Values.metrics.secure -}}true{{- end -}}
{{- end }}

{{/*
How Prometheus verifies the certificate of the metrics: by the authority in its Secret, or not at all.
*/}}
{{- define "azwib.metricsTlsConfig" -}}
{{- with .Values.metrics.certSecret -}}
serverName: azwib-operator-metrics.{{ $.Release.Namespace }}.svc
ca:
  secret:
    name: {{ . }}
    key: ca.crt
{{- else -}}
# The operator makes a certificate at its start, which nobody can verify.
insecureSkipVerify: true
{{- end -}}
{{- end }}
