/**
 * Whether the streams have room for more commands, asked of the server every second.
 *
 * COMMANDS refuses by itself what does not fit. OUTCOMES has no limit of its own, because the server schedules no message in a stream
 * that refuses new ones: it may hold as much as COMMANDS, and the front ends see to that. They stop a little early, so that what is
 * accepted before they look again still fits. When old messages age out, or the limit is raised, commands are accepted again.
 */
import { STREAM } from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';

const POLL_MS = 1_000;
const TIMEOUT_MS = 2_000;
/** Share of a stream's bytes from which on no more commands are accepted. */
const FULL = 0.95;

export class StreamRoom {
  /** The stream that has no room for more commands, if one has not. */
  full: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #away = false;

  private constructor(
    private readonly jsm: JetStreamManager,
    private readonly onError: (error: unknown) => void,
  ) {}

  static async start(nc: NatsConnection, onError: (error: unknown) => void): Promise<StreamRoom> {
    const room = new StreamRoom(await jetstreamManager(nc, { checkAPI: false, timeout: TIMEOUT_MS }), onError);
    await room.#poll();
    return room;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** What cannot be asked now stays as it was, and is told once. */
  async #poll(): Promise<void> {
    try {
      const [commands, outcomes] = await Promise.all([
        this.jsm.streams.info(STREAM.commands),
        this.jsm.streams.info(STREAM.outcomes),
      ]);
      const { max_bytes: most } = commands.config;
      this.full = [commands, outcomes].find(({ state }) => most > 0 && state.bytes >= most * FULL)?.config.name;
      this.#away = false;
    } catch (error) {
      if (!this.#away && !this.#stopped) this.onError(error);
      this.#away = true;
    }
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#poll(), POLL_MS).unref();
  }
}
