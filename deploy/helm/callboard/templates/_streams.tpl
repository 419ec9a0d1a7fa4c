{{/* What `callboard streams apply` makes the streams from. */}}
{{- define "callboard.streamsFile" -}}
streams:
  partitions: {{ .Values.streams.partitions }}
  replicas: {{ .Values.streams.replicas }}
  retention_hours: {{ .Values.streams.retentionHours }}
  max_bytes: {{ .Values.streams.maxBytes | int64 }}
{{- end }}

{{/* A pod that does one thing. Dict: root, args; user of NATS, config (name of the ConfigMap of the streams), token (name of a Secret), where it needs them. */}}
{{- define "callboard.cliPod" -}}
serviceAccountName: {{ printf "%s-cli" (include "callboard.fullname" .root) | quote }}
{{ include "callboard.podSpec" .root }}
restartPolicy: Never
containers:
  - name: callboard
    image: {{ include "callboard.image" (dict "root" .root "name" "cli") | quote }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args: {{ toJson .args }}
    securityContext:
      {{- include "callboard.containerSecurity" .root | nindent 6 }}
    resources:
      {{- toYaml .root.Values.cli.resources | nindent 6 }}
    env:
      - name: HOME
        value: /tmp
      {{- if .user }}
      {{- include "callboard.natsEnv" . | nindent 6 }}
      {{- end }}
    volumeMounts:
      - { name: tmp, mountPath: /tmp }
      {{- if .user }}
      {{- include "callboard.natsMounts" . | nindent 6 }}
      {{- end }}
      {{- with .config }}
      - { name: streams, mountPath: /etc/callboard/streams, readOnly: true }
      {{- end }}
      {{- with .token }}
      - { name: token, mountPath: /etc/callboard/token, readOnly: true }
      {{- end }}
volumes:
  - name: tmp
    emptyDir: { sizeLimit: 64Mi }
  {{- if .user }}
  {{- include "callboard.natsVolumes" . | nindent 2 }}
  {{- end }}
  {{- with .config }}
  - name: streams
    configMap: { name: {{ . | quote }} }
  {{- end }}
  {{- with .token }}
  - name: token
    secret: { secretName: {{ . | quote }}, defaultMode: 0440, items: [{ key: {{ $.root.Values.tests.tokenSecretKey | quote }}, path: token }] }
  {{- end }}
{{- end }}
