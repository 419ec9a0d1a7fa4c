/**
 * The edge: everything that is checked before an event is stored, cheapest first, in the order of `#admit` and then `#receive`.
 *
 *   POST /events/<source>     CloudEvents in any mode; the token before the body, one of the source's own before one of an issuer
 *   POST /events, or /        the same, where there is exactly one such source
 *   POST /webhooks/<source>   a webhook; the signature before what is in the body
 *
 * 202 means that every event of the request is durable. Any other answer is a problem (RFC 9457) with a stable code; one to a batch says
 * of each event what became of it. No answer repeats anything of the request, and a second delivery is answered as the first.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { person, type Principal } from '@callboard/access';
import { refusedRequest, type Audit, type AuditPerson } from '@callboard/audit';
import { CallboardError, ERROR_CODES, type ErrorCode } from '@callboard/envelope';
import { InvalidEvent, orderingKeyOf, type SourcedEvent } from '@callboard/events';
import {
  answerProblem,
  countRefused,
  readBody,
  sendJson,
  takeRoom,
  type FailedAuthentications,
  type ProblemOptions,
  type Room,
} from '@callboard/http';
import { modeOf, readCloudEvents } from './cloud-events.js';
import type { Fate, Ingest } from './ingest.js';
import { keyAt } from './key-at.js';
import type { IngestMetrics } from './metrics.js';
import { OversizedEvent, type ReadEvent, type ReadLimits, type Reading } from './read-event.js';
import type { Sender, Senders } from './senders.js';
import type { CloudEventsSource, SenderSource, WebhookSource } from './sources.js';
import { readWebhook, takesMediaType } from './webhooks.js';

export interface IngestEdgeOptions extends ReadLimits {
  maxBodyBytes: number;
}

const PATH = /^\/(?:(events|webhooks)(?:\/([a-z0-9_-]{1,64}))?)?\/?$/;
/** RFC 6750: the scheme is case-insensitive. */
const BEARER = /^Bearer +(\S+) *$/i;
const CHALLENGE = { 'WWW-Authenticate': 'Bearer realm="callboard events"' };

/** One request, and its source, once that is known. */
interface Sending {
  req: IncomingMessage;
  res: ServerResponse;
  source?: SenderSource;
  /** Who sends, where a token says so. */
  principal?: Principal;
}

/** When it can be known again whether a token is good. */
const UNKNOWN_RETRY_MS = 5_000;

/** How the body of an admitted request is read. */
type BodyReader = (body: Buffer) => Reading[];

/** A refusal under another status than that of its code. */
class Refusal extends Error {
  constructor(
    readonly error: CallboardError,
    readonly options: ProblemOptions,
  ) {
    super(error.message);
  }
}

export class IngestEdge {
  readonly #sources: ReadonlyMap<string, SenderSource>;
  readonly #onlySource: string | undefined;
  readonly #tokens = new Map<string, Buffer[]>();

  constructor(
    private readonly options: IngestEdgeOptions,
    sources: readonly SenderSource[],
    private readonly ingest: Ingest,
    /** A webhook must be read before it is known who sends it: strangers take none of the room of those who have a token. */
    private readonly rooms: Readonly<Record<SenderSource['type'], Room>>,
    private readonly metrics: IngestMetrics,
    private readonly report: (error: unknown) => void,
    private readonly audit: Audit,
    private readonly failures: FailedAuthentications,
    /** Absent where no source takes tokens of issuers. */
    private readonly senders: Senders | undefined,
  ) {
    this.#sources = new Map(sources.map((source) => [source.name, source]));
    const takers = sources.filter((source): source is CloudEventsSource => source.type === 'cloudevents');
    if (takers.length === 1) this.#onlySource = takers[0]!.name;
    for (const { name, tokens } of takers) this.#tokens.set(name, tokens.map(digest));
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    const sending: Sending = { req, res };
    try {
      sending.source = this.#sourceOf(req);
      this.#admit(sending.source, sending).catch((error: unknown) => this.#refuse(sending, error));
    } catch (error) {
      this.#refuse(sending, error);
    }
  }

