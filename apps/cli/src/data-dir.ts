/**
 * Everything that a stack keeps on disk, in one folder that one supervisor holds at a time.
 *
 *   callboard.lock   who holds the folder, and the processes that it started
 *   secrets.json     the token and the keys that the apps share; made once
 *   tokens.json      what the front end knows of tokens: hashes
 *   ready.json       how to reach the stack, while it is ready
 *   nats/            nats-server's keys, credentials, configuration and store
 *   logs/            one log per process
 *   demo/            what the demo actions write
 *   backstage/       the plug-in that the Backstage beside the stack runs, and how the ingestors reach its bus
 */
import { link, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { writeSecret } from '@callboard/nats-server';
import { Failure } from './failure.js';
import { endProcess, identify, isRunning, type ProcessIdentity } from './process-identity.js';

const LOCK = 'callboard.lock';
const SECRETS = 'secrets.json';
/** How long a process that a dead supervisor left behind may take to end in order. */
const LEFTOVER_GRACE_MS = 10_000;

interface Lock {
  holder: ProcessIdentity;
  children: ProcessIdentity[];
}

export function pathsOf(dataDir: string) {
  const path = resolve(dataDir);
  return {
    path,
    lock: join(path, LOCK),
    secrets: join(path, SECRETS),
    tokens: join(path, 'tokens.json'),
    ready: join(path, 'ready.json'),
    nats: join(path, 'nats'),
    logs: join(path, 'logs'),
    demo: join(path, 'demo'),
    backstage: join(path, 'backstage'),
    ledger: join(path, 'ledger'),
  };
}

export class DataDir {
  readonly #children = new Map<string, ProcessIdentity>();
  #writing: Promise<void> = Promise.resolve();

  private constructor(readonly paths: ReturnType<typeof pathsOf>) {}

  /**
   * Takes the folder for this process, ends what a supervisor that was killed left running, and empties the folder when asked to.
   * @throws Failure when another supervisor holds it, or when it is to be emptied and is not ours.
   */
  static async open(path: string, options: { fresh: boolean }): Promise<DataDir> {
    const dir = new DataDir(pathsOf(path));
    const { paths } = dir;
    await mkdir(paths.path, { recursive: true, mode: 0o700 }).catch((error: Error) => {
      throw new Failure(`The data dir cannot be made: ${error.message}. Choose another with --data-dir.`);
    });
    const content = await readdir(paths.path);
    if (options.fresh && content.length > 0 && !content.includes(LOCK) && !content.includes(SECRETS)) {
      throw new Failure(
        `--fresh would delete everything in ${paths.path}, and that is no data dir of Callboard. Empty it yourself, or choose another with --data-dir.`,
      );
    }
    for (const leftover of await dir.#lock()) await endProcess(leftover, LEFTOVER_GRACE_MS);
    if (options.fresh) {
      for (const name of await readdir(paths.path)) {
        if (name !== LOCK) await rm(join(paths.path, name), { recursive: true, force: true });
      }
    }
    await rm(paths.ready, { force: true });
    for (const folder of [paths.nats, paths.logs, paths.demo]) await mkdir(folder, { recursive: true, mode: 0o700 });
    return dir;
  }

  /** Notes a process, so that the next supervisor can end it if this one is killed. */
  noteChild(instance: string, pid: number): void {
    this.#children.set(instance, identify(pid));
    // On a full disk the file stays as it was: the next process that is noted writes it again.
    this.#writing = this.#writing.then(() => writeSecret(this.paths.lock, this.#lockText()).catch(() => undefined));
  }

  /** Lets the folder go. */
  async close(): Promise<void> {
    await this.#writing;
    await rm(this.paths.ready, { force: true });
    await rm(this.paths.lock, { force: true });
  }

  /** Returns the processes that a dead holder has left. */
  async #lock(): Promise<ProcessIdentity[]> {
    const { lock } = this.paths;
    const mine = `${lock}.${process.pid}`;
    await writeFile(mine, this.#lockText(), { mode: 0o600 });
    try {
      for (let leftovers: ProcessIdentity[] = []; ;) {
        try {
          await link(mine, lock);
          return leftovers;
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
        const held = await readLock(lock);
        if (held && isRunning(held.holder)) {
          throw new Failure(
            `Another supervisor (process ${held.holder.pid}) holds ${this.paths.path}. Stop it, or choose another folder with --data-dir.`,
          );
        }
        leftovers = held?.children ?? leftovers;
        // Of two that find a dead holder, one moves its lock away and the other one fails here and looks again.
        await rename(lock, `${mine}.old`).catch(() => undefined);
      }
    } finally {
      await rm(mine, { force: true });
      await rm(`${mine}.old`, { force: true });
    }
  }

  #lockText(): string {
    const lock: Lock = { holder: identify(process.pid), children: [...this.#children.values()] };
    return JSON.stringify(lock);
  }
}

async function readLock(path: string): Promise<Lock | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Lock;
  } catch {
    return undefined;
  }
}
