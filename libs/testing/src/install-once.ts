/** Packages and tools that a spec needs and that are no part of the workspaces, installed the first time that they are needed. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const TELL_EVERY_MS = 5_000;

/** Installs a folder's packages exactly as its lock file says; no install script runs. Does nothing when they are there. */
export async function installLocked(folder: string): Promise<void> {
  const lock = await readFile(join(folder, 'package-lock.json'), 'utf8');
  const installed = join(folder, 'node_modules', '.installed-package-lock.json');
  if ((await readFile(installed, 'utf8').catch(() => undefined)) === lock) return;
  await telling(`installing the packages of ${folder}`, () =>
    promisify(execFile)('npm', ['ci', '--ignore-scripts', '--loglevel=error'], { cwd: folder }),
  );
  await writeFile(installed, lock);
}

/** Says on stderr what is going on for as long as it goes on. */
export async function telling<T>(what: string, work: () => Promise<T>): Promise<T> {
  const startedAt = Date.now();
  const tell = () => process.stderr.write(`${what}: ${Math.round((Date.now() - startedAt) / 1000)} s\n`);
  tell();
  const ticker = setInterval(tell, TELL_EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(ticker);
  }
}
