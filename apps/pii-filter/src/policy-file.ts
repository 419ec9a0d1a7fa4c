/**
 * The redaction policies of a file, read again whenever it changes, and at SIGHUP. One that cannot be read or is not valid changes
 * nothing: what was valid before stays in force, and the mistake is told with its place.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { unwatchFile, watchFile } from 'node:fs';
import { PolicyError, parsePolicies, type PolicySet } from '@callboard/redaction';

export interface Policies {
  /** Absent without a file: all detectors for every source. */
  policies?: PolicySet;
  /** SHA-256 of the file, in hexadecimal digits. */
  digest: string;
}

export interface PolicyEvents {
  changed(policies: Policies): void;
  /** What is wrong with the file, each with its place; policies hold nothing of an event. */
  broken(problems: readonly string[]): void;
}

/** Also follows a file that is replaced through a link, as those of a mounted ConfigMap are. */
const LOOK_EVERY_MS = 1_000;

export class PolicyFile {
  readonly #again = () => void this.#read();
  #current: Policies;
  #broken = false;
  #reading: Promise<void> = Promise.resolve();

  private constructor(
    private readonly path: string | undefined,
    first: Policies,
    private readonly events: PolicyEvents,
  ) {
    this.#current = first;
  }

  /** @throws PolicyError, or the error of reading it, when the file cannot be used as it is now. */
  static async open(path: string | undefined, events: PolicyEvents): Promise<PolicyFile> {
    const first = path === undefined ? { digest: 'built-in' } : parse(await readFile(path, 'utf8'));
    const file = new PolicyFile(path, first, events);
    if (path !== undefined) {
      watchFile(path, { interval: LOOK_EVERY_MS, persistent: false }, file.#again);
      process.on('SIGHUP', file.#again);
    }
    return file;
  }

  get current(): Policies {
    return this.#current;
  }

  /** Is the file as it is now not the one in force? */
  get broken(): boolean {
    return this.#broken;
  }

  close(): void {
    if (this.path === undefined) return;
    unwatchFile(this.path, this.#again);
    process.off('SIGHUP', this.#again);
  }

  #read(): Promise<void> {
    return (this.#reading = this.#reading.then(() => this.#readNow()));
  }

  async #readNow(): Promise<void> {
    try {
      const read = parse(await readFile(this.path!, 'utf8'));
      this.#broken = false;
      if (read.digest === this.#current.digest) return;
      this.#current = read;
      this.events.changed(read);
    } catch (error) {
      this.#broken = true;
      this.events.broken(error instanceof PolicyError ? error.problems : [(error as Error).message]);
    }
  }
}

function parse(text: string): Policies {
  return { policies: parsePolicies(text), digest: createHash('sha256').update(text).digest('hex') };
}
