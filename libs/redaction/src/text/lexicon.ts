/**
 * What is known of single words: whether they are names, places, words of a language, or words that say something about the ones next to
 * them. One table, so that a word is looked up once.
 *
 * The names and places come from locale data, made into a file by the build; what is said about words by hand is in word-kinds.ts.
 */
import { readFileSync } from 'node:fs';
import { COMMON_FAMILY_NAMES, COMMON_GIVEN_NAMES } from './common-names.js';
import { WORD_KINDS } from './word-kinds.js';

export const GIVEN = 1;
export const FAMILY = 1 << 1;
export const PLACE = 1 << 2;
export const ENGLISH = 1 << 3;
/** A word of another language. */
export const OTHER = 1 << 4;
/** No name, though somebody may be called so. */
export const NO_NAME = 1 << 5;
/** A name where another name stands next to it. */
export const IN_COMPANY = 1 << 6;
export const TITLE = 1 << 7;
/** Within a name: van, de, bin. */
export const PARTICLE = 1 << 8;
/** A verb of speech: who speaks is a person. */
export const SPEECH = 1 << 9;
/** Function words of many languages, which begin sentences. */
export const STOP = 1 << 10;
/** What a person is: president, singer, Trainer. */
export const ROLE = 1 << 11;
/** What makes a name that of an organisation or a place: Inc, University, Street. */
export const OF_A_THING = 1 << 12;
export const ARTICLE = 1 << 13;
/** Of German only, where every noun is capitalised. */
export const GERMAN = 1 << 14;

/** A place first, a name second. */
export const CITY = 1 << 15;
export const BEHIND_NAME = 1 << 16;

const BITS = {
  noName: NO_NAME,
  inCompany: IN_COMPANY,
  title: TITLE,
  particle: PARTICLE,
  speech: SPEECH,
  stop: STOP,
  role: ROLE,
  ofAThing: OF_A_THING,
  article: ARTICLE,
  german: GERMAN,
  city: CITY,
  behindName: BEHIND_NAME,
} as const;

let kinds: Map<string, number> | undefined;

/** Of a folded word. */
export function kindOf(folded: string): number {
  return (kinds ??= readKinds()).get(folded) ?? 0;
}

export function is(folded: string, bits: number): boolean {
  return (kindOf(folded) & bits) !== 0;
}

function readKinds(): Map<string, number> {
  const made = new Map<string, number>();
  const file = readWords();
  // The first line says where the words are from.
  for (let start = file.indexOf('\n') + 1; start < file.length;) {
    const end = file.indexOf('\n', start);
    const digit = file.charCodeAt(end - 1);
    made.set(file.slice(start, end - 1), digit < 58 ? digit - 48 : digit - 87);
    start = end + 1;
  }
  for (const word of COMMON_GIVEN_NAMES) made.set(word, (made.get(word) ?? 0) | GIVEN);
  for (const word of COMMON_FAMILY_NAMES) made.set(word, (made.get(word) ?? 0) | FAMILY);
  for (const [name, bit] of Object.entries(BITS)) {
    for (const word of WORD_KINDS[name as keyof typeof BITS]) made.set(word, (made.get(word) ?? 0) | bit);
  }
  return made;
}

function readWords(): string {
  try {
    return readFileSync(new URL('../words.txt', import.meta.url), 'utf8');
  } catch {
    throw new Error('libs/redaction/dist/words.txt is missing. Run: npm run build');
  }
}
