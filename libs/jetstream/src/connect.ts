import { readFile } from 'node:fs/promises';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { inboxPrefix } from './topology.js';

export interface NatsOptions {
  /** URL of a server, or several, comma separated. */
  servers: string;
  /** Which declared user this process is; decides its inbox prefix. */
  user: string;
  /** File with the user's credentials; none when the server asks for none. */
  credsFile?: string;
  /** Shown in the server's connection list. */
  name: string;
}

/** Connects, waiting for a server that is not up yet, and reconnects for as long as the process lives. */
export async function connectNats(options: NatsOptions): Promise<NatsConnection> {
  const creds = options.credsFile ? await readFile(options.credsFile) : undefined;
  return connect({
    servers: options.servers.split(',').map((server) => server.trim()),
    name: options.name,
    inboxPrefix: inboxPrefix(options.user),
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    reconnectJitter: 50,
    pingInterval: 10_000,
    maxPingOut: 2,
    // What must survive a reconnect is kept and sent again by its owner; see AckedPublisher.
    ignoreAuthErrorAbort: true,
    ...(creds && { authenticator: credsAuthenticator(creds) }),
  });
}

/** Connects a process of an app as the app's own user, by the variables that all apps share. */
export function connectApp(
  user: string,
  config: { natsUrl: string; natsCreds?: string; instance: string },
): Promise<NatsConnection> {
  const { natsUrl: servers, natsCreds: credsFile, instance: name } = config;
  return connectNats({ servers, user, name, ...(credsFile && { credsFile }) });
}

/** Calls back at every reconnect and disconnect. Returns a function that ends the subscription. */
export function onConnectionChange(
  nc: NatsConnection,
  listener: (change: 'connected' | 'disconnected') => void,
): () => void {
  let stopped = false;
  const statuses = nc.status();
  void (async () => {
    for await (const status of statuses) {
      if (stopped) return;
      if (status.type === 'reconnect') listener('connected');
      else if (status.type === 'disconnect') listener('disconnected');
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
