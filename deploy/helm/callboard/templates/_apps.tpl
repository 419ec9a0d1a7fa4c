{{/*
What each app is to the chart: the port that it serves, the user of NATS that it is, which files it reads, which keys, how long it drains.
Everything else about an app is in its values, and every app is rendered by the one template deployments.yaml.
*/}}
{{- define "callboard.table" -}}
mcp-frontend:
  http: 3333
  files: { access: CALLBOARD_ACCESS, servers: CALLBOARD_SERVERS, policies: CALLBOARD_POLICIES, quotas: CALLBOARD_QUOTAS }
  keys: { request-state-key: CALLBOARD_REQUEST_STATE_KEY, results-key: CALLBOARD_RESULTS_KEY }
  drainMs: 10000
action-runner:
  files: { adapters: CALLBOARD_ADAPTERS, policies: CALLBOARD_POLICIES }
  keys: { results-key: CALLBOARD_RESULTS_KEY }
  drainMs: 20000
  partitions: true
  waiting: sum(callboard_commands_buffered{namespace="%s"})
event-ingestor:
  http: 3334
  files: { access: CALLBOARD_ACCESS, sources: CALLBOARD_SOURCES }
  drainMs: 10000
pii-filter:
  files: { redactionPolicy: CALLBOARD_REDACTION_POLICY }
  keys: { pseudonym-key: CALLBOARD_PSEUDONYM_KEY }
  drainMs: 10000
  waiting: sum(max by (partition) (callboard_filter_pending{namespace="%s"}))
notifier:
  files: { notifications: CALLBOARD_NOTIFICATIONS, policies: CALLBOARD_POLICIES }
  drainMs: 10000
operator-tools:
  files: { policies: CALLBOARD_POLICIES }
  drainMs: 10000
saga-orchestrator:
  files: { sagas: CALLBOARD_SAGAS }
  drainMs: 10000
audit-writer:
  keys: { audit-sealing-key: CALLBOARD_AUDIT_SEALING_KEY, audit-signing-key: CALLBOARD_AUDIT_SIGNING_KEY }
  drainMs: 10000
{{- end }}

{{/* Apps that are on, in the order of their names: a list of dicts name, is (above), has (values), root. */}}
{{- define "callboard.folders" -}}
{{- list "policies" "sagas" | toJson -}}
{{- end }}

{{/* The files of one app as the data of its ConfigMap; empty when it has none. */}}
{{- define "callboard.files" -}}
{{- $root := .root -}}
{{- range $file, $variable := .is.files }}
{{- $value := index $root.Values.files $file }}
{{- if $value }}
{{- if has $file (include "callboard.folders" $root | fromJsonArray) }}
{{- range $name, $text := $value }}
{{ printf "%s.%s" $file $name | quote }}: {{ $text | quote }}
{{- end }}
{{- else }}
{{ printf "%s.yaml" $file | quote }}: {{ toYaml $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
