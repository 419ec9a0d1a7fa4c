/**
 * Names of persons, by lists of names and by what stands around them. A list alone is wrong too often (a third of the capitalised words
 * of a text are somebody's name somewhere), so one word needs to be a frequent name and no word of the language or the trade, or to be
 * introduced; two words need one of the lists and nothing that speaks against them.
 *
 * Not found: names in lower case without an introduction, rare names standing alone, and names that are words.
 */
import { englishWords, familyNames, givenNames, places } from '../text/word-lists.js';
import { BEYOND_ASCII, SPACE } from '../text/chars.js';
import { fold, type Word } from '../text/words.js';
import type { Span } from '../types.js';
import type { Detector, Sample } from './detector.js';
import { AFTER_NAME, NAMES_IN_COMPANY, NOT_NAMES, PARTICLES, SPEECH, TITLES } from './name-words.js';

const LONGEST_NAME_WORDS = 6;
/** Introductions, looked for in the text before a word; the word after them is a name if it begins with a capital letter. */
const INTRODUCED =
  /(?:\b(?:my|his|her|their|whose|your|maiden|first|last|full|real|user'?s?|partner'?s|under the) name(?: is|'s|:| was)?|\bi am|\bi'm|\bthis is|\bnamed(?: (?:him|her|them|it))?|\b(?:call|calls|called) me|\bcalled (?:him|her)|\bleave me|\b(?:directed|written|signed|reviewed|approved|authored|acked|tested|reported|submitted|created|opened|closed|assigned|merged|requested|triggered|deployed|posted|changed|owned|led|founded|painted|composed|sung) (?:by|to)|-by:|\bstarring|\bfeaturing|\bfollow up with|\bwhy (?:is|did|does|was)|\bhad given|\byou can tell|\bspeak (?:to|with)|\bassistant to|\bfounders:|\b(?:hi|hello|dear|hey|thanks|cheers|regards|sincerely|greetings)[,!]?|\b(?:says|said|asked|told|shouted at|user:|bot:|singer|zombie|actor|author|mr\.|mrs\.|ms\.|dr\.)|\bmi nombre es|\bme llamo|\bje m'appelle|\bich hei(?:ß|ss)e|\bmein name ist|\bmi chiamo|\bmeu nome é|\bmijn naam is|\bmam na imię|меня зовут|\bhallo|\bhola|\bbonjour|\bciao|\bsehr geehrte[r]? (?:herr|frau)|\blieber?|\bcher|\bchère|\bcaro|\bcara|\bestimad[oa])[ \t\n]{1,2}$/;
/** Introductions that are enough for a word in lower case. */
const INTRODUCED_STRONGLY =
  /(?:\bmy name is|\bmaiden name is|\bname on the account\? user:|\bnamed (?:him|her)|\bcalls? me|\bwhat's your name\?|\bunder my partner's name|\bfollow up with)[ \t\n]$/;
const WINDOW = 40;

export const person: Detector = {
  name: 'person',
  type: 'PERSON',
  strong: false,
  detect(sample: Sample): Span[] {
    if ((sample.traits.has & (SPACE | BEYOND_ASCII)) === 0) return [];
    const words = sample.words();
    const spans: Span[] = [];
    for (let i = 0; i < words.length;) {
      if (!words[i]!.capital) {
        i = lowerCase(sample, words, i, spans);
        continue;
      }
      const chain = chainAt(sample, words, i);
      judge(sample, words, i, chain, spans);
      i = chain;
    }
    return withEcho(sample, withList(sample, spans));
  },
};

/** The index after the last word of the capitalised words that follow each other from here, over initials and particles. */
function chainAt(sample: Sample, words: Word[], from: number): number {
  let end = from + 1;
  for (let next = end; next < words.length && end - from < LONGEST_NAME_WORDS; next++) {
    const gap = sample.text.slice(words[next - 1]!.end, words[next]!.start);
    const initial = words[next - 1]!.text.length <= 2 && gap === '. ';
    const titled = TITLES.has(words[next - 1]!.folded) && gap === '. ';
    if (!(gap === ' ' || gap === '-' || gap === "'" || gap === '’' || gap === '.' || initial || titled)) break;
    if ((gap === "'" || gap === '’') && words[next]!.text.length === 1) break;
    if (words[next]!.capital) end = next + 1;
    else if (!PARTICLES.has(words[next]!.folded) || gap !== ' ') break;
  }
  return end;
}

interface Kind {
  given: boolean;
  family: boolean;
  place: boolean;
  blocked: boolean;
  common: boolean;
}

function kindOf(word: Word): Kind {
  const { folded } = word;
  return {
    given: givenNames().has(folded),
    family: familyNames().has(folded),
    place: places().has(folded),
    blocked: NOT_NAMES.has(folded),
    common: englishWords().has(folded),
  };
}

function judge(sample: Sample, words: Word[], from: number, to: number, spans: Span[]): void {
  let first = from;
  let titled = false;
  while (first < to && TITLES.has(words[first]!.folded)) {
    titled = true;
    first++;
  }
  if (first === to) return;
  // What cannot be part of a name at the beginning or the end of the chain is cut off: "Hello John", "Jordan Street".
  const kinds = words.slice(first, to).map(kindOf);
  const company = kinds.filter((kind) => (kind.given || kind.family) && !kind.blocked).length;
  const usable = (index: number): boolean => {
    const kind = kinds[index - first]!;
    if (!kind.blocked) return true;
    return (
      (company > 0 || titled) &&
      to - first > 1 &&
      NAMES_IN_COMPANY.has(words[index]!.folded) &&
      !startsSentenceAsWord(sample, words, index)
    );
  };
  let start = first;
  while (start < to && !usable(start)) start++;
  let end = start;
  while (end < to && usable(end)) end++;
  if (start === end) return;
  // Several runs within one chain ("Ask Jane If Bob …"): the rest is judged for itself.
  if (isName(sample, words, start, end, titled && start === first, kinds.slice(start - first, end - first))) {
    spans.push({
      start: words[titled && start === first ? from : start]!.start,
      end: words[end - 1]!.end,
      type: 'PERSON',
      detector: titled ? 'person.title' : 'person',
    });
  }
  if (end < to) judge(sample, words, end, to, spans);
}

/** "Will you", "May I": a word of the language at the beginning of a sentence. */
function startsSentenceAsWord(sample: Sample, words: Word[], index: number): boolean {
  const before = sample.text.slice(Math.max(0, words[index]!.start - 2), words[index]!.start);
  const next = words[index + 1];
  return (before === '' || /[.!?\n"]\s?$/.test(before)) && !(next?.capital ?? false);
}

function isName(sample: Sample, words: Word[], start: number, end: number, titled: boolean, kinds: Kind[]): boolean {
  const head = words[start]!;
  if (titled) return true;
  const text = sample.text;
  // Part of something that is no prose: a path, an address, a variable, program text.
  const previous = text[head.start - 1] ?? ' ';
  const following = text[words[end - 1]!.end] ?? ' ';
  if (/[@/\\_$#=<&]/.test(previous) || /[@/\\_=(]/.test(following)) return false;
  if (following === '.' && /[a-z]/i.test(text[words[end - 1]!.end + 1] ?? '')) return false;
  const before = sample.lower().slice(Math.max(0, head.start - WINDOW), head.start);
  const introduced = INTRODUCED.test(before);
  if (/^['’](?:t|re|ve|ll)\b/.test(text.slice(words[end - 1]!.end, words[end - 1]!.end + 4))) return false;
  // CamelCase and acronyms are names of things, but for McDonald and MacLeod.
  if (
    !titled &&
    words
      .slice(start, end)
      .some(
        (word, k) =>
          /^\p{Lu}{2,}$|\p{Ll}\p{Lu}/u.test(word.text) &&
          !/^(?:Ma?c|De|Van|Di|La|Le|O)\p{Lu}/u.test(word.text) &&
          !(kinds[k]!.given || kinds[k]!.family),
      )
  ) {
    return false;
  }
  const size = end - start;
  const listed = kinds.filter((kind) => kind.given || kind.family).length;
  const known = kinds.some((kind) => (kind.given || kind.family) && !kind.common);
  if (size === 1) {
    const [kind] = kinds as [Kind];
    if (head.text.length < 2 || (/^\p{Lu}{2,}$/u.test(head.text) === true && !introduced)) return false;
    if (introduced) return !kind.common && !(kind.place && !kind.given && !kind.family);
    if (kind.common) return false;
    const spoken =
      AFTER_NAME.has(words[end]?.folded ?? '') ||
      /^['’]s\b/.test(text.slice(words[end - 1]!.end, words[end - 1]!.end + 3));
    if (kind.given) return !kind.place || spoken || !placed(before);
    if (kind.family) return !placed(before) && (spoken || !kind.place);
    return SPEECH.has(words[end]?.folded ?? '') && sentenceStart(before);
  }
  if (introduced) return true;
  if (kinds.every((kind) => kind.place) && placed(before)) return false;
  if (kinds[0]!.given) return true;
  return listed * 2 >= size && known;
}

function placed(before: string): boolean {
  return /\b(?:in|from|at|near|to|of|city|town|visit|via|der|en|in der|aus|de)\s$/.test(before);
}

function sentenceStart(before: string): boolean {
  return before.trim() === '' || /[.!?\n:>"]\s*$/.test(before);
}

/** A name in lower case, where the text introduces it. Returns the index to go on at. */
function lowerCase(sample: Sample, words: Word[], i: number, spans: Span[]): number {
  const word = words[i]!;
  if (word.text.length < 2) return i + 1;
  if (
    TITLES.has(word.folded) &&
    words[i + 1] !== undefined &&
    /^\.? $/.test(sample.text.slice(word.end, words[i + 1]!.start))
  ) {
    const next = words[i + 1]!;
    if (
      word.folded !== 'pan' &&
      (next.capital || givenNames().has(next.folded) || familyNames().has(next.folded)) &&
      word.folded !== 'sister' &&
      word.folded !== 'brother'
    ) {
      const last =
        words[i + 2] !== undefined && listed(words[i + 2]!) && sample.text.slice(next.end, words[i + 2]!.start) === ' '
          ? i + 2
          : i + 1;
      spans.push({ start: word.start, end: words[last]!.end, type: 'PERSON', detector: 'person.title' });
      return last + 1;
    }
  }
  const before = sample.lower().slice(Math.max(0, word.start - WINDOW), word.start);
  const strong = INTRODUCED_STRONGLY.test(before);
  const pair =
    givenNames().has(word.folded) &&
    !NOT_NAMES.has(word.folded) &&
    !englishWords().has(word.folded) &&
    words[i + 1] !== undefined &&
    sample.text.slice(word.end, words[i + 1]!.start) === ' ' &&
    listed(words[i + 1]!) &&
    word.text.length > 3 &&
    words[i + 1]!.text.length > 3;
  if (!pair && !(strong && !NOT_NAMES.has(word.folded) && !englishWords().has(word.folded))) return i + 1;
  let last = i;
  while (
    last + 1 < words.length &&
    last - i < 2 &&
    sample.text.slice(words[last]!.end, words[last + 1]!.start) === ' ' &&
    listed(words[last + 1]!)
  )
    last++;
  spans.push({ start: word.start, end: words[last]!.end, type: 'PERSON', detector: 'person.lower_case' });
  return last + 1;
}

function listed(word: Word): boolean {
  return (
    !NOT_NAMES.has(word.folded) &&
    !englishWords().has(word.folded) &&
    (givenNames().has(word.folded) || familyNames().has(word.folded))
  );
}

/** "Malon, Mark and Kaylee": what stands in a list with a name, and is one capitalised word, is a name. */
function withList(sample: Sample, spans: Span[]): Span[] {
  if (spans.length === 0) return spans;
  const words = sample.words();
  const found = [...spans];
  const name = new Uint8Array(words.length);
  let at = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    while (at < words.length && words[at]!.end <= span.start) at++;
    for (; at < words.length && words[at]!.start < span.end; at++) name[at] = 1;
  }
  const step = (from: number, by: 1 | -1): void => {
    // The neighbour, over "and" or "or".
    let next = from + by;
    if (/^(?:and|or|und|et|y|e|en|og|och)$/.test(words[next]?.folded ?? '')) next += by;
    const word = words[next];
    if (word === undefined || name[next] === 1 || !word.capital || word.text.length < 2) return;
    const [left, right] = by === 1 ? [words[from]!, word] : [word, words[from]!];
    if (!/^(?:, (?:and |or )?| (?:and|or|und|et|y|e|en|og|och|&) )$/.test(sample.text.slice(left.end, right.start)))
      return;
    const beyond = sample.text[by === 1 ? word.end : word.start - 2] ?? '';
    if (words[next + by]?.capital === true && !/[,.;:!?]/.test(beyond)) return;
    if (NOT_NAMES.has(word.folded) && !NAMES_IN_COMPANY.has(word.folded)) return;
    if (!listed(word) && (places().has(word.folded) || englishWords().has(word.folded))) return;
    name[next] = 1;
    found.push({ start: word.start, end: word.end, type: 'PERSON', detector: 'person.list' });
  };
  for (let i = 0; i < words.length; i++) if (name[i] === 1) step(i, 1);
  for (let i = words.length - 1; i >= 0; i--) if (name[i] === 1) step(i, -1);
  return found;
}

/** A name that was found once is one wherever its words stand in the same text. */
function withEcho(sample: Sample, spans: Span[]): Span[] {
  if (spans.length === 0) return spans;
  const parts = new Set<string>();
  for (const span of spans) {
    for (const part of sample.text.slice(span.start, span.end).split(/[\s'’-]+/)) {
      const folded = fold(part);
      if (part.length >= 4 && !NOT_NAMES.has(folded) && !englishWords().has(folded)) parts.add(folded);
    }
  }
  const found = [...spans];
  let next = 0;
  for (const word of sample.words()) {
    while (next < spans.length && spans[next]!.end <= word.start) next++;
    if (next < spans.length && spans[next]!.start < word.end) continue;
    if (word.capital && parts.has(word.folded))
      found.push({ start: word.start, end: word.end, type: 'PERSON', detector: 'person.echo' });
  }
  return found;
}
