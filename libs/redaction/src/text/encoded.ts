/** Text within text: runs of base64 that decode to text, and strings that are JSON. */
import type { Json } from '../types.js';
import { placeholdersIn } from './placeholder.js';

export interface EncodedRun {
  start: number;
  end: number;
  text: string;
  /** Encodes a text the way the run was. */
  encode(text: string): string;
}

/** Fewer characters decode to fewer than nine bytes: nothing that is looked for. */
export const SHORTEST_RUN = 12;

/** Runs of base64 that hold readable text; where slashes separate segments of a path, each segment is tried. */
export function base64Runs(text: string): EncodedRun[] {
  const runs: EncodedRun[] = [];
  for (let i = 0; i < text.length; i++) {
    const start = i;
    let slash = false;
    let code = text.charCodeAt(i);
    while (code < 128 && VALUES[code]! >= 0) {
      if (code === 47) slash = true;
      code = text.charCodeAt(++i);
    }
    if (i - start < SHORTEST_RUN) continue;
    const end = text.charCodeAt(i) === 61 ? (text.charCodeAt(i + 1) === 61 ? i + 2 : i + 1) : i;
    const whole = beginsAsText(text, start) ? decode(text.slice(start, end), start) : undefined;
    if (whole !== undefined) runs.push(whole);
    else if (slash) segments(text, start, end, runs);
  }
  return runs;
}

function segments(text: string, from: number, to: number, runs: EncodedRun[]): void {
  let start = from;
  while (start < to) {
    const slash = text.indexOf('/', start);
    const end = slash === -1 || slash > to ? to : slash;
    const run =
      end - start >= SHORTEST_RUN && beginsAsText(text, start) ? decode(text.slice(start, end), start) : undefined;
    if (run !== undefined) runs.push(run);
    start = end + 1;
  }
}

function decode(run: string, start: number): EncodedRun | undefined {
  let size = run.length;
  while (size > 0 && run.charCodeAt(size - 1) === 61) size--;
  if (size % 4 === 1) return undefined;
  const bare = run.slice(0, size);
  const bytes = Buffer.from(bare, 'base64');
  let ascii = true;
  for (const byte of bytes) {
    if (byte >= 0x80) ascii = false;
    else if (!printable(byte)) return undefined;
  }
  const text = bytes.toString(ascii ? 'latin1' : 'utf8');
  if (!ascii && text.includes('\ufffd')) return undefined;
  const safe = /[-_]/.test(run);
  const padded = run.length % 4 === 0 && run !== bare;
  return {
    start,
    end: start + run.length,
    text,
    encode: (changed) => {
      const made = Buffer.from(changed, 'utf8').toString(safe ? 'base64url' : 'base64');
      return padded || (!safe && run.length % 4 === 0) ? made : made.replace(/=+$/, '');
    },
  };
}

const VALUES = new Int8Array(128).fill(-1);
[...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].forEach(
  (char, i) => (VALUES[char.charCodeAt(0)] = i),
);
VALUES[45] = 62;
VALUES[95] = 63;

/** The first six bytes tell a path or an identifier from text nearly always, before anything is copied. */
function beginsAsText(text: string, from: number): boolean {
  let previous = 0;
  for (let i = from; i < from + 8; i += 4) {
    const bits =
      (VALUES[text.charCodeAt(i)]! << 18) |
      (VALUES[text.charCodeAt(i + 1)]! << 12) |
      (VALUES[text.charCodeAt(i + 2)]! << 6) |
      VALUES[text.charCodeAt(i + 3)]!;
    for (let shift = 16; shift >= 0; shift -= 8) {
      const byte = (bits >> shift) & 255;
      // A byte that goes on with a character of UTF-8 follows one that began it or went on with it.
      const fits = byte < 0x80 ? printable(byte) : byte < 0xc0 ? previous >= 0x80 : byte < 0xf5 && byte > 0xc1;
      if (!fits) return false;
      previous = byte;
    }
  }
  return true;
}

function printable(byte: number): boolean {
  return (byte >= 32 && byte < 127) || byte === 9 || byte === 10 || byte === 13;
}

/** What JSON within a string begins with, spaces before it included. */
const WITHIN = new Set([...'{["\t\n\r '].map((char) => char.charCodeAt(0)));

/** The JSON that a string holds: an object, an array, or a string that was encoded once more. */
export function jsonWithin(text: string): Json | undefined {
  if (!WITHIN.has(text.charCodeAt(0))) return undefined;
  const trimmed = text.trim();
  const first = trimmed[0];
  const last = trimmed.at(-1);
  if (!(
    (first === '{' && last === '}') ||
    (first === '[' && last === ']') ||
    (first === '"' && last === '"' && trimmed.length > 2)
  ))
    return undefined;
  // Numbers that a double cannot hold would come out as others: such text is read as text.
  if (/[[:,]\s{0,8}-?\d{16}/.test(trimmed) || isPlaceholderOnly(trimmed)) return undefined;
  try {
    return JSON.parse(trimmed) as Json;
  } catch {
    return undefined;
  }
}

function isPlaceholderOnly(text: string): boolean {
  const [first] = placeholdersIn(text);
  return first !== undefined && first.start === 0;
}
