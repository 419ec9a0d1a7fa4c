import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RELEASE, fetchReleaseArchive, type Release } from './release-archive.js';
import { runCommand } from './run-command.js';
import { versionOf } from './version.js';

const NAME = 'nats-server-v2.99.0-linux-amd64';
let folder: string;
let page: Server;
let archive: Buffer;
let release: Release;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-release-'));
  await mkdir(join(folder, NAME));
  await writeFile(join(folder, NAME, 'nats-server'), '#!/bin/sh\necho "nats-server: v2.99.0"\n');
  await chmod(join(folder, NAME, 'nats-server'), 0o755);
  await runCommand('tar', ['-czf', 'archive', NAME], { cwd: folder, timeoutMs: 10_000 });
  archive = await readFile(join(folder, 'archive'));
  page = createServer((request, response) => {
    const known = request.url === `/${NAME}.tar.gz`;
    response.writeHead(known ? 200 : 404).end(known ? archive : '');
  }).listen(0, '127.0.0.1');
  await once(page, 'listening');
  release = {
    version: '2.99.0',
    url: `http://127.0.0.1:${(page.address() as AddressInfo).port}`,
    sha256: { 'linux-amd64': createHash('sha256').update(archive).digest('hex') },
  };
});

afterAll(async () => {
  page.closeAllConnections();
  page.close();
  await rm(folder, { recursive: true, force: true });
});

const empty = () => mkdtemp(join(folder, 'into-'));

describe('the release archive', () => {
  it('is unpacked when its checksum is the pinned one', async () => {
    const into = await empty();
    await fetchReleaseArchive(into, () => undefined, release, 'linux-amd64');
    await expect(versionOf(join(into, 'nats-server'))).resolves.toBe('2.99.0');
  });

  it('is refused, and never unpacked, when its checksum is another', async () => {
    const into = await empty();
    const other = { ...release, sha256: { 'linux-amd64': 'f'.repeat(64) } };
    await expect(fetchReleaseArchive(into, () => undefined, other, 'linux-amd64')).rejects.toThrow(
      /has SHA-256 [0-9a-f]{64}, not the pinned f{64}/,
    );
    await expect(versionOf(join(into, 'nats-server'))).rejects.toThrow();
  });

  it('is not asked for on a platform without a pinned checksum', async () => {
    await expect(fetchReleaseArchive(await empty(), () => undefined, release, 'sunos-sparc')).rejects.toThrow(
      'no checksum is pinned for sunos-sparc',
    );
  });

  it('names the address and the answer when the page does not have it', async () => {
    const moved = { ...release, version: '2.98.0' };
    await expect(fetchReleaseArchive(await empty(), () => undefined, moved, 'linux-amd64')).rejects.toThrow(
      /nats-server-v2\.98\.0-linux-amd64\.tar\.gz: the server answered 404/,
    );
  });

  it('is pinned for the platforms that we promise', () => {
    expect(Object.keys(RELEASE.sha256)).toEqual(['linux-amd64', 'linux-arm64', 'darwin-amd64', 'darwin-arm64']);
    for (const pin of Object.values(RELEASE.sha256)) expect(pin).toMatch(/^[0-9a-f]{64}$/);
  });
});
