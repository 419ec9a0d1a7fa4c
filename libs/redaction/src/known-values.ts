/**
 * Known values: what was found once, by its field or by a detector, is found wherever else it stands in the event, in other fields, in
 * keys, in what is encoded. One automaton (Aho and Corasick) for all of them, so that the time depends on the length of the text only.
 */
import { RefusedError } from './limits.js';
import { fold } from './text/fold.js';
import { ARTICLE, CITY, ENGLISH, FAMILY, GIVEN, kindOf, NO_NAME, OTHER, PLACE, STOP } from './text/lexicon.js';
import { isWordChar, pairsOf } from './text/chars.js';
import { lowerOf } from './text/scan.js';
import type { EntityType, Span } from './types.js';

interface Entry {
  length: number;
  type: EntityType;
  value: string;
  /** A word among words: it stands alone, begins with a capital letter, and is not looked for in identifiers. */
  word: boolean;
}

interface Node {
  next: Map<number, Node>;
  fail: Node | undefined;
  entry: Entry | undefined;
  /** The nearest shorter entry that ends here too. */
  shorter: Node | undefined;
}

/** Least length of a value that is looked for elsewhere; of what is shorter, too much else is equal. */
const SHORTEST: Partial<Record<EntityType, number>> = {
  PERSON: 4,
  ZIP: 99,
  IP: 7,
  ADDRESS: 10,
  SECRET: 6,
  DOB: 8,
  USER: 4,
  TEXT: 99,
};
const SHORTEST_OTHER = 6;
/** Longer values (keys in PEM, mostly) are found by their form wherever they stand. */
const LONGEST = 1024;
/** Of values that end alike, so many are tried at one place. */
const MOST_HOPS = 8;
/** Nodes of the automaton; beyond, the event is refused as one with too many findings. */
const MOST_NODES = 200_000;

/** Of more values, some are in every text as far as their pairs of characters tell. */
const MOST_COMPARED = 24;
const BEGINNINGS = 2048;
const NO_BEGINNINGS = new Uint8Array(0);

export class KnownValues {
  readonly #root: Node = { next: new Map(), fail: undefined, entry: undefined, shorter: undefined };
  /** What a text has to have that holds the value; for each value once. */
  readonly #pairs: number[] = [];
  readonly #added = new Set<string>();
  #size = 0;
  #nodes = 0;
  /** What known values begin with, two characters each, by a hash. */
  #begin = NO_BEGINNINGS;
  #ready = false;

