/**
 * Names of persons, by what is known of words and by what stands around them. A list of names alone is wrong too often: a third of the
 * capitalised words of a text are somebody's name somewhere. So the words of a chain ("Anna van der Berg") and their surroundings are
 * weighed, and a chain that is heavy enough is a name.
 *
 * Not found: names in lower case without an introduction, rare names standing alone, and names that are words.
 */
import { BEYOND_ASCII, SPACE } from '../text/chars.js';
import { inflectedKind } from '../text/inflections.js';
import {
  ARTICLE,
  BEHIND_NAME,
  CITY,
  ENGLISH,
  FAMILY,
  GERMAN,
  GIVEN,
  kindOf,
  IN_COMPANY,
  NO_NAME,
  OF_A_THING,
  OTHER,
  PARTICLE,
  PLACE,
  ROLE,
  SPEECH,
  STOP,
  TITLE,
} from '../text/lexicon.js';
import { fold } from '../text/fold.js';
import type { Word } from '../text/words.js';
import type { Span } from '../types.js';
import type { Detector, Sample } from './detector.js';
import { introducesLowerCase, introduction } from './introductions.js';

const LONGEST_CHAIN = 7;
const ENOUGH = 2;
const COMMON = ENGLISH | OTHER;
const BLOCKED = NO_NAME | STOP | OF_A_THING;
const LISTED = GIVEN | FAMILY;

export const person: Detector = {
  name: 'person',
  type: 'PERSON',
  strong: false,
  detect(sample: Sample): Span[] {
    if ((sample.traits.has & (SPACE | BEYOND_ASCII)) === 0) return [];
    const words = sample.words();
    const reader = new Reader(sample.text, words);
    for (let i = 0; i < words.length;) {
      i = words[i]!.capital ? reader.chain(i) : reader.lowerCase(i);
    }
    return reader.found();
  },
};

class Reader {
  /** For its shape: see `kept` in redact.ts. */
  static readonly kept = new Reader('', []);

  readonly #spans: Span[] = [];
  readonly #german: boolean;
  /** Prose without any capital letter. */
  readonly #caseless: boolean;
  /** Of each word: what is known of it, its inflections included. */
  readonly #kinds: Uint32Array;

  constructor(
    private readonly text: string,
    private readonly words: Word[],
  ) {
    let german = 0;
    let stops = 0;
    let capitals = false;
    this.#kinds = new Uint32Array(words.length);
    const inflected = inflectedKind(text);
    for (let i = 0; i < words.length; i++) {
      const { kind, capital, folded } = words[i]!;
      this.#kinds[i] =
        inflected !== undefined && capital && (kind & (LISTED | COMMON | BLOCKED)) === 0
          ? kind | inflected(folded)
          : kind;
      if ((kind & GERMAN) !== 0 && !capital) german++;
      if ((kind & STOP) !== 0) stops++;
      if (capital) capitals = true;
    }
    this.#german = german >= 2 && german * 12 >= words.length;
    if (this.#german) this.#undoGenitives();
    this.#caseless = !capitals && stops >= 2 && stops * 12 >= words.length;
  }

  /** "Merkels Rede". */
  #undoGenitives(): void {
    for (let i = 0; i < this.words.length; i++) {
      const { kind, capital, folded } = this.words[i]!;
      if (kind === 0 && capital && folded.length > 5 && folded.endsWith('s'))
        this.#kinds[i] = kindOf(folded.slice(0, -1)) & (LISTED | COMMON | PLACE);
    }
  }

