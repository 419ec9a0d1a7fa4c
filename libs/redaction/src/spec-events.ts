/**
 * Events with private values planted in them, for tests: Backstage and webhook shapes, each value in many places and encodings, and
 * beside them what must survive. From a seed, so that a failure can be played again.
 */
import type { Json } from './types.js';

export interface Planted {
  event: { [key: string]: Json };
  /** What must not be found in the redacted event, however it is decoded. */
  values: { type: string; value: string; encoding: string }[];
  /** JSON pointers of what must be as it was. */
  survivors: string[];
}

/** mulberry32: small, seeded, and good enough to choose with. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const GIVEN =
  'Ingrid Mateus Aleksandra Siobhan Tariq Wojciech Yolanda Benedikt Chiara Dimitrios Fatima Giulia Henrik Ioana Jadwiga'.split(
    ' ',
  );
const FAMILY =
  'Lindqvist Okonkwo Papadopoulos Szymanski Villanueva Brandstetter Castellanos Fitzgerald Hernandez Johansson Kowalczyk Moreau'.split(
    ' ',
  );

export class Generator {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = random(seed);
  }

  int(below: number): number {
    return Math.floor(this.#next() * below);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)]!;
  }

  digits(count: number): string {
    return Array.from({ length: count }, () => this.int(10)).join('');
  }

  chars(count: number, alphabet: string): string {
    return Array.from({ length: count }, () => alphabet[this.int(alphabet.length)]).join('');
  }

  person(): string {
    return `${this.pick(GIVEN)} ${this.pick(FAMILY)}`;
  }

  value(type: string): string {
    switch (type) {
      case 'PERSON':
        return this.person();
      case 'EMAIL':
        return `${this.person()
          .toLowerCase()
          .replace(
            ' ',
            this.pick(['.', '_', '']),
          )}${this.int(99)}@${this.pick(['example.org', 'mail.acme.co.uk', 'corp.example'])}`;
      case 'CREDIT_CARD':
        return withLuhn(`4${this.digits(14)}`);
      case 'IBAN':
        return withIbanCheck('DE', this.digits(18));
      case 'PHONE':
        return this.pick([
          `+1 415 555 ${this.digits(4)}`,
          `+44 20 7946 0${this.digits(3)}`,
          `+49 30 901820${this.digits(2)}`,
          `(212) 555-${this.digits(4)}`,
        ]);
      case 'NATIONAL_ID':
        return `${1 + this.int(5)}${1 + this.int(9)}${this.int(10)}-${10 + this.int(80)}-${1000 + this.int(8999)}`;
      case 'IP':
        return `${11 + this.int(80)}.${this.int(256)}.${this.int(256)}.${1 + this.int(254)}`;
      default:
        return this.secret();
    }
  }

  secret(): string {
    const alnum = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
    const jwt = (): string =>
      `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.${Buffer.from(`{"sub":"${this.digits(9)}"}`).toString('base64url')}.${this.chars(43, alnum)}`;
    return this.pick([
      () => `ghp_${this.chars(36, alnum)}`,
      () => `glpat-${this.chars(20, alnum)}`,
      () => `AKIA${this.chars(16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')}`,
      () => `xoxb-${this.digits(12)}-${this.digits(12)}-${this.chars(24, alnum)}`,
      () => `npm_${this.chars(36, alnum)}`,
      jwt,
    ])();
  }
}

export const VALUE_TYPES = ['PERSON', 'EMAIL', 'CREDIT_CARD', 'IBAN', 'PHONE', 'NATIONAL_ID', 'IP', 'SECRET'];

/** Ways to hide a text that contains a value; each is undone by `everyReading`. */
const ENCODINGS: Record<string, (text: string) => string> = {
  plain: (text) => text,
  percent: (text) => encodeURIComponent(text),
  percent_all: (text) => Array.from(Buffer.from(text), (byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  percent_twice: (text) => encodeURIComponent(encodeURIComponent(text)),
  entities: (text) => Array.from(text, (char) => `&#${char.codePointAt(0)};`).join(''),
  hex_entities: (text) => text.replace(/[@.: +-]/g, (char) => `&#x${char.charCodeAt(0).toString(16)};`),
  base64: (text) => Buffer.from(text).toString('base64'),
  base64url: (text) => Buffer.from(text).toString('base64url'),
  base64_twice: (text) => Buffer.from(Buffer.from(text).toString('base64')).toString('base64'),
  json: (text) => JSON.stringify({ note: text }),
  json_twice: (text) => JSON.stringify(JSON.stringify({ note: [text] })),
  json_in_base64: (text) => Buffer.from(JSON.stringify({ list: [{ note: text }] })).toString('base64'),
  escaped: (text) => Array.from(text, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  zero_width: (text) => text.replace(/(?<=\w\w)(?=\w)/g, '\u200b'),
  soft_hyphen: (text) => text.replace(/(?<=\w)(?=\w\w)/g, '\u00ad'),
  full_width: (text) => text.replace(/[!-~]/g, (char) => String.fromCharCode(char.charCodeAt(0) + 0xfee0)),
};

const SENTENCES: Record<string, (value: string) => string> = {
  PERSON: (value) => `The rollout was approved by ${value} this morning`,
  EMAIL: (value) => `Please write to ${value} about the outage`,
  CREDIT_CARD: (value) => `The invoice was paid with ${value} yesterday`,
  IBAN: (value) => `Refund it to ${value} please`,
  PHONE: (value) => `If it pages again, call ${value} at once`,
  NATIONAL_ID: (value) => `Her ssn is ${value} in the form`,
  IP: (value) => `Refused a login from ${value} after midnight`,
  SECRET: (value) => `It started with ${value} in the log`,
};

export function plantedEvent(seed: number): Planted {
  const make = new Generator(seed);
  const values: Planted['values'] = [];
  const plant = (type: string, encoding: string): string => {
    const value = make.value(type);
    values.push({ type, value, encoding });
    return ENCODINGS[encoding]!(SENTENCES[type]!(value));
  };
  const field = (type: string): string => {
    const value = make.value(type);
    values.push({ type, value, encoding: 'field' });
    return value;
  };
  const person = field('PERSON');
  const email = field('EMAIL');
  const sha = make.chars(40, '0123456789abcdef');
  const encoded: { [key: string]: Json } = {};
  for (let i = 0; i < 6; i++)
    encoded[`note${'abcdef'[i]}`] = plant(make.pick(VALUE_TYPES), make.pick(Object.keys(ENCODINGS)));
  const inKey = make.value('EMAIL');
  values.push({ type: 'EMAIL', value: inKey, encoding: 'key' });
  const event: Planted['event'] = {
    specversion: '1.0',
    id: `${make.digits(8)}-evt`,
    source: 'https://backstage.example/api/events',
    type: 'com.example.push',
    time: '2026-03-04T05:06:07.890Z',
    data: {
      entityRef: 'user:default/jane.doe',
      ref: 'refs/heads/main',
      after: sha,
      commits: [
        {
          id: sha,
          tree_id: make.chars(40, '0123456789abcdef'),
          timestamp: '2026-03-04T05:06:07+01:00',
          message: `Fix it\n\nCo-authored-by: ${person} <${email}>`,
          author: { name: person, email },
        },
      ],
      repository: {
        full_name: 'acme/web',
        size: 123456789,
        node_id: 'MDQ6VXNlcjQ1OTU0Nzc=',
        url: 'https://api.github.com/repos/acme/web',
      },
      version: '10.4.128.7',
      uid: '6fa459ea-ee8a-3ca4-894e-db77e160355e',
      members: { [inKey]: 'maintainer' },
      login_from: `seen ${person} again`,
      client_ip: field('IP'),
      phone: field('PHONE'),
      api_token: field('SECRET'),
      encoded,
    },
  };
  return {
    event,
    values,
    survivors: [
      '/specversion',
      '/id',
      '/source',
      '/type',
      '/time',
      '/data/entityRef',
      '/data/ref',
      '/data/after',
      '/data/commits/0/id',
      '/data/commits/0/tree_id',
      '/data/commits/0/timestamp',
      '/data/repository/full_name',
      '/data/repository/size',
      '/data/repository/node_id',
      '/data/repository/url',
      '/data/version',
      '/data/uid',
    ],
  };
}

export function at(value: Json, pointer: string): Json | undefined {
  let current: Json | undefined = value;
  for (const segment of pointer.split('/').slice(1)) {
    if (current === null || typeof current !== 'object') return undefined;
    current = (current as { [key: string]: Json })[segment];
  }
  return current;
}

/** Every string of a value, keys too, in every way that it can be read: this is the reader that must not find a value. */
export function everyReading(value: Json): string[] {
  const readings = new Set<string>();
  const read = (text: string, rounds: number): void => {
    if (readings.has(text) || rounds > 6) return;
    readings.add(text);
    for (const other of [percentDecoded(text), entitiesDecoded(text), escapesDecoded(text), visible(text)])
      if (other !== text) read(other, rounds + 1);
    for (const run of text.match(/[A-Za-z0-9+/_-]{8,}={0,2}/g) ?? []) {
      const decoded = Buffer.from(run, 'base64').toString('utf8');
      if (/^[\x20-\x7e\s]{6,}$/.test(decoded)) read(decoded, rounds + 1);
    }
    try {
      walk(JSON.parse(text) as Json, rounds + 1);
    } catch {
      // Not JSON: it has been read as text.
    }
  };
  const walk = (node: Json, rounds: number): void => {
    if (typeof node === 'string' || typeof node === 'number') read(String(node), rounds);
    else if (Array.isArray(node)) for (const item of node) walk(item, rounds);
    else if (node !== null && typeof node === 'object') {
      for (const [key, item] of Object.entries(node)) {
        read(key, rounds);
        walk(item, rounds);
      }
    }
  };
  walk(value, 0);
  return [...readings];
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function entitiesDecoded(text: string): string {
  return text.replace(/&#(x?)([0-9a-fA-F]+);/g, (_, hex: string, code: string) =>
    String.fromCodePoint(parseInt(code, hex === '' ? 10 : 16)),
  );
}

function escapesDecoded(text: string): string {
  return text.replace(/\\u([0-9a-fA-F]{4})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}

function visible(text: string): string {
  return text.normalize('NFKC').replace(/[\u00ad\u200b-\u200f\u2060\ufeff]/g, '');
}

function withLuhn(digits: string): string {
  for (let check = 0; check < 10; check++) {
    const number = `${digits}${check}`;
    let sum = 0;
    [...number].reverse().forEach((digit, i) => {
      const value = Number(digit) * (i % 2 === 1 ? 2 : 1);
      sum += value > 9 ? value - 9 : value;
    });
    if (sum % 10 === 0) return number;
  }
  throw new Error('one of ten check digits fits');
}

function withIbanCheck(country: string, account: string): string {
  const numbers = [...`${account}${country}00`].map((char) => parseInt(char, 36)).join('');
  return `${country}${String(98n - (BigInt(numbers) % 97n)).padStart(2, '0')}${account}`;
}
