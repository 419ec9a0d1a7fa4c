/** The parts of nats-server's configuration. Those of a server of our own and those of one that others run are made by the same functions. */
import type { DeclaredUser } from '@callboard/jetstream';
import type { Credentials } from './credentials.js';

export interface ServerTls {
  caFile: string;
  certFile: string;
  keyFile: string;
  /** TLS before the server's first word. Clients have to be set so too. */
  handshakeFirst?: boolean;
}

/** One of several servers that keep the same streams. */
export interface ClusterNode {
  /** Its name, which it keeps: the others know it by it. */
  name: string;
  /** Where the others reach it. */
  port: number;
  /** The ports of all. */
  routes: readonly number[];
}

export interface ServerConfig {
  port: number;
  storeDir: string;
  /** `always` syncs before a message is acked; an interval such as `2m` trades the last seconds before a power cut for speed. */
  syncInterval: string;
  /** The most that all streams together may reserve on disk. */
  maxFileStore: number;
  /** Absent: anyone on this machine may do everything. For benches. */
  credentials?: Credentials;
  /** Absent: nothing is encrypted. */
  tls?: ServerTls;
  /** Absent: it is alone. */
  cluster?: ClusterNode;
}

const MAX_MEMORY_STORE = 256 * 1024 ** 2;
/** To whoever asks, once, within a minute. */
const ONE_ANSWER = { max: 1, expires: '1m' };

/** The text of the configuration file of a server of our own. */
export function renderServerConfig(config: ServerConfig): string {
  return [
    '# Written by Callboard at every start of the server. Changes here are lost: change the topology or the supervisor.',
    `server_name: ${config.cluster?.name ?? 'callboard'}`,
    'host: 127.0.0.1',
    `port: ${config.port}`,
    ...jetStream(config),
    ...(config.tls ? tlsBlock(config.tls) : []),
    ...(config.credentials ? operatorMode(config.credentials) : []),
    ...(config.cluster ? clusterBlock(config.cluster, config.tls) : []),
    '',
  ].join('\n');
}

export function jetStream({ storeDir, syncInterval, maxFileStore }: Omit<ServerConfig, 'port'>): string[] {
  return [
    'jetstream {',
    `  store_dir: ${text(storeDir)}`,
    `  sync_interval: ${syncInterval}`,
    `  max_memory_store: ${MAX_MEMORY_STORE}`,
    `  max_file_store: ${maxFileStore}`,
    '}',
  ];
}

/** Both sides show a certificate: who has none is not even asked who he is. */
export function tlsBlock({ caFile, certFile, keyFile, handshakeFirst }: ServerTls): string[] {
  return [
    'tls {',
    `  ca_file: ${text(caFile)}`,
    `  cert_file: ${text(certFile)}`,
    `  key_file: ${text(keyFile)}`,
    '  verify: true',
    ...(handshakeFirst ? ['  handshake_first: true'] : []),
    '}',
  ];
}

/** Between the nodes on this machine, encrypted as the clients' connections are. */
function clusterBlock({ port, routes }: ClusterNode, tls: ServerTls | undefined): string[] {
  return [
    'cluster {',
    '  name: callboard',
    `  listen: "127.0.0.1:${port}"`,
    `  routes: ${JSON.stringify(routes.map((route) => `nats://127.0.0.1:${route}`))}`,
    ...(tls ? tlsBlock({ ...tls, handshakeFirst: false }).map((line) => `  ${line}`) : []),
    '}',
  ];
}

/** Users by JWT: their permissions are in the account's, and so here. */
export function operatorMode({ operator, systemAccount, account }: Credentials): string[] {
  return [
    `operator: ${text(operator.jwt)}`,
    `system_account: ${systemAccount.id}`,
    'resolver: MEMORY',
    'resolver_preload {',
    `  ${systemAccount.id}: ${text(systemAccount.jwt)}`,
    `  ${account.id}: ${text(account.jwt)}`,
    '}',
  ];
}

/** Users by nkey: a user has one, and another one while it changes from the one to the other. */
export function nkeyAccounts(users: readonly (DeclaredUser & { nkeys: readonly string[] })[]): string[] {
  return [
    'accounts {',
    '  CALLBOARD {',
    '    jetstream: enabled',
    '    users: [',
    ...users.flatMap((user) => user.nkeys.flatMap((nkey) => nkeyUser(nkey, user))),
    '    ]',
    '  }',
    '  SYS {}',
    '}',
    'system_account: SYS',
  ];
}

/** What a user may do, as the server's configuration says it. */
export function permissionsOf({ publish, subscribe, responds }: DeclaredUser): object {
  return { publish, subscribe, ...(responds && { allow_responses: ONE_ANSWER }) };
}

function nkeyUser(nkey: string, user: DeclaredUser): string[] {
  return [
    `      # ${user.name}`,
    `      { nkey: ${nkey}, permissions: ${JSON.stringify(permissionsOf(user))}, allowed_connection_types: ["STANDARD"] }`,
  ];
}

function text(value: string): string {
  return JSON.stringify(value);
}
