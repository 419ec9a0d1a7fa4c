/**
 * Other readings of a text: percent-encoding, HTML entities, `\u0040` escapes, full-width and other compatibility forms, zero-width
 * characters and look-alikes undone. A view keeps, for each of its characters, which characters of the original it was made of, so
 * that what is found in the view is cut out of the original.
 *
 * One view is one pass over the text; doubly encoded text needs another, MAX_ROUNDS in all.
 */
import { DISGUISE, traitsOf, type Traits } from './chars.js';
import { LOOK_ALIKES } from './look-alikes.js';

const MAX_ROUNDS = 3;

export interface View {
  text: string;
  /** Where in the original the character at an index begins, and, at index + 1, where the next one does. */
  starts: Int32Array;
  ends: Int32Array;
}

const ENTITIES: Record<string, string> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
  commat: '@',
  period: '.',
  colon: ':',
  sol: '/',
  lowbar: '_',
  hyphen: '-',
  plus: '+',
  num: '#',
  equals: '=',
  Tab: ' ',
  NewLine: '\n',
};

export const NO_VIEWS: readonly View[] = [];

/** The readings of a text that differ from it, each made from the one before. */
export function viewsOf(text: string, traits: Traits = traitsOf(text)): readonly View[] {
  if ((traits.has & DISGUISE) === 0) return NO_VIEWS;
  const views: View[] = [];
  let current: View | undefined;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const source: string = current?.text ?? text;
    if (current !== undefined && (traitsOf(source).has & DISGUISE) === 0) break;
    const next = decodeOnce(source);
    if (next === undefined || next.text === source) break;
    current = current === undefined ? next : compose(current, next);
    views.push(current);
  }
  return views;
}

/** Spans of a view, as spans of the original. */
export function toOriginal(view: View, span: { start: number; end: number }): { start: number; end: number } {
  return { start: view.starts[span.start]!, end: view.ends[span.end - 1]! };
}

function compose(outer: View, inner: View): View {
  const starts = new Int32Array(inner.text.length);
  const ends = new Int32Array(inner.text.length);
  for (let i = 0; i < inner.text.length; i++) {
    starts[i] = outer.starts[inner.starts[i]!]!;
    ends[i] = outer.ends[inner.ends[i]! - 1]!;
  }
  return { text: inner.text, starts, ends };
}

/** The text with one layer undone; undefined when there is nothing to undo. Nothing is copied before the first change. */
function decodeOnce(source: string): View | undefined {
  const lookAlikes = new Disguises(source);
  const codes: number[] = [];
  const starts: number[] = [];
  const ends: number[] = [];
  let changed = false;
  for (let i = 0; i < source.length;) {
    const code = source.charCodeAt(i);
    let made: string | undefined;
    let length = 1;
    if (code === 37) [made, length] = percentAt(source, i);
    else if (code === 38) [made, length] = entityAt(source, i);
    else if (code === 92) [made, length] = escapeAt(source, i);
    else if (code === 27) [made, length] = ansiAt(source, i);
    else if (code > 127) {
      const point = source.codePointAt(i)!;
      length = point > 0xffff ? 2 : 1;
      made = lookAlikes.at(point, i) ?? plainOf(point);
    }
    if (made !== undefined && !changed) {
      changed = true;
      for (let k = 0; k < i; k++) {
        codes.push(source.charCodeAt(k));
        starts.push(k);
        ends.push(k + 1);
      }
    }
    if (changed) {
      for (let k = 0; k < (made ?? source.slice(i, i + length)).length; k++) {
        codes.push(made === undefined ? source.charCodeAt(i + k) : made.charCodeAt(k));
        starts.push(i);
        ends.push(i + length);
      }
    }
    i += length;
  }
  if (!changed) return undefined;
  return { text: textOf(codes), starts: Int32Array.from(starts), ends: Int32Array.from(ends) };
}

const CHUNK = 8192;

function textOf(codes: number[]): string {
  let text = '';
  for (let i = 0; i < codes.length; i += CHUNK) text += String.fromCharCode(...codes.slice(i, i + CHUNK));
  return text;
}

/** Look-alikes disguise something only among Latin letters: in a word of its own script, a letter is itself. */
class Disguises {
  /** For its shape: see `kept` in redact.ts. */
  static readonly kept = new Disguises('');

  #to = 0;
  #latin = false;

  constructor(private readonly text: string) {}

