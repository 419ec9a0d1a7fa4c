/**
 * The attributes of an event: CloudEvents 1.0, as they come from every source and travel in NATS headers (the protocol's binary mode).
 *
 * Extensions are kept as text, as the binary modes carry them. Bounds hold everywhere, because a message's headers and subject must
 * carry the attributes; what they forbid is refused at the edge with the attribute's name, and never with its value.
 */
import { isWellFormed } from '@callboard/envelope';

export interface EventAttributes {
  /** With `source`, one event of the world. */
  id: string;
  /** URI-reference of where it happened. */
  source: string;
  /** What kind of event; its topic here. */
  type: string;
  subject?: string;
  /** When it happened; RFC 3339. */
  time?: string;
  datacontenttype?: string;
  dataschema?: string;
  /** By lower-case name. */
  extensions: Record<string, string>;
}

export const EVENT_LIMITS = {
  /** Bytes of the data, which travels in one NATS message. */
  dataBytes: 1024 * 1024 - 32 * 1024,
  /** Characters of id, source, subject, an extension and each other attribute. */
  attributeChars: 1_024,
  extensions: 32,
  /** Characters of all attributes as they are written in headers. */
  headerChars: 16 * 1024,
  topicChars: 128,
  sourceNameChars: 64,
  /** Characters of the ordering key; a longer one is replaced by its digest. */
  keyChars: 256,
} as const;

/**
 * Extensions of an event that has passed the privacy filter: how many values it has replaced, under which policy, and when an operator let the
 * event go that had been held back. A source's own by these names are replaced.
 */
export const FILTER_EXTENSIONS = ['redactions', 'policy', 'released'] as const;

