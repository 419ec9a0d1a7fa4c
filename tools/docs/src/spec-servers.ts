/** nats-servers without our apps: one to read copies in, three as a cluster. Anyone may do everything; `sys` is the system's user. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '@callboard/nats-server';

export interface Servers {
  urls: string[];
  stop(): Promise<void>;
}

export async function startServers(binary: string, folder: string, count: number): Promise<Servers> {
  const ports = await Promise.all(Array.from({ length: 2 * count }, freePort));
  const routes = ports.slice(count).map((port) => `nats://127.0.0.1:${port}`);
  const running = await Promise.all(
    ports.slice(0, count).map(async (port, i) => {
      const dir = join(folder, `n${i + 1}`);
      await mkdir(dir, { recursive: true });
      const config = join(dir, 'server.conf');
      await writeFile(
        config,
        [
          `server_name: n${i + 1}`,
          `listen: "127.0.0.1:${port}"`,
          `jetstream { store_dir: ${JSON.stringify(dir)} }`,
          'accounts { SYS { users [ { user: sys, password: sys } ] }, APP { jetstream: enabled, users [ { user: app, password: app } ] } }',
          'system_account: SYS',
          'no_auth_user: app',
          ...(count > 1
            ? [`cluster { name: spec, listen: "127.0.0.1:${ports[count + i]}", routes: ${JSON.stringify(routes)} }`]
            : []),
        ].join('\n'),
      );
      const child = spawn(binary, ['-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
      const exited = once(child, 'close');
      const led = new Promise<void>((resolve) => {
        // A cluster can be used once its members have agreed on who leads.
        const ready =
          count > 1
            ? /JetStream cluster new metadata leader|Self is new JetStream cluster metadata leader/
            : /Server is ready/;
        createInterface({ input: child.stderr }).on('line', (line) => ready.test(line) && resolve());
      });
      return { led, stop: () => (child.kill('SIGKILL'), exited) };
    }),
  );
  await Promise.all(running.map(({ led }) => led));
  return {
    urls: ports.slice(0, count).map((port) => `nats://127.0.0.1:${port}`),
    stop: async () => {
      await Promise.all(running.map(({ stop }) => stop()));
    },
  };
}