  #sourceOf({ url = '/', method }: IncomingMessage): SenderSource {
    const match = PATH.exec(url.split('?', 1)[0]!);
    const kind = match?.[1] ?? 'events';
    const source = match && this.#sources.get(match[2] ?? this.#onlySource ?? '');
    if (!source || (source.type === 'cloudevents') !== (kind === 'events')) {
      throw new CallboardError(
        'not_found',
        'The path is /events/SOURCE or /webhooks/SOURCE, with a source of this server',
      );
    }
    if (method === 'POST') return source;
    throw new Refusal(new CallboardError('invalid_request', 'Only POST is allowed'), {
      status: 405,
      headers: { Allow: 'POST' },
    });
  }

  async #admit(source: SenderSource, sending: Sending): Promise<void> {
    const { req, res } = sending;
    const startedAt = performance.now();
    if ((req.headers['content-encoding'] ?? 'identity').toLowerCase() !== 'identity') {
      throw new Refusal(new CallboardError('invalid_request', 'Content-Encoding must be identity'), {
        status: 415,
        headers: { 'Accept-Encoding': 'identity' },
      });
    }
    const read = source.type === 'cloudevents' ? await this.#events(source, sending) : this.#webhook(source, req);
    // Who went away meanwhile takes no room.
    if (res.closed) return this.metrics.count(source.name, 'gone');
    const room = this.rooms[source.type];
    const keep = takeRoom(res, room);
    if (!keep) throw room.requests.refusal();
    res.once('close', () => this.metrics.observe(source.name, (performance.now() - startedAt) / 1_000));
    readBody(req, this.options.maxBodyBytes, keep, (end) => {
      if (end.kind === 'too_large') this.#refuse(sending, new CallboardError('payload_too_large'));
      else if (end.kind === 'no_room') this.#refuse(sending, room.bodies.refusal());
      else if (end.kind === 'gone') this.metrics.count(source.name, 'gone');
      else {
        this.#receive(source, sending, () => read(end.bytes)).catch((error: unknown) => this.#refuse(sending, error));
      }
    });
  }

  async #events(source: CloudEventsSource, sending: Sending): Promise<BodyReader> {
    const { req } = sending;
    const hasCredentials = req.headers.authorization !== undefined;
    const tooMany = hasCredentials && this.failures.refusal(req);
    if (tooMany) throw tooMany;
    if (this.#isAuthorised(source, req)) this.failures.succeeded(req);
    else {
      const sender = await this.senders?.find(source.name, req.headers.authorization);
      if (sender?.ok || sender?.principal) this.failures.succeeded(req);
      else if (hasCredentials && sender?.reason !== 'unavailable') this.failures.failed(req);
      if (sender?.principal) sending.principal = sender.principal;
      if (!sender?.ok) throw turnAway(sender, hasCredentials);
    }
    const mode = modeOf(req);
    if (!mode) {
      const what =
        'Send application/cloudevents+json or application/cloudevents-batch+json in UTF-8, or the ce- headers of the binary mode';
      throw new Refusal(new CallboardError('invalid_request', what), { status: 415 });
    }
    return (body) => readCloudEvents(req, body, mode, this.options);
  }

  #webhook(source: WebhookSource, req: IncomingMessage): BodyReader {
    if (!takesMediaType(source, req.headers['content-type'])) {
      throw new Refusal(new CallboardError('invalid_request', 'Content-Type must be application/json'), {
        status: 415,
      });
    }
    return (body) => [readWebhook(source, req, body, this.options)];
  }

  /** Of equal length whatever was sent, and compared in constant time. */
  #isAuthorised({ name }: CloudEventsSource, { headers }: IncomingMessage): boolean {
    const token = BEARER.exec(headers.authorization ?? '')?.[1];
    if (token === undefined) return false;
    const given = digest(token);
    return this.#tokens.get(name)!.some((known) => timingSafeEqual(known, given));
  }

  async #receive(source: SenderSource, sending: Sending, read: () => Reading[]): Promise<void> {
    const readings = read();
    const fates = new Array<Fate>(readings.length);
    const events: SourcedEvent[] = [];
    const places: number[] = [];
    readings.forEach((reading, i) => {
      const refusal = reading instanceof Error ? toRefusal(reading) : refusalOfTopic(source, reading);
      if (refusal) {
        fates[i] = { kind: 'refused', error: refusal };
        return;
      }
      places.push(i);
      events.push(toSourced(source, reading as ReadEvent));
    });
    const taken = await this.ingest.take(events, this.#personOf(sending));
    taken.forEach((fate, i) => (fates[places[i]!] = fate));
    for (const fate of fates) {
      this.metrics.count(source.name, fate.kind === 'refused' ? fate.error.code : fate.kind);
    }
    const codes = new Set(fates.flatMap((fate) => (fate.kind === 'refused' ? [fate.error.code] : [])));
    for (const code of codes) this.#note(sending, code);
    answer(sending.res, fates);
  }

  #refuse(sending: Sending, thrown: unknown): void {
    const [error, options] = this.#problemOf(thrown);
    this.metrics.count(sending.source?.name, error.code);
    this.#note(sending, error.code, options.status);
    answerProblem(sending.res, error, options);
  }

  /** Of the events of one request that are refused with the same code, one record. */
  #note(sending: Sending, code: ErrorCode, status: number = ERROR_CODES[code].httpStatus): void {
    // A fault of ours refuses nobody; the log has it.
    if (code === 'internal') return;
    const { req, source, principal } = sending;
    const address = req.socket.remoteAddress;
    // Who is known is on record with its own tenant, which may be another than that of the source.
    const about = source && { tenantId: (principal ?? source).tenantId, details: { source: source.name } };
    const who = this.#personOf(sending);
    this.audit.note(refusedRequest({ status, code, address, ...about, ...(who && { who }) }));
  }

  #personOf({ req, principal }: Sending): AuditPerson | undefined {
    return principal && person(principal, req.socket.remoteAddress);
  }

  #problemOf(thrown: unknown): [CallboardError, ProblemOptions] {
    if (thrown instanceof Refusal) return [thrown.error, thrown.options];
    if (thrown instanceof CallboardError) return [thrown, {}];
    if (thrown instanceof InvalidEvent || thrown instanceof OversizedEvent) return [toRefusal(thrown), {}];
    this.report(thrown);
    return [new CallboardError('internal'), {}];
  }
}

