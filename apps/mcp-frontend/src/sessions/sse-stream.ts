/**
 * One HTTP response that carries server-sent events. It knows nothing of what it sends; when the client is gone, or reads so slowly
 * that too much piles up, it closes, and the client may come back for the rest.
 */
import type { ServerResponse } from 'node:http';
import { untilRead } from '../until-read.js';

export interface SseOptions {
  keepAliveMs: number;
  /** Bytes that may wait for a slow client. */
  maxBacklog: number;
}

/** Streams of this process, for their common keep-alive. */
export class SseStreams {
  readonly #open = new Set<SseStream>();
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly options: SseOptions) {
    this.#timer = setInterval(() => this.#open.forEach((stream) => stream.keepAlive()), options.keepAliveMs).unref();
  }

  get size(): number {
    return this.#open.size;
  }

  open(res: ServerResponse, sessionId: string): SseStream {
    const stream: SseStream = new SseStream(res, sessionId, this.options.maxBacklog, () => this.#open.delete(stream));
    this.#open.add(stream);
    return stream;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const stream of this.#open) stream.end();
  }
}

export class SseStream {
  /** Called once, when nothing can be sent any more, whoever ended it. */
  onClose: (() => void) | undefined;
  /** Called now and then while the stream is open. */
  onKeepAlive: (() => void) | undefined;
  #closed = false;

  constructor(
    private readonly res: ServerResponse,
    sessionId: string,
    private readonly maxBacklog: number,
    private readonly forget: () => void,
  ) {
    this.#cork();
    res.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      'mcp-session-id': sessionId,
    });
    res.flushHeaders();
    res.on('close', () => this.#close());
    res.on('error', () => this.#close());
    if (res.destroyed) this.#close();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** An event without data: gives the client a place to resume from, and says how long to wait before it does. */
  prime(id: string, retryMs: number): void {
    this.#write(`id: ${id}\nretry: ${retryMs}\ndata: \n\n`);
  }

  /** `data` is JSON without line breaks. */
  event(id: string | undefined, data: Uint8Array): void {
    const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8');
    this.#write(`event: message\n${id === undefined ? '' : `id: ${id}\n`}data: ${text}\n\n`);
  }

  /** Resolves when the client has read enough for more to be sent, or is gone. */
  ready(): Promise<void> {
    return untilRead(this.res, this.maxBacklog / 2);
  }

  /** Resolves when the client has read nearly everything, or is gone. */
  read(): Promise<void> {
    return untilRead(this.res);
  }

  keepAlive(): void {
    this.#write(': keep-alive\n\n');
    if (!this.#closed) this.onKeepAlive?.();
  }

  end(): void {
    if (this.#closed) return;
    this.res.end();
    this.#close();
  }

  #write(text: string): void {
    if (this.#closed) return;
    if (this.res.writableLength > this.maxBacklog) {
      this.res.destroy();
      this.#close();
    } else {
      this.#cork();
      this.res.write(text);
    }
  }

  /** What is written in one turn of the event loop goes out together. */
  #cork(): void {
    this.res.cork();
    process.nextTick(() => this.res.uncork());
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.forget();
    this.onClose?.();
  }
}
