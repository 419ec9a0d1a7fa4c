/**
 * A stream of one request that its client has come back to, with GET and Last-Event-ID, here or on another replica than before.
 *
 * It is told from the log alone: what is stored after the event that the client had last, then what is stored from now on, until the
 * response. Where the request is running does not matter for that; but when nobody runs it any more, this replica takes it over.
 */
import { FACT, factSubject, readJson, type EventLog, type Follower, type StoredEvent } from './event-log.js';
import { eventId, isQuestionOfAnother, type OpenRecord } from './exchange.js';
import type { ReplicaId, Replicas } from './replicas.js';
import type { Session } from './session-records.js';
import type { SseStream } from './sse-stream.js';

export interface ResumedParts {
  log: EventLog;
  replicas: Replicas;
  retryMs: number;
  /** Is this replica running the request of this stream? */
  isRunningHere(stream: string): boolean;
  /** Runs a request again that another replica began. */
  takeOver(session: Session, stream: string, open: OpenRecord): void;
  onError: (error: unknown) => void;
}

const CLAIM_TIMEOUT_MS = 5_000;

export class ResumedStream {
  #server: ReplicaId;
  #following: Follower | undefined;
  #checking = false;

  private constructor(
    private readonly parts: ResumedParts,
    private readonly session: Session,
    readonly stream: string,
    private readonly opened: OpenRecord,
    private claimed: StoredEvent | undefined,
    private readonly sse: SseStream,
  ) {
    this.#server = claimed ? readJson<ReplicaId>(claimed) : opened.served_by;
  }

  /**
   * What a Last-Event-ID stands for: where its stream goes on, or why it does not.
   * `ended`: it was the last event of the stream. `unknown`: not an event of this session's stream.
   */
  static async find(
    log: EventLog,
    session: Session,
    position: { sequence: number; stream: string },
  ): Promise<{ open: OpenRecord; claim: StoredEvent | undefined } | 'ended' | 'unknown'> {
    const address = { session: session.id, stream: position.stream };
    const [open, event, claim] = await Promise.all([
      log.last(factSubject(address, FACT.open)),
      log.at(position.sequence),
      log.last(factSubject(address, FACT.claim)),
    ]);
    if (!open || !event?.subject.startsWith(factSubject(address, ''))) return 'unknown';
    if (event.subject === factSubject(address, FACT.response)) return 'ended';
    return { open: readJson<OpenRecord>(open), claim };
  }

  static start(
    parts: ResumedParts,
    session: Session,
    position: { sequence: number; stream: string },
    found: { open: OpenRecord; claim: StoredEvent | undefined },
    sse: SseStream,
  ): ResumedStream {
    const { sequence, stream } = position;
    const resumed = new ResumedStream(parts, session, stream, found.open, found.claim, sse);
    // Some clients forget where they were when nothing comes: they are told again.
    if (session.readsEmptyEvents) sse.prime(eventId(sequence, stream), parts.retryMs);
    // Who serves it decides which questions are worth asking.
    void resumed.check().then(() => resumed.#follow(sequence));
    return resumed;
  }

  get sessionId(): string {
    return this.session.id;
  }

  /** Closes the connection; another may come for the rest. */
  end(): void {
    this.sse.end();
  }

  /** The connection is closed. */
  stop(): void {
    this.#following?.stop();
  }

  /** Takes the request over when nobody runs it any more. Does not reject. */
  async check(): Promise<void> {
    if (this.#checking || this.sse.closed) return;
    this.#checking = true;
    await this.#takeOverFromTheDead().catch(this.parts.onError);
    this.#checking = false;
  }

  #follow(after: number): void {
    if (this.sse.closed) return;
    const filter = factSubject({ session: this.session.id, stream: this.stream }, '*');
    this.#following = this.parts.log.follow(filter, after, (event) => this.#tell(event));
  }

  async #tell(event: StoredEvent): Promise<void> {
    const fact = event.subject.slice(factSubject({ session: this.session.id, stream: this.stream }, '').length);
    if (fact === FACT.claim) {
      this.claimed = event;
      this.#server = readJson<ReplicaId>(event);
      return;
    }
    if (fact === FACT.open || isQuestionOfAnother(fact, this.#server)) return;
    if (event.data.byteLength > 0) this.sse.event(eventId(event.sequence, this.stream), event.data);
    if (fact === FACT.response) this.end();
    else await this.sse.ready();
  }

  async #takeOverFromTheDead(): Promise<void> {
    const { replicas, log } = this.parts;
    const isRunning = replicas.isSelf(this.#server)
      ? this.parts.isRunningHere(this.stream)
      : await replicas.isAlive(this.#server);
    const address = { session: this.session.id, stream: this.stream };
    if (isRunning || this.sse.closed || (await log.last(factSubject(address, FACT.response)))) return;
    const claim = await log.store(factSubject(address, FACT.claim), Buffer.from(JSON.stringify(replicas.self)), {
      after: this.claimed?.sequence ?? 0,
      timeoutMs: CLAIM_TIMEOUT_MS,
      tenantId: this.session.principal.tenantId,
    });
    this.claimed = claim;
    this.#server = readJson<ReplicaId>(claim);
    if (claim.ours && !this.parts.isRunningHere(this.stream)) {
      this.parts.takeOver(this.session, this.stream, this.opened);
    }
  }
}
