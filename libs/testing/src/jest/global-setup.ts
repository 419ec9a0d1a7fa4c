import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { declareTopology } from '@callboard/jetstream';
import { resolveNatsServer, startNatsServer } from '@callboard/nats-server';
import { beginBackstageInstallation } from './backstage-installation.js';

/**
 * Once, before any test: finds or fetches nats-server, and makes a set of NATS keys that every test server starts from, because
 * signing takes seconds inside Jest's sandbox. Test workers and what they start inherit both through the environment. Where all tests run,
 * the Backstages that some of them need are installed meanwhile.
 */
export default async function globalSetup({ nonFlagArgs }: { nonFlagArgs: string[] }): Promise<void> {
  if (nonFlagArgs.length === 0) beginBackstageInstallation();
  const { path, version, from } = await resolveNatsServer({
    onProgress: (message) => process.stderr.write(`${message}\n`),
  });
  process.stderr.write(`nats-server ${version} (${from}): ${path}\n`);
  const keys = await mkdtemp(join(tmpdir(), 'callboard-keys-'));
  await (await startNatsServer({ binary: path, dataDir: keys, topology: declareTopology() })).stop();
  await rm(join(keys, 'store'), { recursive: true, force: true });
  process.env['CALLBOARD_NATS_SERVER'] = path;
  process.env['CALLBOARD_TEST_KEYS'] = keys;
}
