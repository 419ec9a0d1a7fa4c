/**
 * Publishing with an acknowledgement, made for many publishes at once.
 *
 * One subscription takes all acks of this publisher; a pending publish is an entry in a map, not a timer and a header of its own
 * (`js.publish` costs about three times as much at 32 callers). What has no ack yet is kept and sent again after a reconnect, after
 * a "no responders" (the server is up, its stream not yet) and when an ack is overdue.
 *
 * So every publish may arrive twice. That is only safe because every caller sets an expectation that makes the second one fail
 * (`Nats-Expected-Last-Subject-Sequence`) or a message id that makes it a duplicate; this class is for such publishes and no others.
 */
import { createInbox, type Msg, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';
import { onConnectionChange } from './connect.js';

export interface PublishAck {
  stream: string;
  /** Sequence of the stored message: of ours, or of the earlier one when `duplicate`. */
  seq: number;
  duplicate?: boolean;
}

/** The server looked at the message and refused it. */
export class PublishRefused extends Error {
  override readonly name = 'PublishRefused';
  constructor(
    readonly code: number,
    description: string,
  ) {
    super(description);
  }

  /** Something is stored at this subject already. */
  get isWrongLastSequence(): boolean {
    return this.code === 10071 || this.code === 10164;
  }

  /** The stream, the account or the server has reached a limit. */
  get isFull(): boolean {
    return [10077, 10047, 10023, 10028, 10002].includes(this.code) || this.message.includes('maximum');
  }
}

/** No ack came in time. The message may have been stored or not. */
export class PublishTimeout extends Error {
  override readonly name = 'PublishTimeout';
}

interface Pending {
  id: number;
  subject: string;
  data: Uint8Array;
  headers: MsgHdrs | undefined;
  sentAt: number;
  giveUpAt: number;
  resolve(ack: PublishAck): void;
  reject(error: Error): void;
}

const SWEEP_MS = 100;
/** An ack that takes longer than this was lost, or the server is in trouble; asking again is harmless. */
const OVERDUE_MS = 3_000;

export class AckedPublisher {
  readonly #inbox: string;
  readonly #pending = new Map<number, Pending>();
  readonly #sweep: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  #lastId = 0;

  constructor(private readonly nc: NatsConnection) {
    this.#inbox = createInbox((nc as unknown as { options?: { inboxPrefix?: string } }).options?.inboxPrefix);
    nc.subscribe(`${this.#inbox}.*`, { callback: (error, msg) => void (error ?? this.#settle(msg)) });
    this.#sweep = setInterval(() => this.#sendOverdueAgain(Date.now()), SWEEP_MS).unref();
    this.#unsubscribe = onConnectionChange(nc, (change) => {
      if (change === 'connected') for (const entry of this.#pending.values()) this.#send(entry);
    });
  }

  /** Publishes that have no ack yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Resolves when the message is stored.
   * @throws PublishRefused when the server refuses it, PublishTimeout after `timeoutMs` without an answer.
   */
  publish(subject: string, data: Uint8Array, headers: MsgHdrs | undefined, timeoutMs: number): Promise<PublishAck> {
    return new Promise((resolve, reject) => {
      const giveUpAt = Date.now() + timeoutMs;
      const entry: Pending = { id: ++this.#lastId, subject, data, headers, sentAt: 0, giveUpAt, resolve, reject };
      this.#pending.set(entry.id, entry);
      this.#send(entry);
    });
  }

  /** Rejects what is pending. */
  close(): void {
    clearInterval(this.#sweep);
    this.#unsubscribe();
    for (const entry of this.#pending.values()) entry.reject(new PublishTimeout('the publisher was closed'));
    this.#pending.clear();
  }

  #send(entry: Pending): void {
    entry.sentAt = Date.now();
    try {
      this.nc.publish(entry.subject, entry.data, { reply: `${this.#inbox}.${entry.id}`, headers: entry.headers });
    } catch (error) {
      // Payload over the server's limit, or the connection was closed for good: sending again cannot help.
      this.#pending.delete(entry.id);
      entry.reject(error as Error);
    }
  }

  #settle(msg: Msg): void {
    const id = Number(msg.subject.slice(this.#inbox.length + 1));
    const entry = this.#pending.get(id);
    if (!entry) return;
    // No responders: JetStream is not up yet. The sweep sends again.
    if (msg.data.length === 0) {
      entry.sentAt = 0;
      return;
    }
    const answer = msg.json<PublishAck & { error?: { code: number; err_code?: number; description?: string } }>();
    if (answer.error) {
      if (answer.error.code === 503 && !isFinal(answer.error.err_code)) {
        entry.sentAt = 0;
        return;
      }
      this.#pending.delete(id);
      entry.reject(
        new PublishRefused(answer.error.err_code ?? answer.error.code, answer.error.description ?? 'refused'),
      );
    } else {
      this.#pending.delete(id);
      entry.resolve(answer);
    }
  }

  #sendOverdueAgain(now: number): void {
    for (const entry of this.#pending.values()) {
      if (now >= entry.giveUpAt) {
        this.#pending.delete(entry.id);
        entry.reject(new PublishTimeout(`no acknowledgement within the time given`));
      } else if (now - entry.sentAt > OVERDUE_MS && !this.nc.isClosed()) {
        this.#send(entry);
      } else if (entry.sentAt !== 0 && now - entry.sentAt < SWEEP_MS) {
        // Entries are in the order of their first sending: the rest is younger still.
        break;
      }
    }
  }
}

/** 503 errors that do not pass by themselves: limits, which a caller must hear of. */
function isFinal(code: number | undefined): boolean {
  return code === 10077 || code === 10047 || code === 10023 || code === 10028 || code === 10002;
}
