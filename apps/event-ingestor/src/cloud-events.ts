/**
 * CloudEvents 1.0 over HTTP, in the three modes of the protocol's binding: structured, binary, batched.
 *
 * Read by us and not by the `cloudevents` SDK (10.0.0), which is made to be lenient: it takes versions that are not 1.0, drops
 * attributes and data that are falsy, does not percent-decode headers, decodes base64 loosely and into 32-bit words, refuses a batch as
 * a whole, and has no bounds. Here every event of a batch has a fate of its own, and data in binary mode is kept byte by byte. The
 * specs send what the SDK writes.
 *
 * Data of a structured event is written as JSON again: numbers that JavaScript cannot hold are rounded, as every reader behind would do.
 */
import type { IncomingMessage } from 'node:http';
import { CallboardError } from '@callboard/envelope';
import { InvalidEvent, percentDecode, readAttributes } from '@callboard/events';
import { isNestedDeeperThan, parseJson } from '@callboard/http';
import {
  OversizedEvent,
  isJson,
  mediaTypeOf,
  readJsonData,
  refuseOversized,
  type ReadEvent,
  type ReadLimits,
  type Reading,
} from './read-event.js';

export type Mode = 'structured' | 'binary' | 'batched';
/** The mode that a request is in, by its headers; undefined when it carries no CloudEvents that can be read. */
export function modeOf({ headers }: IncomingMessage): Mode | undefined {
  const { 'content-type': contentType } = headers;
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(contentType ?? '')?.[1] ?? 'utf-8';
  switch (mediaTypeOf(contentType)) {
    case 'application/cloudevents+json':
      return charset.toLowerCase() === 'utf-8' ? 'structured' : undefined;
    case 'application/cloudevents-batch+json':
      return charset.toLowerCase() === 'utf-8' ? 'batched' : undefined;
    default:
      if (mediaTypeOf(contentType).startsWith('application/cloudevents')) return undefined;
      return headers['ce-specversion'] === undefined ? undefined : 'binary';
  }
}

/**
 * The events of a request, in the order of the sender. Each is read by itself, so one that is wrong says so and stops no other.
 * @throws CallboardError `invalid_request` when the body as a whole cannot be read.
 */
export function readCloudEvents(req: IncomingMessage, body: Buffer, mode: Mode, limits: ReadLimits): Reading[] {
  if (mode === 'binary') return [attempt(() => readBinary(req, body, limits))];
  // A batch has one level more than its events.
  const maxDepth = mode === 'batched' ? limits.maxDepth + 1 : limits.maxDepth;
  if (isNestedDeeperThan(maxDepth, body)) {
    throw new CallboardError('invalid_request', `The body is nested deeper than ${maxDepth} levels`);
  }
  const value = parseJson(body);
  if (value === undefined) throw new CallboardError('invalid_request', 'The body is not JSON in UTF-8');
  if (mode === 'structured') return [attempt(() => readStructured(value))];
  if (!Array.isArray(value)) throw new CallboardError('invalid_request', 'A batch is a JSON array of events');
  if (value.length > limits.maxBatch) {
    throw new CallboardError('payload_too_large', `A batch has ${limits.maxBatch} events at most`);
  }
  return value.map((event) => attempt(() => readStructured(event)));
}

function attempt(read: () => ReadEvent): Reading {
  try {
    return read();
  } catch (error) {
    if (error instanceof InvalidEvent || error instanceof OversizedEvent) return error;
    throw error;
  }
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function readStructured(value: unknown): ReadEvent {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidEvent('the event', 'must be a JSON object');
  }
  const { data, data_base64: base64, ...members } = value as Record<string, unknown>;
  const attributes = readAttributes(members);
  const event = { attributes, ...readMembers(data, base64, attributes.datacontenttype) };
  refuseOversized(event.data);
  return event;
}

function readMembers(
  data: unknown,
  base64: unknown,
  contentType: string | undefined,
): Pick<ReadEvent, 'data' | 'json'> {
  if (base64 !== undefined && base64 !== null) {
    if (data !== undefined) throw new InvalidEvent('data_base64', 'must not be there beside data');
    if (typeof base64 !== 'string' || !BASE64.test(base64)) throw new InvalidEvent('data_base64', 'must be base64');
    return { data: Buffer.from(base64, 'base64'), json: undefined };
  }
  if (data === undefined) return { data: new Uint8Array(), json: undefined };
  if (isJson(contentType)) return { data: Buffer.from(JSON.stringify(data)), json: data };
  if (typeof data !== 'string') throw new InvalidEvent('data', 'must be text, as its content type is not JSON');
  return { data: Buffer.from(data), json: undefined };
}

function readBinary(req: IncomingMessage, body: Buffer, { maxDepth }: ReadLimits): ReadEvent {
  const members: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [header, values] of Object.entries(req.headersDistinct)) {
    if (!header.startsWith('ce-')) continue;
    if (values?.length !== 1) throw new InvalidEvent('an attribute', 'must not be there more than once');
    const [value] = values as [string];
    if (!/^[\x20-\x7e]*$/.test(value))
      throw new InvalidEvent('an attribute', 'must be percent-encoded where it is not ASCII');
    members[header.slice(3)] = percentDecode(unquote(value));
  }
  const { 'content-type': contentType } = req.headers;
  for (const name of ['data', 'data_base64', 'datacontenttype']) {
    if (name in members) throw new InvalidEvent(`ce-${name}`, 'is no header of the binary mode');
  }
  const attributes = readAttributes({ ...members, datacontenttype: contentType });
  refuseOversized(body);
  return { attributes, data: body, json: isJson(contentType) ? readJsonData(body, maxDepth) : undefined };
}

/** Older senders write a value as a quoted string (RFC 9110, section 5.6.4). */
function unquote(value: string): string {
  return /^".*"$/.test(value) ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value;
}
