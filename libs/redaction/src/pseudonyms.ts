/**
 * Pseudonyms: the same value of the same type has the same one in all events of a tenant, so that a reader can tell one person from
 * another; without the key nothing can be computed from it, not even by trying all telephone numbers.
 *
 * They are short, for a reader. Where two values of one event would get the same, the second is longer.
 */
import { createHmac, hkdfSync } from 'node:crypto';
import { is, TITLE } from './text/lexicon.js';
import { fold } from './text/fold.js';
import type { EntityType } from './types.js';

/** Hexadecimal digits that a pseudonym has, and grows by. */
export const SHORTEST_PSEUDONYM = 4;
const LONGEST_PSEUDONYM = 64;

/** The key of one tenant, derived (HKDF, RFC 5869) from the key of the installation: at least 16 bytes, which should be random. */
export function tenantKey(key: Uint8Array, tenant: string): Uint8Array {
  if (key.length < 16) throw new RangeError('The key for pseudonyms must have 16 bytes at least.');
  let derived = keysOfTenants.get(key);
  if (derived === undefined || derived.size >= MOST_REMEMBERED) keysOfTenants.set(key, (derived = new Map()));
  let made = derived.get(tenant);
  if (made === undefined) {
    made = new Uint8Array(hkdfSync('sha256', key, 'callboard/redaction', `tenant\0${tenant}`, 32));
    derived.set(tenant, made);
  }
  return made;
}

/** Deriving a key takes as long as redacting a small event. */
const keysOfTenants = new WeakMap<Uint8Array, Map<string, Uint8Array>>();
const MOST_REMEMBERED = 1024;

export class Pseudonyms {
  /** For its shape: see `kept` in redact.ts. */
  static readonly kept = createHmac('sha256', '');

  readonly #taken = new Map<string, string>();
  readonly #known = new Map<string, string>();
  /** The same by how the value is written: a text may name somebody a thousand times. */
  readonly #written = new Map<string, string>();

  constructor(
    private readonly key: Uint8Array,
    private readonly length: number,
  ) {}

  /** What stands in the place of a value. */
  of(type: EntityType, value: string): string {
    const asWritten = `${type}\0${value}`;
    let made = this.#written.get(asWritten);
    if (made === undefined) this.#written.set(asWritten, (made = this.#make(type, value)));
    return made;
  }

  #make(type: EntityType, value: string): string {
    const normal = `${type}\0${normalForm(type, value)}`;
    const known = this.#known.get(normal);
    if (known !== undefined) return known;
    const hash = createHmac('sha256', this.key).update(normal).digest('hex');
    let length = this.length;
    while (length < LONGEST_PSEUDONYM && (this.#taken.get(`${type}:${hash.slice(0, length)}`) ?? hash) !== hash)
      length += 4;
    this.#taken.set(`${type}:${hash.slice(0, length)}`, hash);
    const placeholder = `[${type}:${hash.slice(0, length)}]`;
    this.#known.set(normal, placeholder);
    return placeholder;
  }
}

/** Ways to write one value: they have one pseudonym. */
function normalForm(type: EntityType, value: string): string {
  switch (type) {
    case 'EMAIL':
      return value.trim().toLowerCase();
    case 'PHONE':
      return value
        .replace(/ ?(?:x|ext).*$/i, '')
        .replace(/\D/g, '')
        .replace(/^00/, '');
    case 'CREDIT_CARD':
    case 'IBAN':
    case 'NATIONAL_ID':
    case 'ACCOUNT':
    case 'MAC':
      return value.replace(/[^\p{L}\p{N}]/gu, '').toUpperCase();
    case 'PERSON':
      return fold(value)
        .split(/[^\p{L}\p{N}]+/u)
        .filter((word) => word !== '' && !is(word, TITLE))
        .join(' ');
    case 'ADDRESS':
    case 'ZIP':
    case 'IP':
      return value
        .replace(/[\s,]+/g, ' ')
        .trim()
        .toLowerCase();
    default:
      return value;
  }
}
