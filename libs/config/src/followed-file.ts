/**
 * What a file says, read again whenever it changes, and at SIGHUP. A file that cannot be used changes nothing: what it said before stays in force, and
 * `broken` says so until it is mended. Each reading is told (`onFileReading`), once for each content.
 */
import { createHash } from 'node:crypto';
import { unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { forgetFile, tellFileReading, type FileReading } from './file-readings.js';

export interface FollowedFileEvents<T> {
  /** Something else is in force now. */
  changed(current: T): void;
  /** What is there now cannot be used. */
  broken(error: Error): void;
}

/** Also follows a file that is replaced through a link, as those of a mounted ConfigMap are. */
const LOOK_EVERY_MS = 1_000;

export class FollowedFile<T> {
  readonly #again = () => void this.#read();
  #broken = false;
  /** Digest of what was told of last. */
  #told: string | undefined;
  #reading: Promise<void> = Promise.resolve();

  private constructor(
    private readonly path: string,
    private readonly read: () => Promise<{ text: string; says: T }>,
    private readonly events: FollowedFileEvents<T>,
    private inForce: { text: string; says: T },
  ) {}

  /**
   * @param path empty for what is in no file: it is read again at SIGHUP alone
   * @param read the text, and what it says
   * @throws what `read` throws, when the file cannot be used as it is now
   */
  static async open<T>(
    path: string,
    read: () => Promise<{ text: string; says: T }>,
    events: FollowedFileEvents<T>,
  ): Promise<FollowedFile<T>> {
    const file = new FollowedFile(path, read, events, await read());
    await file.#tell('read');
    if (path !== '') watchFile(path, { interval: LOOK_EVERY_MS, persistent: false }, file.#again);
    process.on('SIGHUP', file.#again);
    return file;
  }

  get current(): T {
    return this.inForce.says;
  }

  /** Is what is in the file now not in force? */
  get broken(): boolean {
    return this.#broken;
  }

  close(): void {
    forgetFile(this);
    if (this.path !== '') unwatchFile(this.path, this.#again);
    process.off('SIGHUP', this.#again);
  }

  #read(): Promise<void> {
    return (this.#reading = this.#reading.then(() => this.#readNow()));
  }

  async #readNow(): Promise<void> {
    try {
      const read = await this.read();
      const isNews = read.text !== this.inForce.text;
      await this.#tell('reloaded', isNews || this.#broken);
      this.#broken = false;
      if (!isNews) return;
      this.inForce = read;
      this.events.changed(read.says);
    } catch (error) {
      await this.#tell('refused', !this.#broken);
      this.#broken = true;
      this.events.broken(error as Error);
    }
  }

  /** Of the file as it is a moment after it was read: one that was written meanwhile is read again, and told again. */
  async #tell(what: FileReading['what'], isNews = true): Promise<void> {
    if (this.path === '') return;
    const content = await readFile(this.path).catch(() => undefined);
    const digest = content && createHash('sha256').update(content).digest('hex');
    if (!isNews && digest === this.#told) return;
    this.#told = digest;
    tellFileReading(this, { file: this.path, what, ...(digest !== undefined && { digest }) });
  }
}
