import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { resolveNatsCli } from './resolve-nats-cli.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-nats-cli-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A stand-in that answers `--version` as the CLI does. */
async function cli(version: string, ...path: string[]): Promise<string> {
  const place = join(folder, ...path);
  await mkdir(place, { recursive: true });
  await writeFile(join(place, 'nats'), `#!/bin/sh\necho ${version}\n`, { mode: 0o755 });
  return place;
}
const resolve = (...path: string[]) =>
  resolveNatsCli(() => undefined, { PATH: path.join(':'), CALLBOARD_CACHE_DIR: join(folder, 'cache') });

describe('the nats CLI', () => {
  it('is the one on PATH, if it is new enough, and else that of the cache', async () => {
    const [fit, old] = [await cli('v0.4.1', 'fit'), await cli('0.3.9', 'old')];
    const cached = await cli('v0.4.0', 'cache', 'nats-cli', '0.4.0');
    await expect(resolve(old, fit)).resolves.toBe(join(fit, 'nats'));
    await expect(resolve(old)).resolves.toBe(join(cached, 'nats'));
  });
});