  /** Whether a text with such pairs of characters can hold a known value. Says yes too often, never no. */
  mayBeIn(pairs: number): boolean {
    if (this.#size > MOST_COMPARED) return true;
    for (const own of this.#pairs) if ((own & pairs) === own) return true;
    return false;
  }

  get size(): number {
    return this.#size;
  }

  add(type: EntityType, value: string): void {
    // A value that stands a thousand times in a text is one.
    const id = `${type}\0${value}`;
    if (this.#added.has(id)) return;
    this.#added.add(id);
    const text = value.trim();
    if (text.length < (SHORTEST[type] ?? SHORTEST_OTHER) || text.length > LONGEST) return;
    if (type === 'SECRET' && /^(?:[a-z]+|\d{1,7})$/i.test(text) && text.length < 8) return;
    const word = type === 'PERSON' && !/\s/.test(text);
    if (word && !tellsPerson(text)) return;
    this.#insert(lowerOf(text), { length: text.length, type, value: text, word });
    const digits = text.replace(/[^\p{L}\p{N}]/gu, '');
    if (digits !== text && digits.length >= 7 && /^(?:PHONE|CREDIT_CARD|IBAN|NATIONAL_ID|ACCOUNT)$/.test(type)) {
      this.#insert(lowerOf(digits), { length: digits.length, type, value: text, word: false });
    }
    if (type !== 'PERSON') return;
    for (const part of text.split(/[^\p{L}\p{N}]+/u)) {
      // The part stands for the whole name: they get one pseudonym.
      if (part !== text && /^\p{Lu}/u.test(part) && tellsPerson(part)) {
        this.#insert(lowerOf(part), { length: part.length, type, value: text, word: true });
      }
    }
  }

  /** Spans of known values, and for each the value as it was first found. `identifiers`: the text is a link or an identifier. */
  find(text: string, identifiers: boolean): (Span & { value: string })[] {
    if (this.#size === 0) return [];
    this.#link();
    const lower = lowerOf(text);
    const begin = this.#begin;
    const found: (Span & { value: string })[] = [];
    let node = this.#root;
    for (let i = 0; i < lower.length; i++) {
      const code = lower.charCodeAt(i);
      // Most characters begin no known value.
      if (node === this.#root && begin[beginning(code, lower.charCodeAt(i + 1))] === 0) continue;
      let next = node.next.get(code);
      while (next === undefined && node.fail !== undefined) {
        node = node.fail;
        next = node.next.get(code);
      }
      node = next ?? this.#root;
      let hit: Node | undefined = node.entry === undefined ? node.shorter : node;
      for (let hops = 0; hit !== undefined && hops < MOST_HOPS; hops++, hit = hit.shorter) {
        const entry = hit.entry!;
        const start = i + 1 - entry.length;
        if (!stands(text, start, i + 1, entry, identifiers)) continue;
        found.push({ start, end: i + 1, type: entry.type, detector: 'known_values', value: entry.value });
        break;
      }
    }
    return found;
  }

  #insert(key: string, entry: Entry): void {
    let node = this.#root;
    if (this.#begin === NO_BEGINNINGS) this.#begin = new Uint8Array(BEGINNINGS);
    this.#begin[beginning(key.charCodeAt(0), key.charCodeAt(1))] = 1;
    for (let i = 0; i < key.length; i++) {
      const code = key.charCodeAt(i);
      let next = node.next.get(code);
      if (next === undefined) {
        if (++this.#nodes > MOST_NODES) throw new RefusedError('too_many_findings');
        next = { next: new Map(), fail: undefined, entry: undefined, shorter: undefined };
        node.next.set(code, next);
      }
      node = next;
    }
    if (node.entry !== undefined && (node.entry.word || !entry.word)) {
      if (!node.entry.word) return;
    } else if (node.entry !== undefined) return;
    node.entry = entry;
    if (this.#size < MOST_COMPARED) this.#pairs.push(pairsOf(key));
    this.#size++;
    this.#ready = false;
  }

  #link(): void {
    if (this.#ready) return;
    const queue: Node[] = [...this.#root.next.values()];
    for (const child of queue) child.fail = this.#root;
    for (let i = 0; i < queue.length; i++) {
      const node = queue[i]!;
      for (const [code, child] of node.next) {
        let fail = node.fail;
        while (fail !== undefined && !fail.next.has(code)) fail = fail.fail;
        child.fail = fail?.next.get(code) ?? this.#root;
        child.shorter = child.fail.entry === undefined ? child.fail.shorter : child.fail;
        queue.push(child);
      }
    }
    this.#ready = true;
  }
}

function beginning(first: number, second: number): number {
  return (first * 37 + second) & (BEGINNINGS - 1);
}

function stands(text: string, start: number, end: number, entry: Entry, identifiers: boolean): boolean {
  if (entry.word) {
    if (identifiers || !/^\p{Lu}/u.test(text.slice(start, start + 2)) || /[@/:_.-]/.test(text[start - 1] ?? ''))
      return false;
  } else if (entry.length >= 12 && entry.type !== 'PERSON') return true;
  const alone = (index: number): boolean => index < 0 || index >= text.length || !isWordChar(text.charCodeAt(index));
  return alone(start - 1) && alone(end);
}

/** Whoever has read the whole name: do they know who is meant by this part of it? */
function tellsPerson(word: string): boolean {
  const kind = kindOf(fold(word));
  // Of somebody who is known by name, a common name is the name: in that event, Grace is more likely a person than a virtue.
  if ((kind & (GIVEN | FAMILY)) !== 0 && word.length >= 2) return (kind & (STOP | ARTICLE | CITY)) === 0;
  return (
    word.length >= 3 && (kind & (NO_NAME | STOP | ENGLISH | OTHER)) === 0 && !((kind & PLACE) !== 0 && word.length < 5)
  );
}
