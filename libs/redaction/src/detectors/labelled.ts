/**
 * `name: value` and `name=value` within a text: log lines, forms, .env files, query strings, YAML, program text. The name is read as the name
 * of a field would be; what follows is judged by what the name says.
 */
import { GIVEN, is } from '../text/lexicon.js';
import { fold } from '../text/fold.js';
import { isHarmless } from '../fields/harmless.js';
import { COLON, EQUALS } from '../text/chars.js';
import { meaningOf } from '../fields/field-names.js';
import type { EntityType, Span } from '../types.js';
import type { Detector, Sample } from './detector.js';
import { entropy, isFake } from './entropy.js';

const LONGEST_NAME = 48;
const LONGEST_VALUE = 4096;
/** A name or an address is not longer; what is, is neither. */
const LONGEST_LINE_VALUE = 256;
const NAME_CHAR = /[\p{L}\p{N}_.-]/u;
/** Types whose value ends with the line, not with the word. */
const LINE_TYPES = new Set<EntityType>(['PERSON', 'ADDRESS']);

export const labelled: Detector = {
  name: 'labelled',
  type: 'SECRET',
  strong: false,
  detect({ text, traits }: Sample): Span[] {
    if ((traits.has & (COLON | EQUALS)) === 0) return [];
    const spans: Span[] = [];
    let floor = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code !== 58 && code !== 61) continue;
      const name = nameOf(text, i, floor);
      const wasFloor = floor;
      floor = i + 1;
      if (name === '') continue;
      const meaning = meaningOf(name);
      const spaced = meaning.type === undefined ? meaningOf(twoWordsBefore(text, i, wasFloor)) : meaning;
      const type =
        meaning.type ?? spaced.type ?? (/^(?:name|user|username|contact)$/i.test(name) ? 'PERSON' : undefined);
      if (type === undefined) {
        continue;
      }
      const value = valueAfter(text, i, LINE_TYPES.has(type));
      if (value === undefined) continue;
      if (text.startsWith('..', value.end) || !fits(type, value, name)) continue;
      spans.push({ start: value.start, end: value.end, type, detector: `labelled.${type.toLowerCase()}` });
      i = value.end - 1;
      floor = value.end;
    }
    return spans;
  },
};

/** The name in front; of `value:` in a list of names and values, the name in the line above. */
function nameOf(text: string, at: number, floor: number): string {
  const name = nameBefore(text, at, floor);
  if (name !== 'value') return name;
  const before = text.slice(Math.max(0, at - 128), at);
  return /name: ?["']?([\w.-]{1,48})["']?[ \t]{0,8}\n[ \t]{0,40}value["']?$/.exec(before)?.[1] ?? name;
}

