/**
 * The packages of a real Backstage, exactly as the lock file of its fixture says, installed once for all clones and processes
 * of this user: in the cache, under a name made of the lock file and of what native code depends on. What is there is whole, for it
 * appears by one rename. They are no part of the workspaces: some nine hundred packages that only those install who run Backstage.
 */
import { createHash } from 'node:crypto';
import { access, copyFile, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { runCommand, whileReporting, type OnProgress } from '@callboard/nats-server';
import { PLAIN, nodeFor, type Fixture } from './fixture.js';
import { withLock } from './install-lock.js';

const MANIFESTS = ['package.json', 'package-lock.json', '.npmrc'];
const INSTALL_MS = 900_000;

export class NoBackstage extends Error {
  override readonly name = 'NoBackstage';
}

/**
 * Returns the folder `node_modules`. The first time takes a minute or two.
 * @throws NoBackstage when it cannot be installed, with npm's last words and the way out.
 */
export async function installBackstage(
  onProgress: OnProgress = () => undefined,
  fixture: Fixture = PLAIN,
): Promise<string> {
  const cache = join(process.env['CALLBOARD_CACHE_DIR'] || join(homedir(), '.cache', 'callboard'), fixture.name);
  const key = createHash('sha256').update(await readFile(join(fixture.folder, 'package-lock.json')));
  key.update([process.platform, process.arch, process.versions.modules].join());
  const home = join(cache, key.digest('hex').slice(0, 12));
  const modules = join(home, 'node_modules');
  const isThere = () =>
    stat(modules).then(
      () => true,
      () => false,
    );
  if (await isThere()) return modules;
  await mkdir(cache, { recursive: true });
  await withLock(`${home}.lock`, async () => {
    if (!(await isThere())) await installInto(home, fixture, onProgress);
  });
  return modules;
}

async function installInto(home: string, fixture: Fixture, onProgress: OnProgress): Promise<void> {
  const work = `${home}.installing`;
  // What one that was killed has left.
  await rm(work, { recursive: true, force: true });
  await mkdir(work);
  const npm = (args: string[], env = process.env) =>
    runCommand('npm', [...args, '--loglevel=error'], { cwd: work, timeoutMs: INSTALL_MS, env });
  try {
    for (const name of MANIFESTS) await copyFile(join(fixture.folder, name), join(work, name));
    await whileReporting(onProgress, 'installing the packages of Backstage', npm(['ci', '--ignore-scripts']));
    // The one install script that has to run: it fetches SQLite for the Node that Backstage runs on, or else compiles it.
    const sqlite = npm(['rebuild', 'better-sqlite3'], await environmentOf(fixture, join(work, 'node_modules')));
    await whileReporting(onProgress, 'installing SQLite for Backstage, which may compile it', sqlite);
    await rename(work, home);
  } catch (error) {
    throw new NoBackstage(
      `Backstage cannot be installed: ${error instanceof Error ? error.message : String(error)}. ` +
        'It needs the npm registry, and a C++ compiler with Python where no ready-made better-sqlite3 can be fetched.',
      { cause: error },
    );
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** In which an install script builds for the Node of the fixture, with the headers that came with it. */
async function environmentOf(fixture: Fixture, modules: string): Promise<NodeJS.ProcessEnv> {
  const node = nodeFor(fixture, modules);
  if (node === process.execPath) return process.env;
  await access(node).catch((cause: unknown) => {
    throw new Error(`npm has no Node ${fixture.node} for this platform: run this with Node ${fixture.node}`, { cause });
  });
  const bin = dirname(node);
  return {
    ...process.env,
    PATH: [bin, process.env['PATH']].filter(Boolean).join(delimiter),
    npm_config_nodedir: dirname(bin),
  };
}
