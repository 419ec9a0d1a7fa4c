/**
 * The events bus of Backstage as a client sees it: `/api/events/bus/v1`, written after the source of its events plug-in.
 *
 * Reading is at most once. The bus moves the position of a subscription on as it answers, so what matters of a read that fails is whether the
 * bus can have seen it: `refused` is certain that it took nothing, `lost` is not. That is why every request has a connection of its
 * own: one that had been kept open could be closed by the other side in the very moment, and would leave it open.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';

export interface BusEvent {
  topic: string;
  payload: unknown;
}

/** What the bus answered, or why it did not. `why` is a status or an error code. */
export type BusAnswer =
  | { kind: 'events'; events: BusEvent[] }
  /** There is nothing now. The bus holds the response until there is, or for its own time. */
  | { kind: 'empty'; ended: Promise<void>; hangUp(): void }
  /** It does not know the subscription. */
  | { kind: 'gone' }
  /** Nothing was taken. */
  | { kind: 'refused'; why: string }
  /** Events may have been taken, and did not arrive. */
  | { kind: 'lost'; why: string };

/** Both stores of the bus hand out so many at a time, as of `@backstage/plugin-events-backend` 0.6. */
export const BATCH_MOST = 10;
/** An event that came in by HTTP has 5 MB at most. */
const BODY_BYTES_MOST = BATCH_MOST * 6 * 1024 * 1024;
const ANSWER_MS = 15_000;
/** The bus says how long it holds an empty answer; a connection that says nothing for longer is dead. */
const NOTIFY_HEADER = 'backstage-events-notify-timeout';
const DEFAULT_NOTIFY_MS = 55_000;
const NOTIFY_MARGIN_MS = 5_000;

type Sent = { kind: 'answered'; response: IncomingMessage } | { kind: 'refused' | 'lost'; why: string };

export interface BusClientOptions {
  /** URL of the events plug-in's API. */
  baseUrl: string;
  token: string;
  subscriptionId: string;
}

export class BusClient {
  readonly #url: URL;
  readonly #headers: Record<string, string>;

  constructor({ baseUrl, token, subscriptionId }: BusClientOptions) {
    this.#url = new URL(`${baseUrl}/bus/v1/subscriptions/${encodeURIComponent(subscriptionId)}`);
    this.#headers = { authorization: `Bearer ${token}`, accept: 'application/json' };
  }

  /** Makes the subscription, or gives it these topics. What was published before is not in it. */
  async subscribe(topics: readonly string[]): Promise<'done' | { why: string }> {
    const sent = await this.#send('PUT', this.#url, JSON.stringify({ topics }));
    if (sent.kind !== 'answered') return { why: sent.why };
    const { response } = sent;
    response.resume();
    const status = response.statusCode!;
    return status >= 200 && status < 300 ? 'done' : { why: `status ${status}` };
  }

  async read(): Promise<BusAnswer> {
    const sent = await this.#send('GET', new URL(`${this.#url.href}/events`));
    if (sent.kind !== 'answered') return sent;
    const { response } = sent;
    const status = response.statusCode!;
    if (status === 200) return readEvents(response);
    if (status === 202) return empty(response);
    response.resume();
    if (status === 404) return { kind: 'gone' };
    // 503 is Backstage itself before it has started; any other fault may lie behind the read.
    const mayHaveRead = status < 300 || (status >= 500 && status !== 503);
    return { kind: mayHaveRead ? 'lost' : 'refused', why: `status ${status}` };
  }

  #send(method: 'GET' | 'PUT', url: URL, body?: string): Promise<Sent> {
    return new Promise((resolve) => {
      const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
        method,
        agent: false,
        headers: { ...this.#headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      });
      const late = setTimeout(() => request.destroy(Object.assign(new Error(), { code: 'timeout' })), ANSWER_MS);
      let connected = false;
      request.once('socket', (socket) => {
        socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => (connected = true));
      });
      request.once('response', (response) => {
        clearTimeout(late);
        resolve({ kind: 'answered', response });
      });
      // Stays for the life of the request: what breaks later is told by the response, and must not end the process.
      request.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(late);
        resolve({ kind: connected ? 'lost' : 'refused', why: error.code ?? error.name });
      });
      request.end(body);
    });
  }
}

async function readEvents(response: IncomingMessage): Promise<BusAnswer> {
  const late = setTimeout(() => response.destroy(Object.assign(new Error(), { code: 'timeout' })), ANSWER_MS);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response) {
      bytes += (chunk as Buffer).length;
      if (bytes > BODY_BYTES_MOST) return { kind: 'lost', why: 'larger than any answer of the bus' };
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    return { kind: 'lost', why: (error as NodeJS.ErrnoException).code ?? 'broken' };
  } finally {
    clearTimeout(late);
    response.destroy();
  }
  const events = parse(Buffer.concat(chunks).toString('utf8'));
  return events ? { kind: 'events', events } : { kind: 'lost', why: 'no answer of the bus' };
}

function parse(text: string): BusEvent[] | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return undefined;
  }
  const events = (answer as { events?: unknown } | null)?.events;
  const isEvent = (event: unknown) => typeof (event as BusEvent | null)?.topic === 'string';
  return Array.isArray(events) && events.every(isEvent) ? (events as BusEvent[]) : undefined;
}

function empty(response: IncomingMessage): BusAnswer {
  const said = Number(response.headers[NOTIFY_HEADER]);
  const notifyMs = said > 0 && said < 3_600_000 ? said : DEFAULT_NOTIFY_MS;
  const late = setTimeout(() => response.destroy(), notifyMs + NOTIFY_MARGIN_MS);
  response.on('error', () => undefined).resume();
  return {
    kind: 'empty',
    ended: new Promise<void>((resolve) => response.once('close', resolve)).finally(() => clearTimeout(late)),
    hangUp: () => void response.destroy(),
  };
}
