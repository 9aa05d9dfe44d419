{{/*
What values.schema.json cannot say: values that do not go together. All that is wrong is named at once.
*/}}
{{- define "azwib.validate" -}}
{{- $v := .Values -}}
{{- $wrong := list -}}
{{- $placeholder := hasPrefix "REPLACE_WITH" $v.auth.clientId -}}
{{- if and (eq $v.auth.method "workload-identity") (eq $v.auth.clientId "") -}}
{{- $wrong = append $wrong "auth.clientId is empty: auth.method workload-identity needs the client id of the operator's identity" -}}
{{- end -}}
{{- if and (eq $v.auth.method "workload-identity") (not $v.auth.webhook) (eq $v.auth.tenantId "") -}}
{{- $wrong = append $wrong "auth.tenantId is empty: without the webhook (auth.webhook: false) the operator needs the tenant of its identity" -}}
{{- end -}}
{{- if eq $v.auth.method "client-secret" -}}
{{- if or $placeholder (eq $v.auth.clientId "") -}}
{{- $wrong = append $wrong "auth.clientId is not set: auth.method client-secret needs the client id of the application" -}}
{{- end -}}
{{- if eq $v.auth.tenantId "" -}}
{{- $wrong = append $wrong "auth.tenantId is empty: auth.method client-secret needs the tenant of the application" -}}
{{- end -}}
{{- if eq $v.auth.clientSecret.name "" -}}
{{- $wrong = append $wrong "auth.clientSecret.name is empty: auth.method client-secret needs a Secret that holds the client secret" -}}
{{- end -}}
{{- else if ne $v.auth.clientSecret.name "" -}}
{{- $wrong = append $wrong (printf "auth.clientSecret.name is %q, and auth.method is %s: only client-secret uses it" $v.auth.clientSecret.name $v.auth.method) -}}
{{- end -}}
{{- range $name := list "authorityHost" "resourceManagerEndpoint" "resourceManagerAudience" -}}
{{- $value := get $v.cloud $name -}}
{{- if and (eq $v.cloud.name "custom") (eq $value "") -}}
{{- $wrong = append $wrong (printf "cloud.%s is empty: cloud.name custom needs it" $name) -}}
{{- else if and (ne $v.cloud.name "custom") (ne $value "") -}}
{{- $wrong = append $wrong (printf "cloud.%s is %q, and cloud.name is %s: only custom uses it" $name $value $v.cloud.name) -}}
{{- end -}}
{{- end -}}
{{- if and (not $v.leaderElection.enabled) (gt (int $v.replicas) 1) -}}
{{- $wrong = append $wrong (printf "replicas is %v, and leaderElection.enabled is false: two operators would write at once. Set replicas to 1" $v.replicas) -}}
{{- end -}}
{{- $budget := $v.podDisruptionBudget -}}
{{- if and $budget.enabled (gt (int $v.replicas) 1) (kindIs "invalid" $budget.maxUnavailable) -}}
{{- if and (not (kindIs "string" $budget.minAvailable)) (ge (int $budget.minAvailable) (int $v.replicas)) -}}
{{- $wrong = append $wrong (printf "podDisruptionBudget.minAvailable is %v with %v replicas: no node with one of them could be drained. Keep it below replicas" $budget.minAvailable $v.replicas) -}}
{{- end -}}
{{- end -}}
{{- if and $v.podMonitor.enabled (not $v.metrics.enabled) -}}
{{- $wrong = append $wrong "podMonitor.enabled is true, and metrics.enabled is false: there is nothing to scrape" -}}
{{- end -}}
{{- if and $v.serviceMonitor.enabled (not $v.metrics.enabled) -}}
{{- $wrong = append $wrong "serviceMonitor.enabled is true, and metrics.enabled is false: there is nothing to scrape" -}}
{{- end -}}
{{- if and $v.podMonitor.enabled $v.serviceMonitor.enabled -}}
{{- $wrong = append $wrong "podMonitor.enabled and serviceMonitor.enabled are both true: each pod would be scraped twice" -}}
{{- end -}}
{{- if and $v.podMonitor.enabled $v.metrics.secure (eq $v.podMonitor.tokenSecret.name "") -}}
{{- $wrong = append $wrong "podMonitor.tokenSecret.name is empty: with metrics.secure a PodMonitor takes the token from a Secret. Name one, or use serviceMonitor, which takes Prometheus' own" -}}
{{- end -}}
{{- if and (ne $v.metrics.certSecret "") (not (and $v.metrics.enabled $v.metrics.secure)) -}}
{{- $wrong = append $wrong (printf "metrics.certSecret is %q, and metrics are not served by https: only metrics.secure uses it" $v.metrics.certSecret) -}}
{{- end -}}
{{- if and $v.metrics.enabled (eq (int $v.metrics.port) (int $v.probes.port)) -}}
{{- $wrong = append $wrong (printf "metrics.port and probes.port are both %v: give each a port of its own" $v.probes.port) -}}
{{- end -}}
{{- if and $v.admissionPolicies.enabled (semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version) -}}
{{- $wrong = append $wrong (printf "admissionPolicies.enabled is true, and Kubernetes %s has no ValidatingAdmissionPolicy: set it to false (docs/security.md says what is missing then)" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- range $where, $labels := dict "extraLabels" $v.extraLabels "podLabels" $v.podLabels "podMonitor.labels" $v.podMonitor.labels "serviceMonitor.labels" $v.serviceMonitor.labels "prometheusRule.labels" $v.prometheusRule.labels -}}
{{- range $label, $_ := $labels -}}
{{- if or (has $label (list "app.kubernetes.io/name" "app.kubernetes.io/component" "app.kubernetes.io/part-of" "app.kubernetes.io/instance" "app.kubernetes.io/managed-by" "helm.sh/chart")) (and (eq $where "podLabels") (eq $label "azure.workload.identity/use")) -}}
{{- $wrong = append $wrong (printf "%s sets %s, which the chart sets itself" $where $label) -}}
{{- end -}}
{{- if and (has $where (list "podMonitor.labels" "serviceMonitor.labels" "prometheusRule.labels")) (hasKey $v.extraLabels $label) -}}
{{- $wrong = append $wrong (printf "%s and extraLabels both set %s" $where $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range list "azure.workload.identity/client-id" "azure.workload.identity/tenant-id" -}}
{{- if hasKey $v.serviceAccount.annotations . -}}
{{- $wrong = append $wrong (printf "serviceAccount.annotations sets %s: use auth.clientId and auth.tenantId" .) -}}
{{- end -}}
{{- end -}}
{{- if hasKey $v.podAnnotations "kubectl.kubernetes.io/default-container" -}}
{{- $wrong = append $wrong "podAnnotations sets kubectl.kubernetes.io/default-container, which the chart sets itself" -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "these values do not go together:\n- %s" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end }}
