{{/*
What is mounted: the token that the operator signs in with where no webhook mounts it, its client secret, certificate authorities of Azure
and of the issuer, the certificate of its metrics.
*/}}
{{- define "azwib.volumeMounts" -}}
{{- with include "azwib.mounts" . | fromYamlArray }}
volumeMounts:
{{- range . }}
- name: {{ .name }}
  mountPath: {{ .path }}
  readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{- define "azwib.volumes" -}}
{{- with include "azwib.mounts" . | fromYamlArray }}
volumes:
{{- range . }}
- name: {{ .name }}
  {{- toYaml .source | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "azwib.mounts" -}}
{{- with .Values.auth }}
{{- if and (eq .method "workload-identity") (not .webhook) }}
- name: azure-identity-token
  path: /var/run/secrets/azure/tokens
  source:
    projected:
      sources:
      - serviceAccountToken:
          audience: api://AzureADTokenExchange
          expirationSeconds: 3600
          path: azure-identity-token
{{- end }}
{{- if eq .method "client-secret" }}
- name: client-secret
  path: /var/run/secrets/azwib
  source:
    secret:
      secretName: {{ .clientSecret.name }}
      items:
      - key: {{ .clientSecret.key }}
        path: client-secret
{{- end }}
{{- end }}
{{- with .Values.cloud.ca }}
{{- if .configMap }}
- name: certificate-authorities
  path: /etc/azwib/ca
  source:
    configMap:
      name: {{ .configMap }}
      items:
      - key: {{ .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- with .Values.issuerCa }}
{{- if .configMap }}
- name: issuer-certificate-authorities
  path: /etc/azwib/issuer-ca
  source:
    configMap:
      name: {{ .configMap }}
      items:
      - key: {{ .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- with .Values.metrics.certSecret }}
- name: metrics-certificate
  path: /etc/azwib/metrics
  source:
    secret:
      secretName: {{ . }}
      items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
{{- end }}
{{- end }}
