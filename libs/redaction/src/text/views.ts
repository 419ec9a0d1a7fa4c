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
    if (next.text === source) break;
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

function decodeOnce(source: string): View {
  const parts: string[] = [];
  const starts: number[] = [];
  const ends: number[] = [];
  const put = (made: string, start: number, end: number): void => {
    parts.push(made);
    for (let k = 0; k < made.length; k++) {
      starts.push(start);
      ends.push(end);
    }
  };
  for (let i = 0; i < source.length;) {
    const code = source.charCodeAt(i);
    let made: string | undefined;
    let length = 1;
    if (code === 37) [made, length] = percentAt(source, i);
    else if (code === 38) [made, length] = entityAt(source, i);
    else if (code === 92) [made, length] = escapeAt(source, i);
    else if (code === 27) [made, length] = ansiAt(source, i);
    else if (code > 127) [made, length] = foldAt(source, i);
    put(made ?? source[i]!, i, i + length);
    i += length;
  }
  return { text: parts.join(''), starts: Int32Array.from(starts), ends: Int32Array.from(ends) };
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

function foldAt(text: string, at: number): Piece {
  const point = text.codePointAt(at)!;
  const original = String.fromCodePoint(point);
  const length = original.length;
  if (INVISIBLE.test(original)) return ['', length];
  if (point >= 0xe0000 && point <= 0xe01ef) return ['', length];
  const alike = LOOK_ALIKES.get(point);
  if (alike !== undefined) return [alike, length];
  if (/^\p{Nd}$/u.test(original)) return [String(digitValue(point)), length];
  if (/^[\p{Zs}\u2028\u2029]$/u.test(original)) return [' ', length];
  if (/^\p{Pd}$/u.test(original)) return ['-', length];
  return [original.normalize('NFKC'), length];
}

/** Decimal digits of every script come in runs of ten that begin with their zero. */
function digitValue(point: number): number {
  let zero = point;
  while (point - zero < 9 && /^\p{Nd}$/u.test(String.fromCodePoint(zero - 1))) zero--;
  const value = point - zero;
  // Mathematical digits follow each other in several styles without a gap; NFKC knows them.
  return point >= 0x1d7ce && point <= 0x1d7ff ? (point - 0x1d7ce) % 10 : value % 10;
}
