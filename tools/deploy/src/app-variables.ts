/** The variables that each app reads, as its configuration class declares them: what `apps.APP.config` of the chart may hold. */
import { VaultConfig, describeConfig, type ConfigVariable } from '@callboard/config';
import { inRepository, type AppName } from './repository.js';

/** What the chart sets itself, from other values. */
const OF_THE_CHART = new Set(
  [
    ...['INSTANCE', 'HTTP_HOST', 'HTTP_PORT', 'OPS_HOST', 'OPS_PORT', 'PARTITIONS', 'TOKENS_FILE'],
    ...['NATS_URL', 'NATS_CREDS', 'NATS_NKEY', 'NATS_TLS_CA', 'NATS_TLS_CERT', 'NATS_TLS_KEY', 'NATS_TLS_FIRST'],
    ...['ACCESS', 'SERVERS', 'ADAPTERS', 'SOURCES', 'NOTIFICATIONS', 'SAGAS', 'POLICIES', 'REDACTION_POLICY', 'QUOTAS'],
    ...['REQUEST_STATE_KEY', 'RESULTS_KEY', 'PSEUDONYM_KEY', 'INGEST_TOKEN'],
    ...['AUDIT_SEALING_KEY', 'AUDIT_SIGNING_KEY', 'AUDIT_DATABASE_URL', 'AUDIT_DATABASE_DIR'],
  ].map((name) => `CALLBOARD_${name}`),
);

/** Read by every app, and declared by no class. */
const LOG_LEVEL: ConfigVariable = {
  name: 'CALLBOARD_LOG_LEVEL',
  property: '',
  description: 'least level that is logged: `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`',
  type: 'string',
  default: 'info',
};
/** Whose files may name secrets in Vault. */
const WITH_VAULT: readonly AppName[] = ['event-ingestor', 'notifier', 'action-runner'];

/** Everything that an app reads. */
export async function variablesOf(app: AppName): Promise<ConfigVariable[]> {
  const module = (await import(inRepository(`apps/${app}/dist/config.js`))) as Record<string, unknown>;
  const classes = Object.values(module).filter((value): value is new () => object => typeof value === 'function');
  const own = classes.flatMap((type) => describeConfig(type));
  return [...own, ...(WITH_VAULT.includes(app) ? describeConfig(VaultConfig) : []), LOG_LEVEL];
}

/** Those of them that are left to whoever installs. */
export async function configurableOf(app: AppName): Promise<ConfigVariable[]> {
  return (await variablesOf(app)).filter(({ name }) => !OF_THE_CHART.has(name));
}
