/**
 * Every connection to NATS is made here: who we are (a credentials file, or an nkey seed), and how we know that the server is the right
 * one (TLS). Both are read from their files again at each connect, so what was renewed on disk counts from the next one.
 *
 * Nothing is sent in the clear once TLS was asked for: a server that does not offer it is not spoken to.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import {
  PermissionViolationError,
  connect,
  createInbox,
  credsAuthenticator,
  nkeyAuthenticator,
  type Authenticator,
  type NatsConnection,
  type NodeConnectionOptions,
  type Status,
} from '@nats-io/transport-node';
import { inboxPrefix } from './topology.js';

/** Files of TLS. With none of them, and a server whose URL begins with `tls://`, the system's own authorities are believed. */
export interface NatsTls {
  /** Certificates of the authorities that may have signed the server's. */
  caFile?: string;
  /** Our own, for a server that asks who connects. */
  certFile?: string;
  keyFile?: string;
  /** TLS before the server's first word, for a server that is set so (`handshake_first`). */
  handshakeFirst?: boolean;
}

export interface NatsOptions {
  /** URL of a server, or several, comma separated. */
  servers: string;
  /** Which declared user this process is; decides its inbox prefix. */
  user: string;
  /** File with the user's credentials; none when the server asks for none. */
  credsFile?: string;
  /** File with the seed of the user's nkey, instead of credentials. */
  nkeyFile?: string;
  tls?: NatsTls;
  /** Shown in the server's connection list. */
  name: string;
  /** Told why there is no connection yet: once for each reason. */
  onRefused?: (error: Error) => void;
  /** Ends waiting for a server. */
  signal?: AbortSignal;
}

/** The variables that all apps share, as `AppConfig` has them. */
export interface NatsVariables {
  natsUrl: string;
  natsCreds?: string;
  natsNkey?: string;
  natsTlsCa?: string;
  natsTlsCert?: string;
  natsTlsKey?: string;
  natsTlsFirst?: boolean;
}

const RECONNECT_MS = 100;
/** A server that does not believe our certificate ends the connection without a word, and the client waits for one. */
const CONNECT_MS = 5_000;

/**
 * Connects, waiting for a server that is not up yet, and reconnects for as long as the process lives.
 * @throws Error when a file that is named cannot be used: waiting would not help. AbortError when `signal` ends the waiting.
 */
export async function connectNats(options: NatsOptions): Promise<NatsConnection> {
  const authenticator = authenticatorOf(options);
  const tls = tlsOf(options);
  const said = new Set<string>();
  for (;;) {
    try {
      return await connect({
        servers: serversOf(options),
        name: options.name,
        inboxPrefix: inboxPrefix(options.user),
        maxReconnectAttempts: -1,
        reconnectTimeWait: RECONNECT_MS,
        reconnectJitter: 50,
        timeout: CONNECT_MS,
        pingInterval: 10_000,
        maxPingOut: 2,
        // What must survive a reconnect is kept and sent again by its owner; see AckedPublisher.
        ignoreAuthErrorAbort: true,
        ...(authenticator && { authenticator }),
        ...(tls && { tls }),
      });
    } catch (error) {
      const reason = error as Error;
      if (!said.has(reason.message) && said.size < MOST_REASONS) {
        said.add(reason.message);
        options.onRefused?.(reason);
      }
      await delay(RECONNECT_MS, undefined, { signal: options.signal });
    }
  }
}

const MOST_REASONS = 100;

/** What an app tells of its connection, as a logger takes it. */
interface Log {
  warn(fields: object, message: string): void;
}

/** Connects a process of an app as the app's own user, by the variables that all apps share. */
export async function connectApp(
  user: string,
  config: NatsVariables & { instance: string },
  log?: Log,
): Promise<NatsConnection> {
  const nc = await connectNats({
    ...natsOptions(config),
    user,
    name: config.instance,
    ...(log && { onRefused: (err) => log.warn({ err }, 'NATS cannot be reached yet; trying again') }),
  });
  if (log) {
    onDenied(nc, ({ operation, subject }) =>
      log.warn({ operation, subject }, 'NATS denied what this app may not do: its user lacks a permission'),
    );
  }
  return nc;
}

