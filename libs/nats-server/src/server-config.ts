import type { Credentials } from './credentials.js';

export interface ServerConfig {
  port: number;
  storeDir: string;
  /** `always` syncs before a message is acked; an interval such as `2m` trades the last seconds before a power cut for speed. */
  syncInterval: string;
  /** The most that all streams together may reserve on disk. */
  maxFileStore: number;
  /** Absent: anyone on this machine may do everything. For benches. */
  credentials?: Credentials;
}

const MAX_MEMORY_STORE = 256 * 1024 ** 2;

/** The text of nats-server's configuration file. */
export function renderServerConfig(config: ServerConfig): string {
  const text = (value: string) => JSON.stringify(value);
  const { credentials } = config;
  return [
    '# Written by Callboard at every start of the server. Changes here are lost: change the topology or the supervisor.',
    'server_name: callboard',
    'host: 127.0.0.1',
    `port: ${config.port}`,
    'jetstream {',
    `  store_dir: ${text(config.storeDir)}`,
    `  sync_interval: ${config.syncInterval}`,
    `  max_memory_store: ${MAX_MEMORY_STORE}`,
    `  max_file_store: ${config.maxFileStore}`,
    '}',
    ...(credentials
      ? [
          `operator: ${text(credentials.operator.jwt)}`,
          `system_account: ${credentials.systemAccount.id}`,
          'resolver: MEMORY',
          'resolver_preload {',
          `  ${credentials.systemAccount.id}: ${text(credentials.systemAccount.jwt)}`,
          `  ${credentials.account.id}: ${text(credentials.account.jwt)}`,
          '}',
        ]
      : []),
    '',
  ].join('\n');
}