/** Name of a configured source. */
export const SOURCE_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
/** What may be the type of an event: it becomes a topic, which is shown and filtered by. */
export const TOPIC = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/;
const EXTENSION_NAME = /^[a-z0-9]{1,64}$/;
const MEDIA_TYPE = /^[A-Za-z0-9!#$&^_.+-]{1,127}\/[A-Za-z0-9!#$&^_.+-]{1,127}(?: *;[\x20-\x7e]*)?$/;
const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;
/** Of these, none is an extension. */
const CORE = ['id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema'] as const;
const NOT_COUNTED = new Set<string>(FILTER_EXTENSIONS);
const NOT_EXTENSIONS = new Set<string>([...CORE, 'specversion', 'data', 'data_base64']);

/** An event that cannot be taken: `place` is the attribute or the part, the message says what it must be; neither holds a value. */
export class InvalidEvent extends Error {
  override readonly name = 'InvalidEvent';
  constructor(
    readonly place: string,
    readonly expected: string,
  ) {
    super(`${place} ${expected}`);
  }
}

/**
 * The attributes among the members of a CloudEvent, checked. Members that are neither text, number nor boolean are no attributes.
 * @throws InvalidEvent naming the first attribute that is not as it must be.
 */
export function readAttributes(members: Readonly<Record<string, unknown>>): EventAttributes {
  if (members['specversion'] !== '1.0') throw new InvalidEvent('specversion', 'must be "1.0"');
  const core: Partial<Record<(typeof CORE)[number], string>> = {};
  for (const name of CORE) {
    const value = members[name];
    if (value === undefined || value === null) continue;
    core[name] = textOf(name, value);
  }
  const { id, source, type, time, ...rest } = core;
  if (id === undefined) throw new InvalidEvent('id', 'is missing');
  if (source === undefined) throw new InvalidEvent('source', 'is missing');
  if (type === undefined || !TOPIC.test(type)) {
    throw new InvalidEvent('type', `must be 1 to ${EVENT_LIMITS.topicChars} letters, digits and . _ : / -`);
  }
  if (time !== undefined && !(RFC_3339.test(time) && Number.isFinite(Date.parse(time)))) {
    throw new InvalidEvent('time', 'must be an RFC 3339 timestamp');
  }
  if (rest.datacontenttype !== undefined && !MEDIA_TYPE.test(rest.datacontenttype)) {
    throw new InvalidEvent('datacontenttype', 'must be a media type');
  }
  const attributes = {
    id,
    source,
    type,
    ...(time !== undefined && { time }),
    ...rest,
    extensions: extensionsOf(members),
  };
  const chars = toEventHeaders(attributes).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (chars > EVENT_LIMITS.headerChars) {
    throw new InvalidEvent('attributes', `must not have more than ${EVENT_LIMITS.headerChars} characters together`);
  }
  return attributes;
}

function extensionsOf(members: Readonly<Record<string, unknown>>): Record<string, string> {
  const extensions: Record<string, string> = {};
  let count = 0;
  for (const [name, value] of Object.entries(members)) {
    if (NOT_EXTENSIONS.has(name) || value === undefined || value === null) continue;
    if (!EXTENSION_NAME.test(name)) {
      throw new InvalidEvent('an attribute', 'has a name that is not of lower-case letters and digits, 64 at most');
    }
    if (!NOT_COUNTED.has(name) && ++count > EVENT_LIMITS.extensions) {
      throw new InvalidEvent('attributes', `must not have more than ${EVENT_LIMITS.extensions} extensions among them`);
    }
    extensions[name] = textOf(`extension ${count}`, value);
  }
  return extensions;
}

function textOf(place: string, value: unknown): string {
  const isText = typeof value === 'string';
  if (!isText && typeof value !== 'boolean' && !(typeof value === 'number' && Number.isSafeInteger(value))) {
    throw new InvalidEvent(place, 'must be text, a whole number or a boolean');
  }
  const text = String(value);
  if (text === '' || text.length > EVENT_LIMITS.attributeChars) {
    throw new InvalidEvent(place, `must have 1 to ${EVENT_LIMITS.attributeChars} characters`);
  }
  if (!isWellFormed(text) || hasControls(text)) throw new InvalidEvent(place, 'must not hold control characters');
  return text;
}

function hasControls(text: string): boolean {
  return /\p{Cc}/u.test(text);
}

const CONTENT_TYPE = 'Content-Type';

/** The attributes as NATS headers, by the CloudEvents binding: `ce-<name>`, and `Content-Type`. */
export function toEventHeaders({ extensions, datacontenttype, ...core }: EventAttributes): [string, string][] {
  const headers: [string, string][] = [['ce-specversion', '1.0']];
  for (const [name, value] of [...Object.entries(core), ...Object.entries(extensions)]) {
    if (value !== undefined) headers.push([`ce-${name}`, percentEncode(value)]);
  }
  if (datacontenttype !== undefined) headers.push([CONTENT_TYPE, datacontenttype]);
  return headers;
}

/**
 * The attributes in the headers of a message, checked; of headers by other names nothing is read.
 * @throws InvalidEvent
 */
export function readEventHeaders(headers: Iterable<[string, string[]]>): EventAttributes {
  return readAttributes(membersOf(headers));
}

/**
 * The same of a message that was checked before it was stored: what has been added since is not held against the bounds. `undefined` when it is
 * no event.
 */
export function readStoredEventHeaders(headers: Iterable<[string, string[]]>): EventAttributes | undefined {
  const { specversion, id, source, type, subject, time, datacontenttype, dataschema, ...extensions } =
    membersOf(headers);
  if (specversion === undefined || id === undefined || source === undefined || type === undefined) return undefined;
  return {
    ...{ id, source, type },
    ...(subject !== undefined && { subject }),
    ...(time !== undefined && { time }),
    ...(datacontenttype !== undefined && { datacontenttype }),
    ...(dataschema !== undefined && { dataschema }),
    extensions: { ...extensions },
  };
}

function membersOf(headers: Iterable<[string, string[]]>): Record<string, string> {
  const members: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [header, [value]] of headers) {
    if (value === undefined) continue;
    const name = header.toLowerCase();
    if (name === 'content-type') members['datacontenttype'] = value;
    else if (name.startsWith('ce-')) members[name.slice(3)] = percentDecode(value);
  }
  return members;
}

/** As the HTTP and NATS bindings say: what is no printable ASCII, and space, double quote and percent, as its UTF-8 bytes. */
export function percentEncode(value: string): string {
  return value.replace(/[^\x21\x23\x24\x26-\x7e]+/gu, (part) =>
    [...Buffer.from(part, 'utf8')].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

/** What is no valid encoding is taken as it stands, as the bindings say of a lone percent. */
export function percentDecode(value: string): string {
  if (!value.includes('%')) return value;
  return value.replace(/(?:%[0-9A-Fa-f]{2})+/g, (part) => {
    const bytes = Buffer.from(part.replaceAll('%', ''), 'hex');
    const text = bytes.toString('utf8');
    return Buffer.from(text, 'utf8').equals(bytes) ? text : part;
  });
}