/** @param sender undefined where only tokens of the source itself are good */
function turnAway(sender: Exclude<Sender, { ok: true }> | undefined, hasCredentials: boolean): Error {
  const { reason, why, challenge } = sender ?? {};
  countRefused(why ?? (hasCredentials ? 'nobody knows it' : 'no_credentials'));
  switch (reason) {
    case 'unavailable': {
      const message = 'Whether the token is good cannot be found out now';
      return new CallboardError('unavailable', message, { retryAfterMs: UNKNOWN_RETRY_MS });
    }
    case 'forbidden':
      return new CallboardError('forbidden', 'The token is not good for this source');
    case 'insufficient_scope': {
      const error = new CallboardError('forbidden', 'The token does not have the scopes that this source needs');
      return new Refusal(error, { headers: { 'WWW-Authenticate': challenge! } });
    }
    default:
      return new Refusal(new CallboardError('unauthorized'), {
        headers: challenge === undefined ? CHALLENGE : { 'WWW-Authenticate': challenge },
      });
  }
}

function toRefusal(error: Error): CallboardError {
  return new CallboardError(error instanceof OversizedEvent ? 'payload_too_large' : 'invalid_event', error.message);
}

/** What Callboard itself says, of a gap for one, nobody else may say. */
const OUR_TYPES = 'io.callboard.';

function refusalOfTopic({ topics }: SenderSource, reading: ReadEvent): CallboardError | undefined {
  const { type } = reading.attributes;
  if (type.startsWith(OUR_TYPES)) {
    return new CallboardError('forbidden', `Types that begin with ${OUR_TYPES} are not for senders`);
  }
  const may = topics.some((topic) => (topic.endsWith('*') ? type.startsWith(topic.slice(0, -1)) : type === topic));
  return may ? undefined : new CallboardError('forbidden', 'The source may not send events of this type');
}

function toSourced({ name, tenantId, key }: SenderSource, { attributes, data, json }: ReadEvent): SourcedEvent {
  return {
    tenantId,
    sourceName: name,
    key: keyAt(key, json) ?? orderingKeyOf(attributes, json),
    attributes,
    data,
  };
}

/** One answer for all of them: the names that they go by, or the problem, with what became of each. */
function answer(res: ServerResponse, fates: readonly Fate[]): void {
  const errors = fates.flatMap((fate) => (fate.kind === 'refused' ? [fate.error] : []));
  if (errors.length === 0) {
    return sendJson(res, 202, { events: fates.flatMap((fate) => (fate.kind === 'refused' ? [] : [fate.event])) });
  }
  // What is worth sending again makes the whole worth it: what was stored is known then.
  const error = errors.find(({ retryable }) => retryable) ?? errors[0]!;
  answerProblem(res, error, fates.length === 1 ? {} : { more: { results: fates.map(resultOf) } });
}

function resultOf(fate: Fate): object {
  if (fate.kind !== 'refused') return { status: 202, event: fate.event };
  return { status: ERROR_CODES[fate.error.code].httpStatus, ...fate.error.toBody() };
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