  found(): Span[] {
    return withEcho(this.text, this.words, withList(this.text, this.words, this.#kinds, this.#german, this.#spans));
  }

  /** Reads the capitalised words that follow each other from here on; answers the index after them. */
  chain(from: number): number {
    const to = this.#chainEnd(from);
    let start = from;
    let titled = false;
    while (start < to && (this.#kinds[start]! & TITLE) !== 0 && !this.#isGivenName(start, to)) {
      titled = true;
      start++;
    }
    const first = titled ? from : start;
    while (start < to) {
      while (start < to && !this.#usable(start, from, to, titled && start === first)) start++;
      let end = start;
      while (end < to && this.#usable(end, from, to, titled)) end++;
      if (end === start) break;
      this.#judge(start, end, to, titled && (this.#kinds[start - 1]! & TITLE) !== 0, first);
      titled = false;
      start = end;
    }
    return to;
  }

  #gap(i: number): string {
    return i === 0 || i >= this.words.length ? '' : this.text.slice(this.words[i - 1]!.end, this.words[i]!.start);
  }

  /** Over initials and particles. */
  #chainEnd(from: number): number {
    const { words } = this;
    let end = from + 1;
    for (let next = end; next < words.length && next - from < LONGEST_CHAIN; next++) {
      const gap = words[next]!.start - words[next - 1]!.end > 3 ? '\n' : this.#gap(next);
      const last = words[next - 1]!;
      const dotted =
        /^ ?\. ?$/.test(gap) &&
        (last.text.length === 1 || (last.kind & TITLE) !== 0 || /^(?:St|Jr|Sr)$/.test(last.text));
      if (!(gap === ' ' || gap === '-' || gap === "'" || gap === '’' || dotted)) break;
      const word = words[next]!;
      if ((gap === "'" || gap === '’') && word.text.length === 1) break;
      if (word.capital) end = next + 1;
      else if ((word.kind & PARTICLE) === 0 || gap !== ' ' || !this.#joins(next)) break;
    }
    return end;
  }

  /** Whether a small word is part of a name: `der` only behind `von` or `van`, the others behind what may be a name. */
  #joins(i: number): boolean {
    const { folded } = this.words[i]!;
    const before = this.words[i - 1]!;
    if (/^(?:der|den|het|la|los|las)$/.test(folded)) return /^(?:von|van|de|zu|op|in)$/.test(before.folded);
    return (
      (this.#kinds[i - 1]! & (STOP | NO_NAME | OF_A_THING | ROLE)) === 0 || /^(?:de|la|von|van)$/.test(before.folded)
    );
  }

  /** Titles that are names too: "Don Smith", "San". */
  #isGivenName(i: number, to: number): boolean {
    return i + 1 >= to && (this.#kinds[i]! & GIVEN) !== 0;
  }

  /** Whether a word can be part of a name here. What is a word of the language needs a name next to it, and no sentence that begins with it. */
  #usable(i: number, from: number, to: number, titled: boolean): boolean {
    const kind = this.#kinds[i]!;
    const word = this.words[i]!;
    if (!word.capital) return (kind & PARTICLE) !== 0 && i > from;
    if ((kind & BLOCKED) === 0 && !((kind & ROLE) !== 0 && (kind & LISTED) === 0)) return true;
    if (word.text.length === 1 && this.text[word.end] === '.') return true;
    if (this.#isCapitalParticle(i, to)) return true;
    const inCompany = (kind & IN_COMPANY) !== 0;
    if (to - from < 2 && !titled)
      return inCompany && (kind & GIVEN) !== 0 && introduction(this.text, this.words, i) === 2;
    if (!inCompany && ((kind & (NO_NAME | OF_A_THING)) !== 0 || (kind & LISTED) === 0)) return false;
    if (titled) return inCompany;
    const next = i + 1 < to ? this.#kinds[i + 1]! : undefined;
    const previous = i > from ? this.#kinds[i - 1]! : undefined;
    if (next === undefined && previous === undefined) return false;
    const isNamed = (neighbour: number | undefined, unknown: boolean): boolean =>
      neighbour !== undefined &&
      (neighbour & BLOCKED) === 0 &&
      ((neighbour & LISTED) !== 0 || (unknown && (neighbour & (COMMON | PLACE)) === 0));
    // "Will Ingrid come": a sentence that begins with the word, unless a whole name follows.
    if (
      previous === undefined &&
      this.#startsSentence(i) &&
      !(inCompany && (kind & GIVEN) !== 0 && isNamed(next, true) && (next! & GIVEN) === 0)
    )
      return false;
    return isNamed(previous, false) || (inCompany && isNamed(next, (kind & GIVEN) !== 0));
  }

  /** "Van Damme", "Du Bois", where no sentence begins. */
  #isCapitalParticle(i: number, to: number): boolean {
    return (
      i + 1 < to &&
      /^(?:De|Van|Von|Du|Di|Da)$/.test(this.words[i]!.text) &&
      this.words[i + 1]!.capital &&
      !this.#startsSentence(i)
    );
  }

  #startsSentence(i: number): boolean {
    const before = this.text.slice(Math.max(0, this.words[i]!.start - 4), this.words[i]!.start);
    return before.trim() === '' || /[.!?\n:>"“„«»|•*-]\s*$/.test(before);
  }

  #judge(from: number, to: number, chainEnd: number, titled: boolean, first: number): void {
    let [start, end] = [from, to];
    while (end > start && !this.words[end - 1]!.capital) end--;
    if (end === start) return;
    if (titled) return this.#add(first, end, 'person.title');
    // What stands before a given name and is no name itself says who it is: "Trainer Jürgen Klopp".
    const given = this.#givenFrom(start, end);
    if (given > start && !this.#beginsName(start, given)) start = given;
    if (this.#german) end = this.#cutNouns(start, end);
    if (this.#isCode(start, end)) return;
    const weight = end - start === 1 ? this.#weighOne(start, chainEnd) : this.#weigh(start, end, chainEnd);
    if (weight >= ENOUGH) this.#add(start, end, 'person');
  }

  #givenFrom(start: number, end: number): number {
    for (let i = start; i < end - 1; i++)
      if ((this.#kinds[i]! & GIVEN) !== 0 && (this.#kinds[i]! & COMMON) === 0) return i;
    return -1;
  }

  /** Whether the words in front of a given name belong to the name. */
  #beginsName(start: number, given: number): boolean {
    for (let i = start; i < given; i++) {
      const kind = this.#kinds[i]!;
      if (this.words[i]!.text.length === 1) continue;
      if ((kind & LISTED) === 0 || (this.#german && (kind & (OTHER | ROLE)) !== 0)) return false;
    }
    return true;
  }

  /** In German, a noun behind a name: it begins with a capital letter too. */
  #cutNouns(start: number, end: number): number {
    for (let i = start + 1; i < end; i++) {
      const kind = this.#kinds[i]!;
      const noun =
        ((kind & OTHER) !== 0 && (kind & FAMILY) === 0) ||
        (NOUN_ENDING.test(this.words[i]!.folded) && (kind & LISTED) === 0);
      if (noun && this.words[i]!.capital && i - start >= 1) return i;
    }
    return end;
  }

  /** Part of what is no prose: a path, an address, a variable, program text; CamelCase and acronyms. */
  #isCode(start: number, end: number): boolean {
    const { text, words } = this;
    const previous = text[words[start]!.start - 1] ?? ' ';
    const after = words[end - 1]!.end;
    const following = text[after] ?? ' ';
    if (/[@/\\_$#=<&%]/.test(previous) || /[@/_=(]/.test(following)) return true;
    if (following === '\\' && !/["'n]/.test(text[after + 1] ?? '')) return true;
    if (/[.:-]/.test(following) && /[\p{L}\p{N}]/u.test(text[after + 1] ?? '')) return true;
    if (
      previous === '.' &&
      /[\p{L}\p{N})]/u.test(text[words[start]!.start - 2] ?? '') &&
      words[start - 1]!.text.length > 1
    )
      return true;
    if (previous === '-' && /[\p{L}\p{N}]/u.test(text[words[start]!.start - 2] ?? '')) return true;
    if (/^['’](?:t|re|ve|ll)\b/.test(text.slice(after, after + 4))) return true;
    let shouted = 0;
    for (let i = start; i < end; i++) if (/^\p{Lu}{2,}$/u.test(words[i]!.text)) shouted++;
    for (let i = start; i < end; i++) {
      const word = words[i]!.text;
      const kind = this.#kinds[i]!;
      if (word.length < 2 || (kind & BEHIND_NAME) !== 0 || /^[IVX]+$/.test(word)) continue;
      // "Jean DUPONT", and whole names in capitals; not "Configuring CORS".
      if (/^\p{Lu}{2,}$/u.test(word)) {
        if ((kind & LISTED) === 0 || (shouted < end - start && (this.#kinds[start]! & GIVEN) === 0)) return true;
      } else if (
        /\p{Ll}\p{Lu}|\p{N}/u.test(word) &&
        (kind & LISTED) === 0 &&
        !/^(?:Ma?c|De|Di|La|Le|Van|O)\p{Lu}\p{Ll}/u.test(word)
      )
        return true;
    }
    return false;
  }

  /** What the surroundings add. */
  #around(start: number, end: number, chainEnd: number): number {
    const { text, words } = this;
    let weight: number = introduction(text, words, start);
    // "mit Inhabern": in German a noun too.
    if (weight === 1 && this.#german && end - start === 1 && (this.#kinds[start]! & GIVEN) === 0) weight = 0;
    if (start > 0 && this.#gap(start) === ' ') {
      const before = this.#kinds[start - 1]!;
      if ((before & ROLE) !== 0) weight += 2;
      else if ((before & SPEECH) !== 0 && !words[start - 1]!.capital) weight += 2;
      // "the Anna Berg version", but "the Berg".
      if ((before & ARTICLE) !== 0 && !(end - start > 1 && (this.#kinds[start]! & GIVEN) !== 0))
        weight -= this.#german ? 3 : 2;
    }
    const after = words[end];
    if (after !== undefined && after.start - words[end - 1]!.end <= 3) {
      const gap = text.slice(words[end - 1]!.end, after.start);
      if ((after.kind & SPEECH) !== 0 && !after.capital && (gap === ' ' || gap === ', ')) weight += 2;
      if (gap === ' ' && end <= chainEnd && after.capital && (after.kind & OF_A_THING) !== 0) weight -= 3;
      if (/^['’]$/.test(gap) && after.folded === 's') weight += 0.5;
    }
    return weight;
  }

  #weigh(start: number, end: number, chainEnd: number): number {
    let weight: number = this.#around(start, end, chainEnd);
    let given = false;
    let capitals = true;
    for (let i = start; i < end; i++) {
      const kind = this.#kinds[i]!;
      const word = this.words[i]!;
      if (!/^\p{Lu}+$/u.test(word.text)) capitals = false;
      if ((kind & BEHIND_NAME) !== 0 && i > start) weight += 1;
      else if (/^[OD]$/.test(word.text) && /['’]/.test(this.text[word.end] ?? '')) weight += 1.5;
      else if (word.text.length === 1) weight += this.text[word.end] === '.' ? 1 : 0;
      else if (!word.capital) weight += 0.5;
      else if (this.#isCapitalParticle(i, end)) weight += i === start ? 2 : 0.5;
      else if ((kind & GIVEN) !== 0 && i < end - 1) {
        weight += (kind & ENGLISH) !== 0 || ((kind & OTHER) !== 0 && this.#german) ? 1 : 2;
        given = true;
      } else if ((kind & FAMILY) !== 0) weight += (kind & COMMON) !== 0 ? 0.5 : i > start ? 2 : 1;
      else if ((kind & GIVEN) !== 0) weight += (kind & COMMON) !== 0 ? 0 : 1;
      else if ((kind & IN_COMPANY) !== 0) weight += i < end - 1 ? 2 : 0.5;
      else if (FAMILY_ENDING.test(word.folded)) weight += 1.5;
      else if ((kind & COMMON) !== 0) weight -= 1.5;
      else if ((kind & CITY) !== 0) weight -= 1;
    }
    if (this.#german && !given) weight -= 2;
    if (capitals) weight -= 1;
    if (this.#placed(start) && (this.#kinds[start]! & PLACE) !== 0) weight -= 2;
    return weight;
  }

  #weighOne(i: number, chainEnd: number): number {
    const kind = this.#kinds[i]!;
    const { text, folded } = this.words[i]!;
    if (text.length < 2 || (kind & TITLE) !== 0) return 0;
    const around = this.#around(i, i + 1, chainEnd);
    if ((kind & (STOP | NO_NAME)) !== 0) return (kind & IN_COMPANY) !== 0 && (kind & GIVEN) !== 0 ? around : 0;
    if (/^\p{Lu}+$/u.test(text) && around < 2) return 0;
    if ((kind & COMMON) !== 0) return (kind & LISTED) !== 0 && around >= 2 ? around : 0;
    let weight = around;
    if ((kind & GIVEN) !== 0) weight += (kind & CITY) !== 0 ? 1 : 2;
    else if ((kind & FAMILY) !== 0) weight += (kind & PLACE) !== 0 ? 0.5 : this.#german ? 1 : 2;
    else if ((kind & PLACE) !== 0) weight -= 2;
    else if (LONE_FAMILY_ENDING.test(folded)) weight += this.#german ? 1 : 2;
    else if (this.#german && (NOUN_ENDING.test(folded) || !this.#verbFollows(i))) weight -= 1;
    if (this.#placed(i)) weight -= (kind & PLACE) !== 0 ? 2 : 1;
    return weight;
  }

  #verbFollows(i: number): boolean {
    const after = this.words[i + 1];
    return after !== undefined && !after.capital;
  }

  /** Behind "in" or "near" a word is a place sooner than a person. */
  #placed(i: number): boolean {
    const before = this.words[i - 1];
    return before !== undefined && this.#gap(i) === ' ' && PLACING.has(before.folded);
  }

  #add(from: number, to: number, detector: string): void {
    this.#spans.push({ start: this.words[from]!.start, end: this.words[to - 1]!.end, type: 'PERSON', detector });
  }

  /** A name in lower case, where the text introduces it or both names are listed; in prose without capitals, also others. Returns the index to go on at. */
  lowerCase(i: number): number {
    const { words } = this;
    const word = words[i]!;
    const kind = this.#kinds[i]!;
    if (word.text.length < 2) return i + 1;
    if ((kind & TITLE) !== 0 && TITLES_IN_LOWER_CASE.has(word.folded) && /^ ?\.? $/.test(this.#gap(i + 1))) {
      const next = words[i + 1]!;
      const named = (next.kind & (BLOCKED | COMMON)) === 0 && (next.capital || this.#caseless);
      if ((next.kind & LISTED) !== 0 || named) {
        const last = this.#follows(i + 2) ? i + 2 : i + 1;
        this.#add(i, last + 1, 'person.title');
        return last + 1;
      }
    }
    if ((kind & (BLOCKED | ENGLISH | PARTICLE)) !== 0 || word.text.length < 3) return i + 1;
    const given = (kind & GIVEN) !== 0 && word.text.length > 3;
    const pair = given && this.#follows(i + 1) && ((kind & OTHER) === 0 || this.#caseless);
    const introduced = !pair && (kind & COMMON) === 0 && introducesLowerCase(this.text, words, i);
    const alone =
      !pair && this.#caseless && (kind & LISTED) !== 0 && this.#around(i, i + 1, i + 1) + (given ? 1 : 0) >= ENOUGH;
    if (!pair && !introduced && !alone) return i + 1;
    let last = i;
    while (last - i < 2 && this.#follows(last + 1)) last++;
    this.#add(i, last + 1, 'person.lower_case');
    return last + 1;
  }

  /** Whether a word in lower case is the next one of a name. */
  #follows(i: number): boolean {
    const word = this.words[i];
    if (word === undefined || word.capital || word.text.length < 4 || this.#gap(i) !== ' ') return false;
    return this.#listed(i) || (this.#caseless && word.kind === 0 && !/\p{N}/u.test(word.text));
  }

  #listed(i: number): boolean {
    const kind = this.#kinds[i] ?? 0;
    return (kind & LISTED) !== 0 && (kind & (BLOCKED | COMMON | PARTICLE)) === 0;
  }
}

const TITLES_IN_LOWER_CASE = new Set([
  'mr',
  'mrs',
  'ms',
  'miss',
  'dr',
  'prof',
  'professor',
  'herr',
  'frau',
  'doctor',
  'senor',
  'senora',
  'monsieur',
  'madame',
]);
const PLACING = new Set('in at near from em nel nella bei nach aus w en visit via inside outside в из'.split(' '));
const NOUN_ENDING =
  /(?:ung|ungen|heit|keit|schaft|schaften|tion|tionen|tat|ismus|ment|nis|chen|lein|tum|ling|eur|anz|enz|ik|ie|werk|haus|jahr|zeit|land|stadt|bahn|hof)$/;
/** Family names that no list has, by how they end. */
const FAMILY_ENDING =
  /.{3}(?:enko|sky|ski|ska|skyi|cki|icz|czyk|ovic|evic|ovich|evich|escu|sson|opoulos|akis|idis|shvili|adze|oglu|ucci|etti|elli|mann|berger|stein|ova|eva|yan)$/;
const LONE_FAMILY_ENDING = /.{3}(?:enko|czyk|wicz|ovich|evich|escu|sson|opoulos|shvili|adze|oglu|ovic|evic|ucci)$/;

/** "Malon, Mark and Kaylee": what stands in a list with a name, and is one capitalised word, is a name. */
function withList(text: string, words: Word[], kinds: Uint32Array, german: boolean, spans: Span[]): Span[] {
  if (spans.length === 0) return spans;
  const found = [...spans];
  const named = new Uint8Array(words.length);
  let at = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    while (at < words.length && words[at]!.end <= span.start) at++;
    for (; at < words.length && words[at]!.start < span.end; at++) named[at] = 1;
  }
  const step = (from: number, by: 1 | -1): void => {
    // The neighbour, over "and" or "or": one word, or two or three that belong together.
    let next = from + by;
    if (CONJUNCTIONS.has(words[next]?.folded ?? '')) next += by;
    let far = next;
    while (Math.abs(far - next) < 2 && belongs(far, far + by)) far += by;
    const [first, last] = by === 1 ? [next, far] : [far, next];
    const word = words[next];
    if (word === undefined || words[first] === undefined || words[last] === undefined || belongs(far, far + by)) return;
    const [left, right] = by === 1 ? [words[from]!, words[first]!] : [words[last]!, words[from]!];
    if (right.start - left.end > 8 || !LIST_GAP.test(text.slice(left.end, right.start))) return;
    for (let i = first; i <= last; i++) if (!mayBeName(i)) return;
    for (let i = first; i <= last; i++) named[i] = 1;
    found.push({ start: words[first].start, end: words[last].end, type: 'PERSON', detector: 'person.list' });
  };
  const belongs = (i: number, k: number): boolean => {
    const [a, b] = i < k ? [words[i], words[k]] : [words[k], words[i]];
    return a !== undefined && b !== undefined && a.capital && b.capital && b.start - a.end === 1 && text[a.end] === ' ';
  };
  const mayBeName = (i: number): boolean => {
    const word = words[i]!;
    const kind = kinds[i]!;
    if (named[i] === 1 || !word.capital || word.text.length < 2) return false;
    if ((kind & (BLOCKED | ROLE)) !== 0 && (kind & IN_COMPANY) === 0) return false;
    if ((kind & LISTED) === 0 && (german || (kind & (PLACE | COMMON)) !== 0)) return false;
    return !/^\p{Lu}+$|\p{Ll}\p{Lu}|\p{N}/u.test(word.text);
  };
  for (let i = 0; i < words.length; i++) if (named[i] === 1) step(i, 1);
  for (let i = words.length - 1; i >= 0; i--) if (named[i] === 1) step(i, -1);
  return found;
}
const CONJUNCTIONS = new Set('and or und oder et ou y e o en of og och i ed и или'.split(' '));
const LIST_GAP = /^(?: ?, ?(?:and |or |und )?| (?:and|or|und|oder|et|ou|y|e|o|en|of|og|och|i|ed|и|или|&) )$/;

/** A name that was found once is one wherever its words stand in the same text. */
function withEcho(text: string, words: Word[], spans: Span[]): Span[] {
  if (spans.length === 0) return spans;
  const parts = new Set<string>();
  for (const span of spans) {
    for (const part of text.slice(span.start, span.end).split(/[\s'’-]+/)) if (part.length >= 3) parts.add(fold(part));
  }
  const found = [...spans];
  const covered = [...spans].sort((a, b) => a.start - b.start);
  let next = 0;
  for (const word of words) {
    while (next < covered.length && covered[next]!.end <= word.start) next++;
    if (next < covered.length && covered[next]!.start < word.end) continue;
    if (!word.capital || (word.kind & (BLOCKED | COMMON | TITLE | PARTICLE)) !== 0 || !parts.has(word.folded)) continue;
    found.push({ start: word.start, end: word.end, type: 'PERSON', detector: 'person.echo' });
  }
  return found;
}
