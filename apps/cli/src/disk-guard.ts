/**
 * Watches the disk that nats-server stores on.
 *
 * What nats-server (2.15) does on a full disk: the stream that meets it answers no publish any more, and does not recover when there is
 * room again, until the server is started anew; what it had acknowledged is there then. So there are two steps. While less than the
 * reserve is free, front ends refuse new calls: what was accepted has the reserve to end in. When a stream has met the end all
 * the same (somebody else filled the disk), the server is started anew as soon as the reserve is free.
 *
 * Not seen: a quota, which a file system does not tell of. Then the server is started anew at once, and again when it fails again.
 */
import { statfs } from 'node:fs/promises';

export interface DiskGuardHooks {
  /** One line for the person at the terminal. */
  say(line: string): void;
  /** Less than the reserve is free, or enough again. */
  onScarce(scarce: boolean): void;
  /** nats-server has to be started anew, and there is room for it. */
  restart(): void;
}

const POLL_MS = 500;
/** "Critical write error" of a stream, a consumer or the meta data. */
const BROKEN = /critical write error/i;
const MIB = 1024 ** 2;

export class DiskGuard {
  #timer: NodeJS.Timeout | undefined;
  #scarce = false;
  /** nats-server has met the end of the disk and not been started since. */
  #broken = false;

  constructor(
    private readonly folder: string,
    private readonly reserveBytes: number,
    private readonly hooks: DiskGuardHooks,
  ) {}

  get scarce(): boolean {
    return this.#scarce;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#look(), POLL_MS);
    void this.#look();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** A line of nats-server's log. */
  heard(line: string): void {
    if (line.includes('Server is ready')) this.#broken = false;
    if (this.#broken || !BROKEN.test(line)) return;
    this.#broken = true;
    this.hooks.say('nats-server cannot write to its disk; it is started anew as soon as there is room');
  }

  async #look(): Promise<void> {
    const free = await statfs(this.folder).then(
      // A file system that says nothing of its size is not thought to be full.
      ({ blocks, bavail, bsize }) => (blocks > 0 ? bavail * bsize : undefined),
      () => undefined,
    );
    if (free === undefined || !this.#timer) return;
    const scarce = free < this.reserveBytes;
    if (scarce !== this.#scarce) {
      this.#scarce = scarce;
      this.hooks.say(
        scarce
          ? `only ${Math.floor(free / MIB)} MiB are free on the disk of ${this.folder}: new calls are refused below ${this.reserveBytes / MIB} MiB`
          : `there is room again on the disk of ${this.folder}: calls are accepted`,
      );
      this.hooks.onScarce(scarce);
    }
    if (this.#broken && !scarce) {
      this.#broken = false;
      this.hooks.restart();
    }
  }
}