  at(point: number, index: number): string | undefined {
    const alike = LOOK_ALIKES.get(point);
    if (alike === undefined) return undefined;
    if (index >= this.#to) this.#readToken(index);
    return this.#latin || !/[a-z]/i.test(alike) ? alike : undefined;
  }

  /** The token around: up to the next space, and back to the end of the one before. */
  #readToken(index: number): void {
    const { text } = this;
    let start = index;
    while (start > this.#to && text.charCodeAt(start - 1) > 32) start--;
    this.#latin = false;
    for (this.#to = start; this.#to < text.length && text.charCodeAt(this.#to) > 32; this.#to++) {
      const code = text.charCodeAt(this.#to) | 32;
      if (code >= 97 && code <= 122) this.#latin = true;
    }
  }
}

type Piece = [made: string | undefined, length: number];

function hexAt(text: string, at: number, digits: number): number {
  let value = 0;
  for (let i = at; i < at + digits; i++) {
    const digit = parseInt(text[i] ?? '', 16);
    if (Number.isNaN(digit)) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/** `%40`, and the bytes of one character beyond ASCII. */
function percentAt(text: string, at: number): Piece {
  const first = hexAt(text, at + 1, 2);
  if (first < 0) return [undefined, 1];
  if (first < 0x80) return [String.fromCharCode(first), 3];
  const size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  const bytes = [first];
  for (let k = 1; k < size; k++) {
    const byte = text[at + 3 * k] === '%' ? hexAt(text, at + 3 * k + 1, 2) : -1;
    if (byte < 0) return [undefined, 1];
    bytes.push(byte);
  }
  const made = Buffer.from(bytes).toString('utf8');
  return made.includes('\ufffd') ? [undefined, 1] : [made, size * 3];
}

/** `&amp;`, `&#64;`, `&#x40;`; the semicolon is required. */
function entityAt(text: string, at: number): Piece {
  const end = text.slice(at, at + 12).indexOf(';');
  if (end < 2) return [undefined, 1];
  const name = text.slice(at + 1, at + end);
  const named = Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : undefined;
  if (named !== undefined) return [named, end + 1];
  if (!/^#(?:\d{1,7}|[xX][0-9a-fA-F]{1,6})$/.test(name)) return [undefined, 1];
  const code = /^#[xX]/.test(name) ? parseInt(name.slice(2), 16) : parseInt(name.slice(1), 10);
  return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff)
    ? [String.fromCodePoint(code), end + 1]
    : [undefined, 1];
}

/** `\u0040` and `\x40`, as left behind in JSON that was cut or written into a log line. */
function escapeAt(text: string, at: number): Piece {
  const kind = text[at + 1];
  if (kind === 'u') {
    const code = hexAt(text, at + 2, 4);
    return code > 0 ? [String.fromCharCode(code), 6] : [undefined, 1];
  }
  if (kind === 'x') {
    const code = hexAt(text, at + 2, 2);
    return code > 0 ? [String.fromCharCode(code), 4] : [undefined, 1];
  }
  if (kind === 'n' || kind === 'r' || kind === 't') return [kind === 't' ? ' ' : '\n', 2];
  return kind === '"' || kind === '/' ? [kind, 2] : [undefined, 1];
}

/** Colours of a terminal. */
function ansiAt(text: string, at: number): Piece {
  if (text[at + 1] !== '[') return [undefined, 1];
  let i = at + 2;
  while (i < at + 20 && /[0-9;]/.test(text[i] ?? '')) i++;
  return /[A-Za-z]/.test(text[i] ?? '') ? ['', i + 1 - at] : [undefined, 1];
}

const INVISIBLE =
  /^[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]$/;

/** What characters beyond ASCII are without their form: null where they stay. As far as they were met. */
const plains = new Map<number, string | null>();
const MOST_PLAINS = 8192;

function plainOf(point: number): string | undefined {
  let plain = plains.get(point);
  if (plain === undefined) {
    const original = String.fromCodePoint(point);
    const made = withoutForm(original, point);
    plain = made === original ? null : made;
    if (plains.size < MOST_PLAINS) plains.set(point, plain);
  }
  return plain ?? undefined;
}

function withoutForm(original: string, point: number): string {
  if (INVISIBLE.test(original)) return '';
  if (point >= 0xe0000 && point <= 0xe01ef) return '';
  if (/^\p{Nd}$/u.test(original)) return String(digitValue(point));
  if (/^[\p{Zs}\u2028\u2029]$/u.test(original)) return ' ';
  if (/^\p{Pd}$/u.test(original)) return '-';
  return original.normalize('NFKC');
}

/** Decimal digits of every script come in runs of ten that begin with their zero. */
function digitValue(point: number): number {
  let zero = point;
  while (point - zero < 9 && /^\p{Nd}$/u.test(String.fromCodePoint(zero - 1))) zero--;
  const value = point - zero;
  // Mathematical digits follow each other in several styles without a gap; NFKC knows them.
  return point >= 0x1d7ce && point <= 0x1d7ff ? (point - 0x1d7ce) % 10 : value % 10;
}