/** @throws Error naming the variables that contradict each other. */
export function natsOptions(config: NatsVariables): Omit<NatsOptions, 'user' | 'name'> {
  const { natsUrl, natsCreds, natsNkey, natsTlsCa, natsTlsCert, natsTlsKey, natsTlsFirst } = config;
  if (natsCreds && natsNkey) {
    throw new Error(
      'CALLBOARD_NATS_CREDS and CALLBOARD_NATS_NKEY are both set: a process is one user, set one of them',
    );
  }
  if (Boolean(natsTlsCert) !== Boolean(natsTlsKey)) {
    throw new Error('CALLBOARD_NATS_TLS_CERT and CALLBOARD_NATS_TLS_KEY go together: set both, or none of them');
  }
  const tls: NatsTls = {
    ...(natsTlsCa && { caFile: natsTlsCa }),
    ...(natsTlsCert && { certFile: natsTlsCert }),
    ...(natsTlsKey && { keyFile: natsTlsKey }),
    ...(natsTlsFirst && { handshakeFirst: natsTlsFirst }),
  };
  return {
    servers: natsUrl,
    ...(natsCreds && { credsFile: natsCreds }),
    ...(natsNkey && { nkeyFile: natsNkey }),
    ...(Object.keys(tls).length > 0 && { tls }),
  };
}

function serversOf({ servers }: NatsOptions): string[] {
  return servers.split(',').map((server) => server.trim());
}

/** Reads the file once, so that a mistake is seen at once, and then whenever the server asks who we are. */
function authenticatorOf({ credsFile, nkeyFile }: NatsOptions): Authenticator | undefined {
  if (credsFile) {
    const authenticator = credsAuthenticator(() => readFileSync(credsFile));
    usable(credsFile, 'credentials', () => authenticator('nonce'));
    return authenticator;
  }
  if (!nkeyFile) return undefined;
  const authenticator = nkeyAuthenticator(() => Buffer.from(readFileSync(nkeyFile, 'utf8').trim()));
  usable(nkeyFile, 'the seed of an nkey', () => authenticator('nonce'));
  return authenticator;
}

/** The client reads these files at every connect. */
function tlsOf(options: NatsOptions): NodeConnectionOptions['tls'] | undefined {
  const { tls } = options;
  if (!tls) return serversOf(options).some((server) => server.startsWith('tls://')) ? {} : undefined;
  const { caFile, certFile, keyFile } = tls;
  if (caFile) usable(caFile, 'certificates', () => createSecureContext({ ca: readFileSync(caFile) }));
  if (certFile && keyFile) {
    usable(`${certFile} with ${keyFile}`, 'a certificate and its key', () =>
      createSecureContext({ cert: readFileSync(certFile), key: readFileSync(keyFile) }),
    );
  }
  return tls;
}

/** What is wrong with a key is not repeated: the reason may quote it. */
function usable(file: string, what: string, use: () => unknown): void {
  try {
    use();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'is not there' : code === 'EACCES' ? 'may not be read' : `does not hold ${what}`;
    throw new Error(`${file} ${reason}`);
  }
}

/** Calls back at every reconnect and disconnect. Returns a function that ends the subscription. */
export function onConnectionChange(
  nc: NatsConnection,
  listener: (change: 'connected' | 'disconnected') => void,
): () => void {
  return onStatus(nc, ({ type }) => {
    if (type === 'reconnect') listener('connected');
    else if (type === 'disconnect') listener('disconnected');
  });
}

/**
 * Calls back when the server denies what this connection asks for. It is the only sign of it: a denied message has no answer.
 * Returns a function that ends the subscription.
 */
export function onDenied(
  nc: NatsConnection,
  listener: (denied: { operation: 'publish' | 'subscription'; subject: string }) => void,
): () => void {
  return onStatus(nc, (status) => {
    if (status.type === 'error' && status.error instanceof PermissionViolationError) listener(status.error);
  });
}

function onStatus(nc: NatsConnection, listener: (status: Status) => void): () => void {
  let stopped = false;
  const statuses = nc.status();
  void (async () => {
    for await (const status of statuses) {
      if (stopped) return;
      listener(status);
    }
  })();
  return () => {
    stopped = true;
  };
}

/** Follows a connection. The function that it returns says whether the server is there, as far as is known now. */
export function watchConnection(nc: NatsConnection): () => boolean {
  let connected = true;
  onConnectionChange(nc, (change) => (connected = change === 'connected'));
  return () => connected && !nc.isClosed();
}

/** A subject for answers that the user of a connection may subscribe to. */
export function newInbox(nc: NatsConnection): string {
  return createInbox((nc as unknown as { options?: { inboxPrefix?: string } }).options?.inboxPrefix);
}
