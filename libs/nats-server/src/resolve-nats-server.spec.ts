import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { NoNatsServer, resolveNatsServer, type Fetcher } from './resolve-nats-server.js';
import { versionOf } from './version.js';

let folder: string;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-resolve-'));
  env = { PATH: join(folder, 'bin'), CALLBOARD_CACHE_DIR: join(folder, 'cache') };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A program that answers `--version` as nats-server does. */
async function putServer(path: string, version: string): Promise<string> {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  await chmod(path, 0o755);
  return path;
}

const cached = (version: string) => join(folder, 'cache', 'nats-server', version, 'nats-server');
const fetches =
  (version: string): Fetcher =>
  async (into) => {
    await putServer(join(into, 'nats-server'), version);
  };
const fails =
  (reason: string): Fetcher =>
  () =>
    Promise.reject(new Error(reason));

describe('finding a nats-server', () => {
  it('takes the one that the user names before any other', async () => {
    const named = await putServer(join(folder, 'mine'), '2.14.0');
    await putServer(join(folder, 'bin', 'nats-server'), '2.15.1');
    const found = await resolveNatsServer({ env: { ...env, CALLBOARD_NATS_SERVER: named }, fetchers: {} });
    expect(found).toEqual({ path: named, version: '2.14.0', from: 'CALLBOARD_NATS_SERVER' });
  });

  it('says so when the named one is unfit, and tries nothing else', async () => {
    await putServer(join(folder, 'bin', 'nats-server'), '2.15.1');
    for (const [path, reason] of [
      [await putServer(join(folder, 'old'), '2.9.10'), 'is 2.9.10, older than 2.14.0'],
      [join(folder, 'nowhere'), 'does not run'],
      ['/bin/true', 'does not answer --version as nats-server does'],
    ] as const) {
      const resolving = resolveNatsServer({ env: { ...env, CALLBOARD_NATS_SERVER: path }, fetchers: {} });
      await expect(resolving).rejects.toThrow(NoNatsServer);
      await expect(resolving).rejects.toThrow(reason);
    }
  });

  it('takes the first on PATH that is new enough and passes over an older one', async () => {
    await putServer(join(folder, 'old', 'nats-server'), '2.13.9');
    const fit = await putServer(join(folder, 'bin', 'nats-server'), '2.14.0');
    const found = await resolveNatsServer({
      env: { ...env, PATH: `${join(folder, 'old')}:${env['PATH']}` },
      fetchers: {},
    });
    expect(found).toEqual({ path: fit, version: '2.14.0', from: 'PATH' });
  });

  it('takes the newest in the cache without fetching', async () => {
    await putServer(cached('2.14.2'), '2.14.2');
    await putServer(cached('2.14.10'), '2.14.10');
    const found = await resolveNatsServer({ env, fetchers: { never: fails('must not be asked') } });
    expect(found).toEqual({ path: cached('2.14.10'), version: '2.14.10', from: 'cache' });
  });

  it('replaces one in the cache that does not run', async () => {
    await putServer(cached('2.15.1'), '2.15.1');
    await writeFile(cached('2.15.1'), 'half a binary');
    const found = await resolveNatsServer({ env, fetchers: { net: fetches('2.15.1') } });
    expect(found).toEqual({ path: cached('2.15.1'), version: '2.15.1', from: 'net' });
    await expect(versionOf(found.path)).resolves.toBe('2.15.1');
  });
});

describe('fetching a nats-server', () => {
  it('goes on to the next way when one fails, says so, and keeps the result', async () => {
    const said: string[] = [];
    const fetchers = { first: fails('no network'), second: fetches('2.15.1'), third: fails('must not be asked') };
    const found = await resolveNatsServer({ env, fetchers, onProgress: (message) => said.push(message) });
    expect(found).toEqual({ path: cached('2.15.1'), version: '2.15.1', from: 'second' });
    expect(said).toContain('no nats-server by first: no network');
    await expect(resolveNatsServer({ env, fetchers: {} })).resolves.toMatchObject({ from: 'cache' });
  });

  it('does not keep what is too old or does not run', async () => {
    const junk: Fetcher = (into) => writeFile(join(into, 'nats-server'), 'not a program');
    await expect(resolveNatsServer({ env, fetchers: { old: fetches('2.13.0'), junk } })).rejects.toThrow(
      /old: it has only 2\.13\.0[^]*junk: /,
    );
    await expect(readdir(join(folder, 'cache', 'nats-server'))).resolves.toEqual([]);
  });

  it('reports everything that was tried and the way out when nothing works', async () => {
    await putServer(join(folder, 'bin', 'nats-server'), '2.9.10');
    const resolving = resolveNatsServer({ env, fetchers: { archive: fails('no network'), go: fails('no compiler') } });
    await expect(resolving).rejects.toThrow(
      /2\.9\.10, older than[^]*archive: no network[^]*go: no compiler[^]*CALLBOARD_NATS_SERVER=/,
    );
  });

  it('gives two that resolve at once the same whole binary', async () => {
    let arrived = 0;
    let bothArrived!: () => void;
    const meeting = new Promise<void>((resolve) => (bothArrived = resolve));
    const together: Fetcher = async (into) => {
      if (++arrived === 2) bothArrived();
      await meeting;
      await putServer(join(into, 'nats-server'), '2.15.1');
    };
    const found = await Promise.all([1, 2].map(() => resolveNatsServer({ env, fetchers: { together } })));
    expect(found.map(({ path }) => path)).toEqual([cached('2.15.1'), cached('2.15.1')]);
    await expect(versionOf(cached('2.15.1'))).resolves.toBe('2.15.1');
    await expect(readdir(join(folder, 'cache', 'nats-server'))).resolves.toEqual(['2.15.1']);
  });
});
