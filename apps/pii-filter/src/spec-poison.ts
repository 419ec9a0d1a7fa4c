/**
 * Raw messages that no decent source sends, from a seeded generator, with planted values that must not get anywhere. Each message has a subject
 * of its own; what its address and headers say may be anything.
 */
import { createHash } from 'node:crypto';
import { encodeToken } from '@callboard/envelope';
import { eventName, percentEncode } from '@callboard/events';

export interface PoisonMessage {
  subject: string;
  headers: [string, string][];
  data: Uint8Array;
}

/** Numbers that depend on the seed alone (mulberry32). */
export class Seeded {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  text(length: number, alphabet: string): string {
    return Array.from({ length }, () => alphabet[this.below(alphabet.length)]).join('');
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

const LETTERS = 'abcdefghijkmnopqrstuvwxyz';
const ALNUM = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789';

/** Values that must not be seen anywhere, whatever they are wrapped in. */
export class Canaries {
  readonly cores: string[] = [];

  constructor(private readonly seeded: Seeded) {}

  email(): string {
    return `${this.#core(`canary${this.seeded.text(10, LETTERS)}`)}@mail.example.org`;
  }

  token(): string {
    return `ghp_${this.#core(this.seeded.text(36, ALNUM))}`;
  }

  any(): string {
    return this.seeded.below(2) === 0 ? this.email() : this.token();
  }

  /** As it may be met: plain, or encoded in a way that the filter looks into. */
  wrapped(): unknown {
    const value = this.any();
    switch (this.seeded.below(6)) {
      case 0:
        return Buffer.from(`say ${value} to them`).toString('base64');
      case 1:
        return encodeURIComponent(`contact=${value}&to=them`);
      case 2:
        return JSON.stringify({ inner: { text: `ask ${value}` } });
      case 3:
        return { [value]: 1 };
      case 4:
        return [`first, ${value}, last`];
      default:
        return value;
    }
  }

