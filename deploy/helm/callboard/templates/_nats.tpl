{{/* nats-server's configuration. The users and their permissions come from the topology: files/nats-users.json, written by `npm run deploy:generate`. */}}
{{- define "callboard.natsConf" -}}
{{- $s := .Values.nats.server -}}
{{- $tls := not (empty $s.tlsSecret) -}}
{{- $name := include "callboard.natsName" . -}}
{{- $reserved := include "callboard.reservedBytes" . | int64 -}}
{{- $room := mul ($s.storage.size | trimSuffix "Gi" | int64) 966367641 -}}
{{- if lt $room $reserved }}{{ fail (printf "nats.server.storage.size is %s, and the streams reserve %d bytes: make it larger, or streams.maxBytes smaller" $s.storage.size $reserved) }}{{ end -}}
server_name: $POD_NAME
listen: "0.0.0.0:4222"
http: "0.0.0.0:8222"
pid_file: "/tmp/nats.pid"
max_payload: 1MB
lame_duck_grace_period: 5s
lame_duck_duration: 30s
{{- if $tls }}
tls {
  ca_file: "/etc/nats/tls/ca.crt"
  cert_file: "/etc/nats/tls/tls.crt"
  key_file: "/etc/nats/tls/tls.key"
  verify: {{ .Values.nats.tls.clientCertificate }}
  {{- if .Values.nats.tls.first }}
  handshake_first: true
  {{- end }}
}
{{- end }}
jetstream {
  store_dir: "/data/jetstream"
  sync_interval: {{ $s.syncInterval }}
  max_memory_store: 268435456
  # Nine tenths of the volume.
  max_file_store: {{ $room }}
}
{{- if gt (int $s.replicas) 1 }}
cluster {
  name: {{ $name | quote }}
  listen: "0.0.0.0:6222"
  routes: [
    {{- range $i := until (int $s.replicas) }}
    {{ printf "nats://%s-%d.%s.%s.svc:6222" $name $i $name $.Release.Namespace | quote }}
    {{- end }}
  ]
  {{- if $tls }}
  tls { ca_file: "/etc/nats/tls/ca.crt", cert_file: "/etc/nats/tls/tls.crt", key_file: "/etc/nats/tls/tls.key", verify: true }
  {{- end }}
}
{{- end }}
accounts {
  CALLBOARD {
    jetstream: enabled
    users: [
      {{- range $user := .Files.Get "files/nats-users.json" | fromJsonArray }}
      {{- $nkeys := index $s.users $user.name }}
      {{- if and (hasKey $.Values.apps $user.name) (not $nkeys) }}
      {{- if index $.Values.apps $user.name "enabled" }}{{ fail (printf "nats.server.users.%s is empty: write the values with `callboard deploy prepare`" $user.name) }}{{ end }}
      {{- end }}
      {{- range $nkey := $nkeys }}
      # {{ $user.name }}
      { nkey: {{ $nkey }}, permissions: {{ $user.permissions | toRawJson }}, allowed_connection_types: ["STANDARD"] }
      {{- end }}
      {{- end }}
    ]
  }
  SYS {}
}
system_account: SYS
{{- end }}

{{/* What the streams with a limit reserve on each server. */}}
{{- define "callboard.reservedBytes" -}}
{{- $sum := 0 -}}
{{- range $limit := .Files.Get "files/stream-limits.json" | fromJson | values -}}
{{- $bytes := int64 $.Values.streams.maxBytes -}}
{{- if gt (int64 $limit.most) 0 }}{{ $bytes = min $bytes (int64 $limit.most) }}{{ end -}}
{{- $sum = add $sum (max $bytes (int64 $limit.least)) -}}
{{- end -}}
{{- $sum -}}
{{- end }}
