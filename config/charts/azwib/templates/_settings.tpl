{{/*
The operator's settings: variables of flags (docs/reference/flags.md). What is empty is left out, and the operator's own default counts.

Variables that begin with AZURE_ are in deployment.yaml: the webhook sets them in the pod, and leaves alone only what stands there.
*/}}
{{- define "azwib.settings" -}}
{{- $v := .Values -}}
{{- $grants := $v.grants.mode -}}
{{- /* YAML 1.1 reads a bare `off` as false. */ -}}
{{- if kindIs "bool" $grants -}}{{- $grants = "off" -}}{{- end -}}
{{- $all := dict
  "AZWIB_ISSUER" (ternary "" $v.issuer (eq $v.issuer "auto"))
  "AZWIB_ALLOW_PRIVATE_ISSUER" (ternary "true" "" $v.allowPrivateIssuer)
  "AZWIB_VERIFY_ISSUER" (ternary "" "false" $v.verifyIssuer)
  "AZWIB_ISSUER_CA_FILE" (ternary "/etc/azwib/issuer-ca/ca.crt" "" (ne $v.issuerCa.configMap ""))
  "AZWIB_AUTH" $v.auth.method
  "AZWIB_AZURE_CLIENT_SECRET_FILE" (ternary "/var/run/secrets/azwib/client-secret" "" (eq $v.auth.method "client-secret"))
  "AZWIB_CLOUD" (ternary "" $v.cloud.name (eq $v.cloud.name "public"))
  "AZWIB_RESOURCE_MANAGER_ENDPOINT" $v.cloud.resourceManagerEndpoint
  "AZWIB_RESOURCE_MANAGER_AUDIENCE" $v.cloud.resourceManagerAudience
  "AZWIB_CA_FILE" (ternary "/etc/azwib/ca/ca.crt" "" (ne $v.cloud.ca.configMap ""))
  "AZWIB_DEFAULT_SUBSCRIPTION" $v.defaults.subscription
  "AZWIB_DEFAULT_RESOURCE_GROUP" $v.defaults.resourceGroup
  "AZWIB_GRANTS" $grants
  "AZWIB_REVOCATION_GRACE" $v.grants.revocationGrace
  "AZWIB_RESYNC_PERIOD" $v.settings.resyncPeriod
  "AZWIB_PROPAGATION_DELAY" $v.settings.propagationDelay
  "AZWIB_STALLED_AFTER" $v.settings.stalledAfter
  "AZWIB_REQUEST_TIMEOUT" $v.settings.requestTimeout
  "AZWIB_WRITE_SETTLE_TIME" $v.settings.writeSettleTime
  "AZWIB_ALLOW_FORCE_DETACH" (ternary "true" "" $v.settings.allowForceDetach)
  "AZWIB_READ_ONLY" (ternary "true" "" $v.settings.readOnly)
  "AZWIB_CREDENTIAL_LIMIT" $v.settings.credentialLimit
  "AZWIB_AZURE_REQUESTS_IN_FLIGHT" $v.settings.azureRequestsInFlight
  "AZWIB_MAX_CONCURRENT_RECONCILES" $v.settings.maxConcurrentReconciles
  "AZWIB_LEADER_ELECT" (ternary "" "false" $v.leaderElection.enabled)
  "AZWIB_LEADER_ELECT_LEASE_DURATION" $v.leaderElection.leaseDuration
  "AZWIB_LEADER_ELECT_RENEW_DEADLINE" $v.leaderElection.renewDeadline
  "AZWIB_LEADER_ELECT_RETRY_PERIOD" $v.leaderElection.retryPeriod
  "AZWIB_HEALTH_PROBE_BIND_ADDRESS" (ternary "" (printf ":%v" $v.probes.port) (eq (int $v.probes.port) 8081))
  "AZWIB_METRICS_BIND_ADDRESS" (ternary (ternary "" (printf ":%v" $v.metrics.port) (eq (int $v.metrics.port) 8443)) "0" $v.metrics.enabled)
  "AZWIB_METRICS_SECURE" (ternary "" "false" $v.metrics.secure)
  "AZWIB_METRICS_CERT_PATH" (ternary "" "/etc/azwib/metrics" (eq $v.metrics.certSecret ""))
  "AZWIB_LOG_FORMAT" $v.log.format
  "RUST_LOG" $v.log.level
  "AZWIB_OTLP_ENDPOINT" $v.traces.otlpEndpoint
-}}
{{- $given := dict -}}
{{- range $name, $value := $all -}}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) -}}
{{- $_ := set $given $name (toString $value) -}}
{{- end -}}
{{- end -}}
{{- toYaml $given -}}
{{- end }}

{{/*
The name of the ConfigMap with a digest of its content, as kustomize makes it: a change of a setting rolls the Deployment.
*/}}
{{- define "azwib.settingsName" -}}
{{- $name := "azwib-operator" -}}
{{- /* kustomize hashes an empty name. */ -}}
{{- $content := dict "data" (include "azwib.settings" . | fromYaml) "kind" "ConfigMap" "name" "" -}}
{{- $digest := toJson $content | sha256sum | trunc 10 -}}
{{- $digest = $digest | replace "0" "g" | replace "1" "h" | replace "3" "k" | replace "a" "m" | replace "e" "t" -}}
{{ $name }}-{{ $digest }}
{{- end }}
