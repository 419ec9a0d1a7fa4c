/** What Backstage pushes to a signed-in user's browser, by the WebSocket client that Backstage itself brings. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface Signals {
  /** Messages of the channel, as they came. */
  readonly messages: Record<string, unknown>[];
  close(): void;
}

interface WebSocketLike {
  on(event: 'open' | 'close', listener: () => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  on(event: 'message', listener: (data: Buffer) => void): void;
  send(text: string): void;
  terminate(): void;
}

const ATTEMPTS = 20;
const PAUSE_MS = 200;
const HANDSHAKE_MS = 2_000;

export async function listenToSignals(modules: string, url: string, token: string, channel: string): Promise<Signals> {
  const { WebSocket } = createRequire(join(modules, 'ws'))('ws') as {
    WebSocket: new (url: string, protocol: string, options: { handshakeTimeout: number }) => WebSocketLike;
  };
  const connect = () =>
    new Promise<WebSocketLike>((resolve, reject) => {
      const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/api/signals`, token, {
        handshakeTimeout: HANDSHAKE_MS,
      });
      socket.on('open', () => resolve(socket));
      socket.on('error', reject);
    });
  // The first that asks only makes Backstage listen for those who ask, and is not answered.
  let socket: WebSocketLike | undefined;
  for (let n = 1; !socket; n++) {
    try {
      socket = await connect();
    } catch (error) {
      if (n === ATTEMPTS) throw error;
      await delay(PAUSE_MS);
    }
  }
  const messages: Record<string, unknown>[] = [];
  socket.on('message', (data) => {
    const said = JSON.parse(data.toString()) as { channel: string; message: Record<string, unknown> };
    if (said.channel === channel) messages.push(said.message);
  });
  socket.send(JSON.stringify({ action: 'subscribe', channel }));
  return { messages, close: () => socket.terminate() };
}
