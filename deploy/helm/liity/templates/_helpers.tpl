{{/* Labels that select the pods of one component: (list $ "identity"). */}}
{{- define "liity.selector" -}}
app.kubernetes.io/name: liity
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "liity.labels" -}}
{{ include "liity.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end -}}

{{- define "liity.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end -}}

{{- define "liity.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
# Secret files are then root's, readable by this group.
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "liity.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* How Temporal is reached: environment, volume mounts and volumes. */}}
{{- define "liity.temporalEnvironment" -}}
- {name: TEMPORAL_ADDRESS, value: {{ .Values.temporal.address | quote }}}
- {name: TEMPORAL_NAMESPACE, value: {{ .Values.temporal.namespace | quote }}}
{{- if .Values.temporal.apiKeySecret }}
- name: TEMPORAL_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.temporal.apiKeySecret }}, key: apiKey}}
{{- end }}
{{- if .Values.temporal.tlsSecret }}
- {name: TEMPORAL_TLS_SERVER_CA_CERT_PATH, value: /run/temporal-tls/ca.crt}
- {name: TEMPORAL_TLS_CLIENT_CERT_PATH, value: /run/temporal-tls/tls.crt}
- {name: TEMPORAL_TLS_CLIENT_KEY_PATH, value: /run/temporal-tls/tls.key}
{{- end }}
{{- end -}}

{{- define "liity.ledgerClaim" -}}
{{ .Values.erasureLedger.claim | default (printf "%s-erasures" .Release.Name) }}
{{- end -}}

{{- define "liity.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The pod of a component: (list $ "identity"). */}}
{{- define "liity.pod" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $topology := $root.Files.Get "files/topology.json" | fromJson -}}
{{- $part := index $topology.components $name -}}
{{- $own := index $root.Values.components $name -}}
{{- $tls := and $root.Values.certificates.enabled (ne $name "web") -}}
{{- $publicTls := $own.publicTlsSecret | default "" -}}
{{- $gatewayCa := and $root.Values.gatewayCaConfigMap (has "gateway" $part.calls) -}}
metadata:
  labels:
    {{- include "liity.labels" . | nindent 4 }}
  annotations:
    # A changed setting restarts the pods.
    checksum/settings: {{ list $root.Values.settings $own $root.Values.temporal | toJson | sha256sum }}
    prometheus.io/scrape: "true"
    prometheus.io/port: {{ $topology.managementPort | quote }}
spec:
  serviceAccountName: {{ $root.Release.Name }}-{{ $name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # Longer than the pause and the longest call.
  terminationGracePeriodSeconds: 90
  securityContext:
    {{- include "liity.podSecurity" $root | nindent 4 }}
  {{- include "liity.pullSecrets" $root | nindent 2 }}
  topologySpreadConstraints:
    {{- range $root.Values.spread }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "liity.selector" (list $root $name) | nindent 10 }}
    {{- end }}
  containers:
    - name: {{ $name }}
      image: {{ include "liity.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [serve, {{ $name }}]
      securityContext:
        {{- include "liity.containerSecurity" $root | nindent 8 }}
      ports:
        {{- if $part.port }}
        - {name: serve, containerPort: {{ $part.port }}}
        {{- end }}
        - {name: management, containerPort: {{ $topology.managementPort }}}
      env:
        - {name: LIITY_KEYS_DIR, value: /run/keys}
        - {name: LIITY_MANAGEMENT_LISTEN, value: "0.0.0.0:{{ $topology.managementPort }}"}
        {{- if $part.port }}
        - {name: LIITY_LISTEN, value: "0.0.0.0:{{ $part.port }}"}
        # Longer than a Service takes to withdraw the pod's address.
        - {name: LIITY_DRAIN_PAUSE, value: PT10S}
        {{- end }}
        {{- range $callee := $part.calls }}
        - {name: LIITY_{{ upper $callee }}_TARGET, value: "dns:///{{ $root.Release.Name }}-{{ $callee }}:{{ (index $topology.components $callee).port }}"}
        {{- end }}
        {{- if $own.settingsSecret }}
        - {name: LIITY_SETTINGS_DIR, value: /run/settings}
        {{- end }}
        {{- if $tls }}
        - {name: LIITY_TLS_CA, value: /run/tls/ca.crt}
        - {name: LIITY_TLS_CERTIFICATE, value: /run/tls/tls.crt}
        - {name: LIITY_TLS_KEY, value: /run/tls/tls.key}
        {{- end }}
        {{- if $part.ledger }}
        - {name: LIITY_ERASURE_LEDGER_DIR, value: /var/lib/liity/erasures}
        {{- end }}
        {{- if $publicTls }}
        - {name: LIITY_PUBLIC_TLS_CERTIFICATE, value: /run/public-tls/tls.crt}
        - {name: LIITY_PUBLIC_TLS_KEY, value: /run/public-tls/tls.key}
        {{- end }}
        {{- if $gatewayCa }}
        - {name: LIITY_GATEWAY_CA, value: /run/gateway-ca/ca.crt}
        {{- end }}
        {{- if $part.temporal }}
        {{- include "liity.temporalEnvironment" $root | nindent 8 }}
        {{- end }}
        {{- range $variable, $value := merge (dict) ($own.settings | default dict) $root.Values.settings }}
        - {name: {{ $variable }}, value: {{ $value | quote }}}
        {{- end }}
      startupProbe:
        httpGet: {path: /readyz, port: management}
        periodSeconds: 5
        # Ten minutes: a worker waits for Temporal.
        failureThreshold: 120
      readinessProbe:
        httpGet: {path: /readyz, port: management}
        periodSeconds: 5
        failureThreshold: 1
      livenessProbe:
        httpGet: {path: /livez, port: management}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      resources:
        {{- toYaml $own.resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: keys, mountPath: /run/keys, readOnly: true}
        {{- if $own.settingsSecret }}
        - {name: settings, mountPath: /run/settings, readOnly: true}
        {{- end }}
        {{- if $tls }}
        - {name: tls, mountPath: /run/tls, readOnly: true}
        {{- end }}
        {{- if $part.ledger }}
        - {name: erasures, mountPath: /var/lib/liity/erasures}
        {{- end }}
        {{- if $publicTls }}
        - {name: public-tls, mountPath: /run/public-tls, readOnly: true}
        {{- end }}
        {{- if $gatewayCa }}
        - {name: gateway-ca, mountPath: /run/gateway-ca, readOnly: true}
        {{- end }}
        {{- if and $part.temporal $root.Values.temporal.tlsSecret }}
        - {name: temporal-tls, mountPath: /run/temporal-tls, readOnly: true}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: 64Mi}}
    - name: keys
      secret:
        secretName: {{ $own.keysSecret }}
        defaultMode: 0440
        # Only the files that the component needs, whatever the Secret holds.
        items:
          {{- range $part.keys }}
          - {key: {{ . }}, path: {{ . }}}
          {{- end }}
    {{- if $own.settingsSecret }}
    - {name: settings, secret: {secretName: {{ $own.settingsSecret }}, defaultMode: 0440}}
    {{- end }}
    {{- if $tls }}
    - {name: tls, secret: {secretName: {{ $root.Release.Name }}-{{ $name }}-tls, defaultMode: 0440}}
    {{- end }}
    {{- if $part.ledger }}
    - {name: erasures, persistentVolumeClaim: {claimName: {{ include "liity.ledgerClaim" $root }}}}
    {{- end }}
    {{- if $publicTls }}
    - {name: public-tls, secret: {secretName: {{ $publicTls }}, defaultMode: 0440}}
    {{- end }}
    {{- if $gatewayCa }}
    - {name: gateway-ca, configMap: {name: {{ $root.Values.gatewayCaConfigMap }}}}
    {{- end }}
    {{- if and $part.temporal $root.Values.temporal.tlsSecret }}
    - {name: temporal-tls, secret: {secretName: {{ $root.Values.temporal.tlsSecret }}, defaultMode: 0440}}
    {{- end }}
{{- end -}}
