/**
 * Finds the stock `nats` CLI, or compiles it once into our cache. Callboard does not need it; operators and the test of the runbook
 * do.
 */
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { NATS_CLI, installWithGo } from './go-install.js';
import type { OnProgress } from './progress.js';
import { runCommand } from './run-command.js';
import { compareVersions } from './version.js';

/** @throws Error with everything that was tried when there is none and none can be compiled. */
export async function resolveNatsCli(
  onProgress: OnProgress = () => undefined,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const version = NATS_CLI.version.slice(1);
  const home = join(env['CALLBOARD_CACHE_DIR'] || join(homedir(), '.cache', 'callboard'), 'nats-cli');
  const cached = join(home, version, NATS_CLI.name);
  const tried: string[] = [];
  for (const path of [...folders(env).map((folder) => join(folder, NATS_CLI.name)), cached]) {
    if (!(await exists(path))) continue;
    const found = await versionOf(path);
    if (found && compareVersions(found, version) >= 0) return path;
    tried.push(`${path} is ${found ?? 'no nats CLI'}, and ${version} is needed`);
  }
  await mkdir(home, { recursive: true });
  const work = await mkdtemp(join(home, 'fetching-'));
  try {
    await installWithGo(NATS_CLI, work, onProgress);
    await rm(join(home, version), { recursive: true, force: true });
    // Of two that compile at once the second one fails here, and finds the first one's.
    await rename(work, join(home, version)).catch(() => undefined);
    return cached;
  } catch (error) {
    tried.push(`go install: ${error instanceof Error ? error.message : String(error)}`);
    throw new Error(`there is no nats CLI ${version}: ${tried.join('; ')}`, { cause: error });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function folders(env: NodeJS.ProcessEnv): string[] {
  return (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
}

async function versionOf(path: string): Promise<string | undefined> {
  const text = await runCommand(path, ['--version'], { timeoutMs: 10_000 }).catch(() => '');
  return /^v?(\d+\.\d+\.\d+)/m.exec(text)?.[1];
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
