/**
 * The schema of the chart's values. What is not in it is refused when the chart is rendered, with its path: a typo changes nothing silently.
 * The variables of each app come from its configuration class.
 */
import type { ConfigVariable } from '@callboard/config';
import { configurableOf } from './app-variables.js';
import { APPS, IMAGES, type AppName } from './repository.js';

export type Schema = Record<string, unknown>;

const text = (more: Schema = {}): Schema => ({ type: 'string', ...more });
const flag: Schema = { type: 'boolean' };
const count = (minimum: number, maximum: number): Schema => ({ type: 'integer', minimum, maximum });
const choice = (...of: string[]): Schema => ({ type: 'string', enum: of });
const list = (items: Schema): Schema => ({ type: 'array', items });
const map = (of: Schema, names?: Schema): Schema => ({
  type: 'object',
  additionalProperties: of,
  ...(names && { propertyNames: names }),
});
/** What Kubernetes, or an app, checks. */
const theirs: Schema = { type: 'object' };
function object(properties: Record<string, Schema>): Schema {
  return { type: 'object', additionalProperties: false, properties };
}

const name = text({ pattern: '^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$', maxLength: 253 });
const digest = text({ pattern: '^sha256:[0-9a-f]{64}$' });
const quantity = text({ pattern: '^[0-9]+(\\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$' });
const host = text({ pattern: '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$', maxLength: 253 });
const duration = text({ pattern: '^[0-9]+(s|m|h)$' });
const amounts = object({ cpu: quantity, memory: quantity, 'ephemeral-storage': quantity });
const resources = object({ requests: amounts, limits: amounts });
const fileName = text({ pattern: '^[A-Za-z0-9][-A-Za-z0-9_.]*$' });
const variable = text({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' });

const SCALED_BY_CPU = new Set<AppName>(['mcp-frontend', 'event-ingestor']);
const SCALED_BY_WAITING = new Set<AppName>(['action-runner', 'pii-filter']);

function config(variables: readonly ConfigVariable[]): Schema {
  const typed = variables.map(({ name, type, description }) => [
    name,
    { type: type === 'number' ? 'number' : type, description },
  ]);
  return object(Object.fromEntries(typed) as Record<string, Schema>);
}

function autoscaling(by: Record<string, Schema>): Schema {
  return object({ enabled: flag, minReplicas: count(1, 1024), maxReplicas: count(1, 1024), ...by });
}

async function app(name: AppName): Promise<Schema> {
  return object({
    enabled: flag,
    replicas: count(1, 1024),
    config: config(await configurableOf(name)),
    env: list({ type: 'object', required: ['name'], properties: { name: variable } }),
    secretMounts: map(text({ minLength: 1 }), { pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', maxLength: 50 }),
    egress: list(theirs),
    podAnnotations: map(text()),
    resources,
    ...(SCALED_BY_CPU.has(name) && { autoscaling: autoscaling({ cpuPercent: count(1, 100) }) }),
    ...(SCALED_BY_WAITING.has(name) && { autoscaling: autoscaling({ waiting: count(1, 1_000_000) }) }),
  });
}

export async function valuesSchema(users: readonly string[]): Promise<Schema> {
  const apps = await Promise.all(APPS.map(async (name): Promise<[string, Schema]> => [name, await app(name)]));
  const nkey = text({ pattern: '^U[A-Z2-7]{55}$' });
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart callboard. Written by npm run deploy:generate; changes here are lost.',
    ...object({
      // Shared with other charts of an umbrella.
      global: { type: 'object', properties: { imageRegistry: text(), imagePullSecrets: list(theirs) } },
      image: object({
        registry: text(),
        repository: text({ minLength: 1 }),
        tag: text(),
        digests: object(Object.fromEntries(IMAGES.map((image) => [image, digest]))),
        pullPolicy: choice('Always', 'IfNotPresent', 'Never'),
      }),
      streams: object({
        partitions: count(1, 1024),
        replicas: { type: 'integer', enum: [1, 3, 5] },
        retentionHours: count(24, 24 * 366),
        maxBytes: count(1024 ** 2, Number.MAX_SAFE_INTEGER),
        applyBeforeUpgrade: flag,
      }),
      nats: object({
        urls: list(text({ pattern: '^(nats|tls)://[^/@\\s,]+$' })),
        usersSecret: name,
        tls: object({ secret: name, clientCertificate: flag, first: flag }),
        server: object({
          enabled: flag,
          replicas: { type: 'integer', enum: [1, 3, 5] },
          image: object({
            registry: text({ minLength: 1 }),
            repository: text({ minLength: 1 }),
            tag: text(),
            digest: { anyOf: [{ const: '' }, digest] },
          }),
          users: object(Object.fromEntries(users.map((user) => [user, { ...list(nkey), maxItems: 2 }]))),
          tlsSecret: name,
          syncInterval: text({ pattern: '^(always|[0-9]+(ms|s|m|h))$' }),
          storage: object({ persistent: flag, size: text({ pattern: '^[1-9][0-9]*Gi$' }), storageClassName: text() }),
          resources,
          topologyKey: text({ minLength: 1 }),
        }),
      }),
      secrets: object({
        keys: { ...name, minLength: 1 },
        ingestToken: flag,
        tokens: name,
        external: object({
          enabled: flag,
          storeRef: object({ kind: choice('SecretStore', 'ClusterSecretStore'), name }),
          refreshInterval: duration,
          remoteKeys: object({ keys: text(), tokens: text(), users: text(), database: text() }),
        }),
      }),
      database: object({
        existingSecret: name,
        existingSecretKey: text({ minLength: 1 }),
        embedded: flag,
        embeddedSize: quantity,
        embeddedResources: resources,
      }),
      files: object({
        access: theirs,
        servers: theirs,
        quotas: theirs,
        adapters: theirs,
        sources: theirs,
        notifications: theirs,
        redactionPolicy: theirs,
        policies: map(text(), fileName),
        sagas: map(text(), fileName),
      }),
      exposure: object({
        type: choice('auto', 'route', 'ingress', 'gateway', 'none'),
        host,
        ingestHost: host,
        timeout: duration,
        annotations: map(text()),
        route: object({
          termination: choice('edge'),
          insecureEdgeTerminationPolicy: choice('Redirect', 'None'),
        }),
        ingress: object({ className: text(), tlsSecret: name }),
        gateway: object({ parentRefs: list(theirs) }),
      }),
      networkPolicy: object({
        enabled: flag,
        ingressFrom: list(theirs),
        metricsFrom: list(theirs),
        dns: object({ to: list(theirs), ports: list(count(1, 65_535)) }),
        natsTo: list(theirs),
      }),
      monitoring: object({
        enabled: flag,
        labels: map(text()),
        interval: duration,
        rules: flag,
        dashboards: object({ enabled: flag, labels: map(text()) }),
      }),
      prometheus: object({
        serverAddress: text({ pattern: '^https?://' }),
        authenticationRef: name,
        authModes: text(),
      }),
      podSecurity: object({ context: theirs, hostUsers: { type: ['boolean', 'null'] } }),
      nodeSelector: map(text()),
      tolerations: list(theirs),
      priorityClassName: text(),
      apps: object(Object.fromEntries(apps)),
      cli: object({ resources }),
      tests: object({ tokenSecret: name, tokenSecretKey: text({ minLength: 1 }) }),
    }),
  };
}
