import { createWriteStream, openSync, renameSync, statSync, type WriteStream } from 'node:fs';
import { once } from 'node:events';

const MAX_BYTES = 10 * 1024 ** 2;

/** The log of one process. When it is full it becomes `NAME.1`, in place of the one before, and a new one begins. */
export class LogFile {
  #stream: WriteStream;
  #bytes: number;

  constructor(
    readonly path: string,
    private readonly maxBytes = MAX_BYTES,
  ) {
    this.#bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    this.#stream = open(path);
  }

  /** Returns false when the disk cannot keep up: wait for `drained` then. */
  write(line: string): boolean {
    if (this.#stream.errored) this.#reopen();
    if (this.#bytes > this.maxBytes) this.#rotate();
    this.#bytes += Buffer.byteLength(line) + 1;
    return this.#stream.write(`${line}\n`);
  }

  async drained(): Promise<void> {
    if (this.#stream.writableNeedDrain) await once(this.#stream, 'drain').catch(() => undefined);
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.#stream.end(resolve));
  }

  /** The disk was full; perhaps it no longer is. */
  #reopen(): void {
    try {
      this.#stream = open(this.path);
    } catch {
      // As long as it cannot be opened, lines are lost.
    }
  }

  #rotate(): void {
    this.#bytes = 0;
    const full = this.#stream;
    renameSync(this.path, `${this.path}.1`);
    this.#stream = open(this.path);
    // What is still on its way to the full one arrives there, under its new name.
    full.end();
  }
}

function open(path: string): WriteStream {
  const fd = openSync(path, 'a', 0o600);
  // A disk that is full or gone costs the log, and not the processes that are logged.
  return createWriteStream(path, { fd }).on('error', () => undefined);
}
