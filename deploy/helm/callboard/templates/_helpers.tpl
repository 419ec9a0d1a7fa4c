{{- define "callboard.fullname" -}}
{{- if contains "callboard" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-callboard" (.Release.Name | trunc 30 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "callboard.tag" -}}
{{- .Values.image.tag | default .Chart.AppVersion -}}
{{- end }}

{{/* Every label is quoted: a release called n or 1 is a text. */}}
{{- define "callboard.labels" -}}
{{ include "callboard.selector" . }}
app.kubernetes.io/part-of: callboard
app.kubernetes.io/version: {{ include "callboard.tag" .root | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
{{- end }}

{{- define "callboard.selector" -}}
app.kubernetes.io/name: {{ .name | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- end }}

{{/* Of everything of this release. */}}
{{- define "callboard.releaseSelector" -}}
app.kubernetes.io/part-of: callboard
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "callboard.image" -}}
{{- $image := .root.Values.image -}}
{{- $registry := .root.Values.global.imageRegistry | default $image.registry | required "image.registry: the registry that you have pushed the images to; see docs/deployment.md" -}}
{{- $digest := index $image.digests .name -}}
{{- printf "%s/%s-%s%s" $registry $image.repository .name (ternary (printf "@%s" $digest) (printf ":%s" (include "callboard.tag" .root)) (not (empty $digest))) -}}
{{- end }}

{{- define "callboard.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Of every pod, hooks and tests included: what restricted-v2 and the restricted Pod Security Standard ask for. */}}
{{- define "callboard.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.podSecurity.hostUsers | toString }}
{{- if ne . "<nil>" }}
hostUsers: {{ . }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile: { type: RuntimeDefault }
  {{- with .Values.podSecurity.context }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- include "callboard.pullSecrets" . }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "callboard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "callboard.natsName" -}}
{{ include "callboard.fullname" . }}-nats
{{- end }}

{{- define "callboard.natsUrl" -}}
{{- if .Values.nats.server.enabled -}}
{{- $root := . -}}
{{- $scheme := ternary "tls" "nats" (not (empty .Values.nats.server.tlsSecret)) -}}
{{- $urls := list -}}
{{- range $i := until (int .Values.nats.server.replicas) -}}
{{- $urls = append $urls (printf "%s://%s-%d.%s.%s.svc:4222" $scheme (include "callboard.natsName" $root) $i (include "callboard.natsName" $root) $root.Release.Namespace) -}}
{{- end -}}
{{- join "," $urls -}}
{{- else -}}
{{- join "," .Values.nats.urls -}}
{{- end -}}
{{- end }}

{{/* Secret of the TLS of a client: its own, or that of the server, of which only the authority is taken. */}}
{{- define "callboard.natsTlsSecret" -}}
{{- .Values.nats.tls.secret | default (ternary .Values.nats.server.tlsSecret "" .Values.nats.server.enabled) -}}
{{- end }}

{{/* How a process reaches NATS as one of its users. Files, never variables: a seed is in no environment. */}}
{{- define "callboard.natsEnv" -}}
- name: CALLBOARD_NATS_URL
  value: {{ include "callboard.natsUrl" .root | quote }}
- name: CALLBOARD_NATS_NKEY
  value: /etc/callboard/nats/user.nk
{{- if include "callboard.natsTlsSecret" .root }}
- name: CALLBOARD_NATS_TLS_CA
  value: /etc/callboard/nats-tls/ca.crt
{{- if .root.Values.nats.tls.clientCertificate }}
- name: CALLBOARD_NATS_TLS_CERT
  value: /etc/callboard/nats-tls/tls.crt
- name: CALLBOARD_NATS_TLS_KEY
  value: /etc/callboard/nats-tls/tls.key
{{- end }}
{{- if .root.Values.nats.tls.first }}
- name: CALLBOARD_NATS_TLS_FIRST
  value: 'true'
{{- end }}
{{- end }}
{{- end }}

{{- define "callboard.natsMounts" -}}
- { name: nats-user, mountPath: /etc/callboard/nats, readOnly: true }
{{- if include "callboard.natsTlsSecret" .root }}
- { name: nats-tls, mountPath: /etc/callboard/nats-tls, readOnly: true }
{{- end }}
{{- end }}

{{- define "callboard.natsVolumes" -}}
- name: nats-user
  secret:
    secretName: {{ .root.Values.nats.usersSecret | quote }}
    defaultMode: 0440
    items: [{ key: {{ printf "%s.nk" .user | quote }}, path: user.nk }]
{{- with include "callboard.natsTlsSecret" .root }}
- name: nats-tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
    items:
      - { key: ca.crt, path: ca.crt }
      {{- if $.root.Values.nats.tls.clientCertificate }}
      - { key: tls.crt, path: tls.crt }
      - { key: tls.key, path: tls.key }
      {{- end }}
{{- end }}
{{- end }}

{{/* route, ingress, gateway or none. */}}
{{- define "callboard.exposure" -}}
{{- if ne .Values.exposure.type "auto" -}}{{ .Values.exposure.type }}
{{- else if .Capabilities.APIVersions.Has "route.openshift.io/v1" -}}route
{{- else -}}ingress
{{- end -}}
{{- end }}

{{/* Names under which clients may address a front end. */}}
{{- define "callboard.hosts" -}}
{{- $service := printf "%s-mcp-frontend" (include "callboard.fullname" .) -}}
{{- $hosts := list $service (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.cluster.local" $service .Release.Namespace) "localhost" -}}
{{- with .Values.exposure.host }}{{ $hosts = prepend $hosts . }}{{ end -}}
{{- join "," $hosts -}}
{{- end }}

{{/* What contradicts itself is told before anything is installed. */}}
{{- define "callboard.check" -}}
{{- $v := .Values -}}
{{- if and $v.nats.server.enabled $v.nats.urls }}{{ fail "nats.urls and nats.server.enabled are both set: the apps have one NATS, name one of them" }}{{ end -}}
{{- if not (or $v.nats.server.enabled $v.nats.urls) }}{{ fail "nats.urls is empty: name the servers of your NATS, or set nats.server.enabled" }}{{ end -}}
{{- if and $v.nats.server.enabled (gt (int $v.streams.replicas) (int $v.nats.server.replicas)) }}{{ fail (printf "streams.replicas is %d, and nats.server.replicas %d: a stream has no more copies than there are servers" (int $v.streams.replicas) (int $v.nats.server.replicas)) }}{{ end -}}
{{- if index $v.apps "audit-writer" "enabled" }}
{{- if and $v.database.embedded $v.database.existingSecret }}{{ fail "database.existingSecret and database.embedded are both set: the ledger is in one database" }}{{ end -}}
{{- if not (or $v.database.embedded $v.database.existingSecret) }}{{ fail "database.existingSecret is empty: name the Secret with the URL of a PostgreSQL database for the ledger, or set database.embedded to try it" }}{{ end -}}
{{- if and $v.database.embedded (ne (int (index $v.apps "audit-writer" "replicas")) 1) }}{{ fail "apps.audit-writer.replicas must be 1 with database.embedded: writers cannot share it" }}{{ end -}}
{{- end }}
{{- if and (index $v.apps "event-ingestor" "enabled") (not $v.files.sources) (not $v.secrets.ingestToken) }}{{ fail "files.sources is empty: name the sources of events, or set secrets.ingestToken, or apps.event-ingestor.enabled to false" }}{{ end -}}
{{- with index $v.apps "action-runner" }}
{{- if and .autoscaling.enabled (gt (int .autoscaling.maxReplicas) (int $v.streams.partitions)) }}{{ fail (printf "apps.action-runner.autoscaling.maxReplicas is %d, and there are %d partitions: a runner without one has nothing to do" (int .autoscaling.maxReplicas) (int $v.streams.partitions)) }}{{ end -}}
{{- end }}
{{- $exposure := include "callboard.exposure" . }}
{{- if and (has $exposure (list "ingress" "gateway")) (not $v.exposure.host) }}{{ fail (printf "exposure.host is empty: an exposure of type %s needs the host of the front ends" $exposure) }}{{ end -}}
{{- if and (eq $exposure "gateway") (not $v.exposure.gateway.parentRefs) }}{{ fail "exposure.gateway.parentRefs is empty: name the Gateway that the routes belong to" }}{{ end -}}
{{- end }}
