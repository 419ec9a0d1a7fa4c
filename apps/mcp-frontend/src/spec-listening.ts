import { connect, type Socket } from 'node:net';
import type { JsonObject } from '@callboard/envelope';
import { waitFor } from '@callboard/testing';
import { modernRequest, type SpecHeaders } from './spec-front.js';

/** A client of the 2026 revision that listens. */
export class Listening {
  readonly #socket: Socket;
  #text = '';

  constructor(
    port: number,
    notifications: JsonObject,
    { meta = {}, headers = {} }: { meta?: JsonObject; headers?: SpecHeaders } = {},
  ) {
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.setEncoding('utf8').on('data', (text: string) => (this.#text += text));
    this.#socket.on('error', () => undefined);
    const request = modernRequest('subscriptions/listen', { notifications }, { meta, headers, message: { id: 0 } });
    this.#socket.write(request);
  }

  get frames(): { method?: string; params?: JsonObject; id?: unknown; result?: JsonObject }[] {
    return [...this.#text.matchAll(/^data: (.*)\n/gm)].map(([, json]) => JSON.parse(json!) as JsonObject);
  }

  async until(frames: number): Promise<this['frames']> {
    return waitFor(() => this.frames.length >= frames && this.frames, { what: `${frames} frames` });
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }
}
