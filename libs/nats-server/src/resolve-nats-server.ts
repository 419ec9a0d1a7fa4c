/**
 * Finds a nats-server that is new enough, or fetches one, so that a machine with nothing but Node can run Callboard.
 *
 * Tried in this order: the path that the user names, PATH, our cache, and then what fills the cache: the release archive, the
 * distribution's newer suite, Go. What is fetched is verified by who published it (a pinned checksum, apt's signatures, Go's
 * checksum database), must answer `--version` with a fit one, and only then appears in the cache, under its version, by one
 * rename. So two processes that resolve at once may both fetch, but neither sees half a binary.
 */
import { constants } from 'node:fs';
import { access, chmod, mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { NATS_SERVER_PACKAGE, fetchDebianPackage } from './debian-package.js';
import { NATS_SERVER, installWithGo } from './go-install.js';
import type { OnProgress } from './progress.js';
import { fetchReleaseArchive } from './release-archive.js';
import { MINIMUM_VERSION, compareVersions, isFit, versionOf } from './version.js';

export interface NatsServerBinary {
  path: string;
  version: string;
  /** Which step had it, in words. */
  from: string;
}

/** Puts an executable `nats-server` into a folder, or throws with the reason why it cannot. */
export type Fetcher = (into: string, onProgress: OnProgress) => Promise<void>;

export interface ResolveOptions {
  onProgress?: OnProgress;
  env?: NodeJS.ProcessEnv;
  fetchers?: Record<string, Fetcher>;
}

const FETCHERS: Record<string, Fetcher> = {
  'release archive': fetchReleaseArchive,
  'Debian package': (into, onProgress) => fetchDebianPackage(NATS_SERVER_PACKAGE, into, onProgress),
  'go install': (into, onProgress) => installWithGo(NATS_SERVER, into, onProgress),
};

/** A fetch that began this long ago was interrupted. */
const ABANDONED_MS = 3_600_000;

export class NoNatsServer extends Error {
  override readonly name = 'NoNatsServer';
}

/**
 * @throws NoNatsServer when there is none and none can be fetched: everything that was tried and the way out; or when the path
 * that the user named is unfit, for then nothing else is tried.
 */
export async function resolveNatsServer(options: ResolveOptions = {}): Promise<NatsServerBinary> {
  const { onProgress = () => undefined, env = process.env, fetchers = FETCHERS } = options;
  const named = env['CALLBOARD_NATS_SERVER'];
  if (named) return fitOrThrow(named);

  const tried: string[] = [];
  for (const candidate of await onPath(env['PATH'] ?? '')) {
    const found = await examine(candidate, 'PATH');
    if (typeof found !== 'string') return found;
    tried.push(`PATH: ${found}`);
  }
  if (tried.length === 0) tried.push('PATH: no nats-server');

  const cache = join(env['CALLBOARD_CACHE_DIR'] || join(homedir(), '.cache', 'callboard'), 'nats-server');
  for (const version of await versionsIn(cache)) {
    const found = await examine(join(cache, version, 'nats-server'), 'cache');
    if (typeof found !== 'string') return found;
    tried.push(`cache: ${found}, and was removed`);
    await rm(join(cache, version), { recursive: true, force: true });
  }

  for (const [name, fetcher] of Object.entries(fetchers)) {
    try {
      return await fetchInto(cache, name, fetcher, onProgress);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      onProgress(`no nats-server by ${name}: ${reason}`);
      tried.push(`${name}: ${reason}`);
    }
  }
  throw new NoNatsServer(
    `No nats-server ${MINIMUM_VERSION} or newer was found, and none could be fetched. Tried:\n` +
      `${tried.map((line) => `  ${line}`).join('\n')}\n` +
      'Install one (https://github.com/nats-io/nats-server/releases) and put it on PATH, ' +
      'or name it: CALLBOARD_NATS_SERVER=/path/to/nats-server',
  );
}

async function fitOrThrow(path: string): Promise<NatsServerBinary> {
  const found = await examine(path, 'CALLBOARD_NATS_SERVER');
  if (typeof found !== 'string') return found;
  throw new NoNatsServer(
    `CALLBOARD_NATS_SERVER does not name a fit nats-server: ${found}. Correct it, or unset it to have one found.`,
  );
}

/** The binary, or why it is unfit. */
async function examine(path: string, from: string): Promise<NatsServerBinary | string> {
  try {
    const version = await versionOf(path);
    return isFit(version) ? { path, version, from } : `${path} is ${version}, older than ${MINIMUM_VERSION}`;
  } catch (error) {
    return `${path} does not run: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function onPath(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const folder of new Set(path.split(delimiter).filter((name) => name !== ''))) {
    const candidate = join(folder, 'nats-server');
    const executable = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (executable) found.push(candidate);
  }
  return found;
}

/** Newest first. */
async function versionsIn(cache: string): Promise<string[]> {
  const names = await readdir(cache).catch(() => []);
  return names.filter((name) => /^\d+\.\d+\.\d+$/.test(name)).sort((a, b) => compareVersions(b, a));
}

async function fetchInto(
  cache: string,
  name: string,
  fetcher: Fetcher,
  onProgress: OnProgress,
): Promise<NatsServerBinary> {
  await mkdir(cache, { recursive: true });
  await removeAbandoned(cache);
  const work = await mkdtemp(join(cache, 'fetching-'));
  try {
    await fetcher(work, onProgress);
    const fetched = join(work, 'nats-server');
    await chmod(fetched, 0o755);
    const version = await versionOf(fetched);
    if (!isFit(version)) throw new Error(`it has only ${version}, and ${MINIMUM_VERSION} is needed`);
    await mkdir(join(work, version));
    await rename(fetched, join(work, version, 'nats-server'));
    const home = join(cache, version);
    try {
      await rename(join(work, version), home);
    } catch (error) {
      // Somebody else was first; what they put there went through the same checks.
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    }
    onProgress(`nats-server ${version} is in ${home}`);
    return { path: join(home, 'nats-server'), version, from: name };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function removeAbandoned(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith('fetching-')) continue;
    const folder = join(cache, name);
    const age = Date.now() - (await stat(folder).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs;
    if (age > ABANDONED_MS) await rm(folder, { recursive: true, force: true });
  }
}
