/**
 * nats-server from the project's own release page.
 *
 * The archive's SHA-256 is pinned here, copied from the SHA256SUMS that the release publishes, so neither the network nor the page
 * is trusted. A platform without a pin has no release archive for us. The pinned release is one that is fit, not the newest:
 * moving it means replacing version and checksums together.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { OnProgress } from './progress.js';
import { runCommand } from './run-command.js';

export interface Release {
  version: string;
  /** Where the release's files are. */
  url: string;
  /** SHA-256 of the archive, by platform. */
  sha256: Partial<Record<string, string>>;
}

export const RELEASE: Release = {
  version: '2.15.0',
  url: 'https://github.com/nats-io/nats-server/releases/download/v2.15.0',
  sha256: {
    'linux-amd64': '5d2c51caca950333aba84911df7d377f826f3a59ec36061c6539105084f65c92',
    'linux-arm64': 'cdc208f5a3f42963a52b6ab06ef65626bb870315dc936e26ba571780c6351112',
    'darwin-amd64': '5bd8b59ca5bf93fab3da2c5843cf564cd6e2e291e22ae3b861746e7ebe259b95',
    'darwin-arm64': 'e1c4e22d70bd44abfa0bcb3c16f7cf0c66f648c2e728c58924e8a1ce88913cc8',
  },
};

/** A download that brings nothing for this long has no network. */
const STALL_MS = 10_000;
const MAX_ARCHIVE_BYTES = 128 * 1024 ** 2;

/** Platform in the words of the release page, `linux-amd64`. */
export function releasePlatform(platform: string = process.platform, arch: string = process.arch): string {
  return `${platform}-${arch === 'x64' ? 'amd64' : arch}`;
}

/** Puts `nats-server` into the folder. Throws when there is no archive for this platform, no network, or another checksum. */
export async function fetchReleaseArchive(
  into: string,
  onProgress: OnProgress,
  release: Release = RELEASE,
  platform: string = releasePlatform(),
): Promise<void> {
  const expected = release.sha256[platform];
  if (!expected) throw new Error(`no checksum is pinned for ${platform}`);
  const name = `nats-server-v${release.version}-${platform}`;
  const archive = join(into, `${name}.tar.gz`);
  const actual = await download(`${release.url}/${name}.tar.gz`, archive, onProgress);
  if (actual !== expected) {
    throw new Error(`${name}.tar.gz has SHA-256 ${actual}, not the pinned ${expected}: it was thrown away`);
  }
  await runCommand('tar', ['-xzf', archive, '-C', into, '--strip-components=1', `${name}/nats-server`], {
    timeoutMs: 60_000,
  });
}

/** Streams a file to disk and returns its SHA-256. */
async function download(url: string, path: string, onProgress: OnProgress): Promise<string> {
  const stalled = new AbortController();
  const timer = setTimeout(() => stalled.abort(), STALL_MS);
  const hash = createHash('sha256');
  const file = await open(path, 'wx');
  onProgress(`downloading ${url}`);
  try {
    const response = await fetch(url, { signal: stalled.signal });
    if (!response.ok || !response.body) throw new Error(`the server answered ${response.status}`);
    const total = Number(response.headers.get('content-length'));
    let received = 0;
    let announced = 0;
    for await (const chunk of Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0])) {
      timer.refresh();
      const bytes = chunk as Uint8Array;
      received += bytes.byteLength;
      if (received > MAX_ARCHIVE_BYTES) throw new Error('the archive is larger than any nats-server');
      hash.update(bytes);
      await file.write(bytes);
      const quarter = Math.floor((received / total) * 4);
      if (quarter > announced) onProgress(`downloading ${url}: ${(announced = quarter) * 25} %`);
    }
  } catch (error) {
    if (stalled.signal.aborted) throw new Error(`nothing came from ${url} for ${STALL_MS / 1000} s`, { cause: error });
    throw new Error(`${url}: ${reason(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
    await file.close();
  }
  return hash.digest('hex');
}

/** `fetch` hides why it failed in its error's cause. */
function reason(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return cause instanceof Error ? cause.message : String(cause);
}