function nameBefore(text: string, at: number, floor: number): string {
  let end = at;
  while (end > floor && end > at - 3 && /[\s"':]/.test(text[end - 1]!) && text[end - 1] !== '\n') end--;
  let start = end;
  while (start > floor && end - start <= LONGEST_NAME && NAME_CHAR.test(text[start - 1]!)) start--;
  return end - start > LONGEST_NAME ? '' : text.slice(start, end);
}

/** `Phone number: …`, `API key = …`: the name may have a space within. */
function twoWordsBefore(text: string, at: number, floor: number): string {
  let space = at - 1;
  while (space > floor && space > at - 24 && text.charCodeAt(space) !== 32) space--;
  if (text.charCodeAt(space) !== 32) return '';
  const before = /[\p{L}\p{N}_]{1,20} [\p{L}\p{N}_]{1,20}["' ]{0,2}$/u.exec(text.slice(Math.max(floor, at - 44), at));
  return before?.[0].trim() ?? '';
}

/** Characters that end a value; of one that goes on to the end of the line, a colon does too: it is the next label. */
const STOPS = tableOf(' \t\n\r\v\f&;,"\'<>{}()[]|');
const LINE_STOPS = tableOf('\n\r&;|<>{}()[]":=');

function tableOf(chars: string): Uint8Array {
  const table = new Uint8Array(128);
  for (const char of chars) table[char.charCodeAt(0)] = 1;
  return table;
}

interface Value {
  start: number;
  end: number;
  text: string;
  quoted: boolean;
  tight: boolean;
}

function valueAfter(text: string, at: number, line: boolean): Value | undefined {
  let start = at + 1;
  if (text[start] === '=' || text[start] === '>') start++;
  const tight = start < text.length && !/\s/.test(text[start]!);
  while (start < text.length && start < at + 24 && (text[start] === ' ' || text[start] === '\t')) start++;
  const quote = text[start];
  if (quote === '"' || quote === "'" || quote === '`') {
    const limit = Math.min(text.length, start + 1 + (line ? LONGEST_LINE_VALUE : LONGEST_VALUE));
    for (let i = start + 1; i < limit; i++) {
      if (text[i] === '\n' && line) return undefined;
      if (text[i] === quote && text[i - 1] !== '\\')
        return { start: start + 1, end: i, text: text.slice(start + 1, i), quoted: true, tight };
    }
    return undefined;
  }
  let end = start;
  const limit = Math.min(text.length, start + (line ? LONGEST_LINE_VALUE : LONGEST_VALUE));
  const stop = line ? LINE_STOPS : STOPS;
  while (end < limit && !(text.charCodeAt(end) < 128 && stop[text.charCodeAt(end)] === 1)) end++;
  while (end > start && /[\s.,:]/.test(text[end - 1]!)) end--;
  return end > start ? { start, end, text: text.slice(start, end), quoted: false, tight } : undefined;
}

function fits(type: EntityType, value: Value, name: string): boolean {
  const text = value.text;
  if (isHarmless(text)) return false;
  const digits = text.replace(/\D/g, '').length;
  switch (type) {
    case 'SECRET':
      return isSecretValue(text, name, value.quoted || value.tight);
    case 'PERSON':
      return (
        /^\p{Lu}[\p{L}'’.-]{0,30}(?:[ +]\p{L}[\p{L}'’.-]{0,30}){0,4}$/u.test(text) &&
        text.length <= 60 &&
        (/[ +]/.test(text) || /name./i.test(name) || /.name/i.test(name) || is(fold(text), GIVEN))
      );
    case 'EMAIL':
      return text.includes('@');
    case 'PHONE':
      return digits >= 5 && digits <= 16;
    case 'ADDRESS':
      return digits > 0 && /\p{L}/u.test(text) && text.includes(' ') && text.length <= 200;
    case 'ZIP':
      return digits >= 3 && text.length <= 10;
    case 'DOB':
      return digits >= 4 && text.length <= 20;
    case 'IP':
    case 'MAC':
      return false;
    default:
      return digits >= 5 && /^[A-Z0-9 ./-]{5,34}$/i.test(text);
  }
}

const PASSWORD = /pass(?:word|wd|phrase|code)?$|^pwd$|pwd$/i;

function isSecretValue(text: string, name: string, deliberate: boolean): boolean {
  if (text.length < 4 || isFake(text, false) || /^(?:https?:)?\/\/|^\.{0,2}\/|^[\w-]+\($/.test(text)) return false;
  // Of an address, the credentials within are cut, and the rest stays; those that are a secret as a whole are called hooks.
  if (/public/i.test(name) || (/^[a-z][a-z0-9+.-]{1,20}:\/\//i.test(text) && !/hook/i.test(name))) return false;
  if (/tenant|client/i.test(name)) return /^[\w.~-]{20,64}$/.test(text) && /\d/.test(text);
  if (PASSWORD.test(name)) return deliberate || /[\d\W]/.test(text) ? !/^\d{1,3}$/.test(text) : false;
  if (isFake(text, true)) return false;
  if (text.length < 8 || /\s/.test(text.trim()) || /^[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)+$/.test(text)) return false;
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text)) return false;
  return (
    /\d/.test(text) &&
    /[A-Za-z]/.test(text) &&
    entropy(text) >= (deliberate ? 2.8 : 3.2) &&
    !/^[a-z]+(?:[-_/.][a-z0-9]+)+$/.test(text)
  );
}
