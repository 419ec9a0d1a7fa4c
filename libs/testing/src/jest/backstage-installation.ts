/**
 * The installation of the Backstages beside the specs that need none: packages come over the network, and SQLite may have to be compiled. A spec
 * that needs one waits for it, by the lock of the installation, and shows what went wrong.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const INSTALL = fileURLToPath(new URL('../../../backstage-server/dist/install-main.js', import.meta.url));

let installing: ChildProcess | undefined;

/** One after the other. */
export function beginBackstageInstallation(fixtures = ['plain', 'scaffolder']): void {
  const [fixture, ...later] = fixtures;
  if (fixture === undefined) return;
  // A group of its own, so that npm ends with it.
  installing = spawn(process.execPath, [INSTALL, fixture], { stdio: 'ignore', detached: true });
  installing.once('close', (code) => {
    installing = undefined;
    if (code === 0) beginBackstageInstallation(later);
  });
}

/** What is not done is left: the next one begins anew. */
export function endBackstageInstallation(): void {
  if (installing?.pid === undefined) return;
  installing.removeAllListeners('close');
  try {
    process.kill(-installing.pid, 'SIGTERM');
  } catch {
    // It has ended in this moment.
  }
}
