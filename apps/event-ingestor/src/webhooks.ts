/**
 * Webhooks: signed requests that become CloudEvents. The signature comes before anything that is in the body.
 *
 * Replays. With standard-webhooks id and time are signed: a request is good once, within the source's window, and known as long as its
 * event is kept. GitHub signs the body alone: the same delivery is known for as long as its event is kept, but who has seen a whole request
 * could send its body again under another delivery id.
 */
import type { IncomingMessage } from 'node:http';
import { CallboardError } from '@callboard/envelope';
import { InvalidEvent, TOPIC, readAttributes } from '@callboard/events';
import { mediaTypeOf, readJsonData, refuseOversized, type ReadEvent, type ReadLimits } from './read-event.js';
import { isSignedByStandard, isSignedForGitHub } from './signatures.js';
import type { WebhookSource } from './sources.js';

const JSON_TYPE = 'application/json';
const FORM_TYPE = 'application/x-www-form-urlencoded';

/**
 * @throws CallboardError `invalid_signature`
 * @throws InvalidEvent, OversizedEvent
 */
export function readWebhook(source: WebhookSource, req: IncomingMessage, body: Buffer, limits: ReadLimits): ReadEvent {
  const event =
    source.scheme === 'github' ? readGitHub(source, req, body, limits) : readStandard(source, req, body, limits);
  refuseOversized(event.data);
  return event;
}

/** Media types that the scheme of a source knows. */
export function takesMediaType({ scheme }: WebhookSource, contentType: string | undefined): boolean {
  const type = mediaTypeOf(contentType);
  return type === JSON_TYPE || (scheme === 'github' && type === FORM_TYPE);
}

function readGitHub(source: WebhookSource, req: IncomingMessage, body: Buffer, { maxDepth }: ReadLimits): ReadEvent {
  if (!isSignedForGitHub(source.secrets, header(req, 'x-hub-signature-256') ?? '', body)) {
    throw new CallboardError('invalid_signature', 'X-Hub-Signature-256 is missing or wrong');
  }
  const data = mediaTypeOf(req.headers['content-type']) === FORM_TYPE ? payloadOf(body) : body;
  const json = readPayload(data, maxDepth);
  const action = (json as { action?: unknown }).action;
  const attributes = readAttributes({
    specversion: '1.0',
    id: required(req, 'X-GitHub-Delivery'),
    source: `/webhooks/${source.name}`,
    type: `github.${required(req, 'X-GitHub-Event')}`,
    datacontenttype: JSON_TYPE,
    // What most rules ask for first: opened, closed, labeled …
    ...(typeof action === 'string' && TOPIC.test(action) && { action }),
  });
  return { attributes, data, json };
}

function readStandard(source: WebhookSource, req: IncomingMessage, body: Buffer, { maxDepth }: ReadLimits): ReadEvent {
  const id = header(req, 'webhook-id');
  const timestamp = header(req, 'webhook-timestamp') ?? '';
  const signature = header(req, 'webhook-signature');
  // With a dot in the id, one signature would be good for several ways to take id, time and body apart.
  if (id === undefined || id.includes('.') || signature === undefined || !/^\d{1,12}$/.test(timestamp)) {
    throw new CallboardError(
      'invalid_signature',
      'webhook-id, webhook-timestamp or webhook-signature is missing or wrong',
    );
  }
  if (!isSignedByStandard(source.secrets, { id, timestamp, signature }, body)) {
    throw new CallboardError('invalid_signature', 'webhook-signature is wrong');
  }
  const signedAt = Number(timestamp) * 1_000;
  if (Math.abs(Date.now() - signedAt) > source.maxAgeMs) {
    throw new CallboardError('invalid_signature', 'webhook-timestamp is too far from now');
  }
  const json = readPayload(body, maxDepth);
  const { type, timestamp: happenedAt } = json as { type?: unknown; timestamp?: unknown };
  const said = {
    specversion: '1.0',
    id,
    source: `/webhooks/${source.name}`,
    type: type ?? 'webhook',
    datacontenttype: JSON_TYPE,
  };
  return {
    attributes: readAttributes({ ...said, time: timeOf(happenedAt) ?? new Date(signedAt).toISOString() }),
    data: body,
    json,
  };
}

/** Later ones have years that RFC 3339 cannot write. */
const LAST_TIME = Date.UTC(9999, 11, 31);

/** When it happened, where the payload says so as the standard asks it to. */
function timeOf(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > 40) return undefined;
  const time = Date.parse(value);
  return time >= 0 && time <= LAST_TIME ? new Date(time).toISOString() : undefined;
}

function readPayload(data: Buffer, maxDepth: number): object {
  const json = readJsonData(data, maxDepth);
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new InvalidEvent('the payload', 'must be a JSON object');
  }
  return json;
}

/** GitHub's other content type: a form with one field. */
function payloadOf(form: Buffer): Buffer {
  const payload = new URLSearchParams(form.toString('latin1')).getAll('payload');
  if (payload.length !== 1) throw new InvalidEvent('the form', 'must have one field, payload');
  return Buffer.from(payload[0]!);
}

function required(req: IncomingMessage, name: string): string {
  const value = header(req, name.toLowerCase());
  if (value === undefined) throw new InvalidEvent(name, 'is missing');
  return value;
}

/** Of a header that is there once, and only then. */
function header({ headersDistinct }: IncomingMessage, name: string): string | undefined {
  const values = headersDistinct[name];
  return values?.length === 1 ? values[0] : undefined;
}