  #core(core: string): string {
    this.cores.push(core);
    return core;
  }
}

/** Where a core is found in a text, plain or in base64 (whatever it is aligned to); the codes only, never the text. */
export function findCores(text: string, cores: readonly string[]): string[] {
  const decoded = [...text.matchAll(/[A-Za-z0-9+/_-]{24,}/g)].flatMap(([run]) =>
    [0, 1, 2, 3].map((from) => Buffer.from(run.slice(from), 'base64').toString('latin1')),
  );
  const all = [text, ...decoded].join('\n');
  // All begin alike, or are long: one pass over the text for each of them would take minutes.
  const grams = new Set<string>();
  for (let i = 0; i + GRAM <= all.length; i++) grams.add(all.slice(i, i + GRAM));
  return cores.filter((core) => grams.has(core.slice(0, GRAM)) && all.includes(core));
}
const GRAM = 12;

type Kind = (canaries: Canaries, seeded: Seeded, i: number) => Partial<Parts>;
interface Parts {
  /** Of the CloudEvent; each may be anything. */
  attributes: Record<string, string>;
  contentType: string | undefined;
  data: Uint8Array;
  /** In place of the tokens that belong to the attributes. */
  tokens: Partial<Record<'tenant' | 'source' | 'topic' | 'key' | 'event', string>>;
  extraHeaders: [string, string][];
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const deep = (levels: number, inner: string) => Buffer.from(`${'{"a":['.repeat(levels)}${inner}${']}'.repeat(levels)}`);

const KINDS: Kind[] = [
  (c) => ({
    data: json({ sender: { email: c.email() }, deep: { list: [c.wrapped(), c.wrapped()] }, note: c.wrapped() }),
  }),
  (c) => ({ data: json({ [c.email()]: { [c.token()]: c.wrapped() }, __proto__: null }) }),
  (c) => ({ data: Buffer.from(`{"a": "${c.any()}", "a": "${c.any()}", "__proto__": {"x": "${c.any()}"}}`) }),
  (c) => ({
    attributes: { subject: c.email(), owner: c.token(), partitionkey: c.email() },
    tokens: { key: c.email() },
    data: json({ ok: true }),
  }),
  (c, _s, i) => ({ attributes: { id: `${i} ${c.email()}` } }),
  (c) => ({ attributes: { source: `https://example.org/${c.email()}?token=${c.token()}` } }),
  // Not JSON, or not text.
  (c) => ({ data: Buffer.from(`{"a": "${c.any()}`) }),
  (c, s) => ({ data: Buffer.concat([Buffer.from(c.any()), s.bytes(s.below(400))]) }),
  (c, s) => ({ data: s.bytes(1 + s.below(2_000)), attributes: { subject: c.email() } }),
  (c, s) => ({ data: Buffer.concat([s.bytes(20), Buffer.from(c.any())]), contentType: 'application/octet-stream' }),
  (c) => ({ data: Buffer.from(c.any(), 'utf16le'), contentType: 'application/json; charset=utf-16' }),
  (c) => ({ data: Buffer.from(`mail ${c.email()}, key ${c.token()}`), contentType: 'text/plain' }),
  (c, s) => ({
    data: Buffer.from(`<p>${c.email()}</p>`),
    contentType: s.pick(['text/html', 'application/xml', 'a/b']),
  }),
  (c) => ({ data: Buffer.concat([Buffer.from([0xc3, 0x28]), Buffer.from(c.any())]), contentType: 'text/plain' }),
  // Too deep, too many, odd numbers, odd characters.
  (c, s) => ({ data: deep(s.pick([3, 30, 70, 500, 5_000]), `"${c.any()}"`) }),
  (c, s) => ({ data: Buffer.from(`[${'[],'.repeat(1 + s.below(3_000))}"${c.any()}"]`) }),
  (c, s) => ({
    data: Buffer.from(
      `{"n": ${s.pick(['1e999', '-0', '1E400', '0.1e-9999', '123456789012345678901234567890'])}, "e": "${c.email()}"}`,
    ),
  }),
  (c) => ({ data: Buffer.from(`{"\\ud800": "\\udfff ${c.email()} \\u0000\\u202e"}`) }),
  (c, s) => ({
    data: json(
      `${s.pick(['(a+)+$', 'a@'.repeat(500), '1-'.repeat(900), 'A '.repeat(700), '%25'.repeat(300)])} ${c.email()}`,
    ),
  }),
  // Attributes and addresses that are not those of an event.
  (c) => ({ tokens: { event: `e_${c.email()}` } }),
  (c) => ({ tokens: { event: `e_${c.token()}`, source: c.email(), topic: c.token(), tenant: c.email() } }),
  (c) => ({ tokens: { source: c.email() } }),
  (c) => ({ tokens: { topic: `mail ${c.email()}` } }),
  (c) => ({ attributes: { type: `t ${c.email()}` } }),
  (c) => ({ attributes: { type: c.token() }, tokens: {} }),
  (c) => ({ attributes: { specversion: c.any() } }),
  (c) => ({ attributes: { time: c.any() } }),
  (c) => ({ attributes: { [`x${c.token().toLowerCase()}`]: 'x' } }),
  (c) => ({ extraHeaders: [['Callboard-Oversized', c.any()]] }),
  (c) => ({
    extraHeaders: [
      [c.any(), c.any()],
      ['ce-subject', '\u0000'],
      ['Nats-Msg-Size', '7'],
    ],
  }),
  (c) => ({ contentType: `application/${c.token()}+json`, data: json({}) }),
  () => ({ data: Buffer.alloc(0) }),
];

/** Few of these, because each is some hundred kilobytes. */
const HUGE: Kind[] = [
  (c) => ({ data: json({ text: `${'lorem ipsum '.repeat(60_000)}${c.email()}` }) }),
  (c) => ({ data: json(Array.from({ length: 20_000 }, (_, i) => (i % 5_000 === 0 ? c.email() : i))) }),
  (c) => ({
    data: json(
      Object.fromEntries(Array.from({ length: 9_000 }, (_, i) => [`key ${i}`, i === 17 ? c.token() : 'v'.repeat(60)])),
    ),
  }),
  (c) => ({ data: Buffer.from(`${'['.repeat(200_000)}"${c.any()}"`) }),
  (c) => ({ data: Buffer.concat([Buffer.alloc(900_000, 0xff), Buffer.from(c.any())]), contentType: 'text/plain' }),
  (c) => ({
    data: Buffer.from(Buffer.from(`${c.email()} `.repeat(9_000)).toString('base64')),
    contentType: 'text/plain',
  }),
];

export function poison(i: number, seeded: Seeded, canaries: Canaries): PoisonMessage {
  const kind = i % 500 === 499 ? HUGE[((i - 499) / 500) % HUGE.length]! : seeded.pick(KINDS);
  const parts: Partial<Parts> = kind(canaries, seeded, i);
  const attributes: Record<string, string> = {
    specversion: '1.0',
    id: `${i}`,
    source: '/poison',
    type: 'poison.event',
    ...parts.attributes,
  };
  const name = eventName('acme', 'poison', { id: attributes['id']!, source: attributes['source']! });
  const tokens = {
    ...{ tenant: 'acme', source: 'poison', topic: attributes['type']!, key: `key ${i % 40}` },
    ...parts.tokens,
    // Subjects are told apart by it, whatever else they say.
    event: parts.tokens?.event === undefined ? name : `${parts.tokens.event}${digest(i)}`,
  };
  const { tenant, source, topic, key, event } = tokens;
  const contentType = 'contentType' in parts ? parts.contentType : 'application/json';
  return {
    subject: `raw.${[tenant, source, topic, key, event].map(encodeToken).join('.')}`,
    headers: [
      ...Object.entries(attributes).map(([attribute, value]): [string, string] => [
        `ce-${attribute}`,
        percentEncode(value),
      ]),
      ...(contentType === undefined ? [] : [['Content-Type', contentType] as [string, string]]),
      ...(parts.extraHeaders ?? []),
    ],
    data: parts.data ?? json({ text: canaries.any() }),
  };
}

function digest(i: number): string {
  return createHash('sha256').update(String(i)).digest('hex').slice(0, 8);
}
