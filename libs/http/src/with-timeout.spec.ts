import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { withTimeout } from './with-timeout.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

describe('a signal with a timeout', () => {
  let server: Server;
  let url: string;
  beforeAll(async () => {
    // Accepts, and is silent.
    server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const ask = (signal: AbortSignal) =>
    fetch(url, { signal }).then(
      () => 'answered',
      (error: Error) => error.name,
    );

  it('ends a request when its time is over, however often garbage is collected meanwhile', async () => {
    const asked = [
      ask(withTimeout(new AbortController().signal, 500)),
      ask(withTimeout(withTimeout(new AbortController().signal, 500), 60_000)),
    ];
    let ended = false;
    const all = Promise.all(asked).finally(() => (ended = true));
    while (!ended) {
      await delay(50);
      collectGarbage();
    }
    expect(await all).toEqual(['TimeoutError', 'TimeoutError']);
  });

  it('ends it with the other signal, for the reason of that', async () => {
    const stop = new AbortController();
    const asked = ask(withTimeout(withTimeout(stop.signal, 60_000), 60_000));
    collectGarbage();
    stop.abort(Object.assign(new Error('enough'), { name: 'Enough' }));
    expect(await asked).toBe('Enough');
    expect(withTimeout(stop.signal, 60_000).aborted).toBe(true);
  });
});
