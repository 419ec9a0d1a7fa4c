/**
 * Postal addresses. Anchors are what nothing else looks like (`Suite 12`, `P.O. Box`, a street word next to a number, a postal code behind
 * its label, `lives at 12 …`); from an anchor the address is read on to both sides, over numbers, capitalised words and line breaks, to the
 * end of the block.
 */
import { CAPITAL, SPACE, UPPER_CASE } from '../text/chars.js';
import { PLACE } from '../text/lexicon.js';
import type { Word } from '../text/words.js';
import type { Span } from '../types.js';
import { wordSet, type Detector, type Sample } from './detector.js';

const UNIT = wordSet('suite apt apartment unit ste flat room lgh wohnung piso appartement box bte interno');
const STREET_AFTER =
  wordSet(`street st road rd avenue ave lane ln drive dr court ct boulevard blvd way square sq terrace place pl parkway pkwy circle cir crescent
  highway hwy close row trail alley plaza mews grove gardens walk utca út u ulica tér körút gasse strasse straße weg platz allee damm ring ufer chaussee
  katu tie väg vägen gatan gata gränd vej gade vei gate veien straat laan plein weg kade dreef steenweg enparantza kalea`);
const STREET_ENDING =
  /(?:stra(?:ss|ß)e|str|weg|gasse|platz|allee|damm|(?:dt|[gklmnz])ring|ufer|gatan|gata|vägen|vagen|väg|vej|gade|vei|veien|[sn]gate|intie|katu|straat|laan|plein|dijk|steenweg|utca|bakken|toppen|kroken|svingen|vegur|stræde|braut|gränd|kuja|polku|hof|kade|gracht|singel|plaats|stígur|holt|gerði)$/;
const STREET_BEFORE =
  wordSet(`rue rua via viale corso piazza calle avenida av avda plaza paseo carrer travessa praça praca largo estrada rúa camiño camino
  ulica ul ulice náměstí nám aleja plac boulevard allée quai impasse chemin place strada vicolo largo beco rambla ronda carretera`);
const CONTEXT =
  /(?:\baddress(?:es)?(?: is| to| with|:| for|es)?(?: the same:?| same:?)?|\bhere they are:|\boffice is(?: located)? at|\bis (?:located )?at|\blives? (?:at|in|on)|\bliving at|\bresid(?:es|ing) at|\bsent to|\bsend (?:it|a new one|this)? ?to|\bship(?:ped)? to|\bdelivered? to|\btaxi to|\bmeet (?:me|you)?(?: at)?|\bmoved? to|\barrived at|\breturn to|\bto the same:|\bit's (?:in|at)|\blocated at|\bone to|\baddress:|\baddress of [\p{L}\p{N}&.,' -]{1,40} is|\bwohn\w* in|\banschrift:?|\badresse:?|\bdirección:?|\bindirizzo:?|\bwe'll meet [a-z]+ at [\p{L}\p{N}&.,' -]{1,40},)\s{0,12}$/u;
/** The last words of CONTEXT and ZIP_CONTEXT. */
const CONTEXT_ENDS = wordSet(
  'address addresses is to with for es same are at in on new this it me you anschrift adresse direccion indirizzo zip code postcode plz postal cap',
);
const ZIP_CONTEXT =
  /(?:\bzip(?: ?code)?|\bpostal ?code|\bpostcode|\bplz|\bcode postal|\bcódigo postal|\bcap)(?: is|:|=)?\s{0,2}$/;
const MILITARY =
  /\b(?:PSC|Unit|CMR) \d{3,5},? Box \d{1,5}|\b(?:FPO|APO|DPO) (?:AA|AE|AP) \d{5}(?:-\d{4})?\b|\b(?:USNS|USS|USNV|USCGC) \p{Lu}[\p{L}'-]{1,30}\s{1,3}(?:FPO|APO) (?:AA|AE|AP) \d{5}/giu;
const PO_BOX =
  /\b(?:p\.? ?o\.? ?box|postfach|postbus|apartado(?: de correos)?|boîte postale|casella postale) \d{1,6}\b/gi;
const STATE_ZIP = /(?<![\p{L}\p{N}])[A-Z]{2} \d{5}(?:-\d{4})?(?![\p{L}\p{N}-])/gu;
const GB_POSTCODE = /(?<![A-Z0-9])[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}(?![A-Z0-9])/g;
const MOST_WORDS_LEFT = 9;
const MOST_WORDS_RIGHT = 14;
const MOST_LINES_RIGHT = 5;

export const address: Detector = {
  name: 'address',
  type: 'ADDRESS',
  strong: false,
  detect(sample: Sample): Span[] {
    const { text, traits } = sample;
    const spans: Span[] = [];
    const add = (start: number, end: number, kind: string): void => {
      spans.push({ start, end, type: 'ADDRESS', detector: `address.${kind}` });
    };
    if ((traits.has & SPACE) === 0 || (traits.digits === 0 && (traits.has & CAPITAL) === 0)) return spans;
    if (traits.digits >= 4) {
      if (/[PFAD]PO|PSC|CMR|[pfad]po |psc |USN|Unit/.test(text))
        for (const match of text.matchAll(MILITARY)) add(match.index, match.index + match[0].length, 'military');
      if ((traits.has & UPPER_CASE) !== 0) {
        for (const match of text.matchAll(STATE_ZIP)) add(match.index, match.index + match[0].length, 'state_zip');
        for (const match of text.matchAll(GB_POSTCODE)) add(match.index, match.index + match[0].length, 'postcode');
      }
    }
    if (traits.digits > 0 && /box|post|apartado|casella/i.test(text)) {
      for (const match of text.matchAll(PO_BOX)) add(match.index, match.index + match[0].length, 'po_box');
    }
    const words = sample.words();
    let done = 0;
    for (let i = 0; i < words.length; i++) {
      const word = words[i]!;
      if (word.start < done) continue;
      const block = anchorAt(sample, words, i);
      if (block === undefined) continue;
      add(words[block.from]!.start, words[block.to]!.end, block.kind);
      done = words[block.to]!.end;
    }
    return spans;
  },
};

interface Block {
  from: number;
  to: number;
  kind: string;
}

function isNumber(word: Word | undefined): boolean {
  return word !== undefined && word.text.length <= 6 && /^\d{1,5}[A-Za-z]?$/.test(word.text);
}

function anchorAt(sample: Sample, words: Word[], i: number): Block | undefined {
  const word = words[i]!;
  const next = words[i + 1];
  if (UNIT.has(word.folded) && isNumber(next) && /^\.? $/.test(gap(sample, words, i + 1))) {
    return { from: left(sample, words, i), to: right(sample, words, i + 1), kind: 'unit' };
  }
  if (STREET_BEFORE.has(word.folded) && next !== undefined && next.text !== '' && gap(sample, words, i + 1) === ' ') {
    const number = words.slice(i + 1, i + 7).findIndex((one) => isNumber(one));
    // "1.2.7 via npm" is no Italian street.
    const leading =
      isNumber(words[i - 1]) && gap(sample, words, i) === ' ' && sample.text[words[i - 1]!.start - 1] !== '.';
    if (leading || (number > 0 && (next.capital || word.capital) && sameLine(sample, words, i, i + 1 + number))) {
      return {
        from: leading ? left(sample, words, i) : i,
        to: right(sample, words, number > 0 ? i + 1 + number : i + 1),
        kind: 'street',
      };
    }
  }
  const suffix = STREET_AFTER.has(word.folded);
  const digits = sample.traits.digits > 0;
  if ((suffix ? i > 0 : STREET_ENDING.test(word.folded)) && word.text.length > 1) {
    const from = digits ? left(sample, words, i) : i;
    const numbered = isNumber(words[from]) && from < i;
    const trailing = isNumber(next) && /^\.? $/.test(gap(sample, words, i + 1));
    if (numbered && (words[i - 1]?.capital === true || word.capital || words[from]!.text.length > 1) && i - from <= 6)
      return { from, to: right(sample, words, i), kind: 'street' };
    if (trailing && (word.capital || words[i - 1]?.capital === true) && (!suffix || words[i - 1]!.capital)) {
      return { from: suffix ? from : Math.max(from, i - 2), to: right(sample, words, i + 1), kind: 'street' };
    }
    if (
      /^(?:street|st|road|avenue)$/.test(word.folded) &&
      word.capital &&
      words[i - 1]?.capital === true &&
      gap(sample, words, i) === ' '
    ) {
      const begins = capitalsLeft(sample, words, i - 1);
      if (
        /\b(?:on|at|to|of|enter on)\s$/.test(
          sample.lower().slice(Math.max(0, words[begins]!.start - 12), words[begins]!.start),
        )
      ) {
        return { from: begins, to: i, kind: 'street' };
      }
    }
  }
  const number = isNumber(word);
  const long = !number && /^\d{4,6}$/.test(word.text);
  if (!number && !long && !word.capital && word.folded !== 'the') return undefined;
  // What introduces an address ends with one of a few words, and a line begins behind a line break: most words need no closer look.
  const introduced = i > 0 && CONTEXT_ENDS.has(words[i - 1]!.folded);
  const begins = number && (i === 0 || gap(sample, words, i).includes('\n'));
  const meeting = number && !introduced && gap(sample, words, i).startsWith(',');
  if (!introduced && !begins && !meeting && word.folded !== 'the') return undefined;
  const before = sample.lower().slice(Math.max(0, word.start - 64), word.start);
  if (meeting && !before.includes('meet ')) return undefined;
  if ((number || long) && /^\d{4,6}$/.test(word.text) && ZIP_CONTEXT.test(before))
    return { from: i, to: i, kind: 'zip' };
  if (
    word.folded === 'the' &&
    next?.folded === 'corner' &&
    words[i + 2]?.folded === 'of' &&
    words[i + 3]?.capital === true
  ) {
    return { from: i, to: right(sample, words, Math.min(words.length - 1, i + 3), 8), kind: 'corner' };
  }
  if (isNumber(word) && next !== undefined && !/^\d/.test(next.text)) {
    const lineStart = /(?:^|\n)[\s>?*#-]{0,6}$/.test(before);
    const context = CONTEXT.test(before);
    const closing = words.slice(i + 2, i + 8).findIndex((one) => isNumber(one));
    const closed =
      closing >= 0 &&
      sameLine(sample, words, i, i + 2 + closing) &&
      words.slice(i + 1, i + 2 + closing).every((one) => one.capital || one.text.length <= 3);
    if (context && (next.capital || closed)) return { from: i, to: right(sample, words, i + 1), kind: 'context' };
    if (lineStart && closed && blockFollows(sample, words, i + 2 + closing))
      return { from: i, to: right(sample, words, i + 2 + closing), kind: 'line' };
  } else if (isNumber(word) && isNumber(next) && words[i + 2]?.capital === true && CONTEXT.test(before)) {
    return { from: i, to: right(sample, words, i + 2), kind: 'context' };
  } else if (word.capital && CONTEXT.test(before)) {
    const number = words.slice(i + 1, i + 6).findIndex((one) => isNumber(one));
    if (
      number >= 0 &&
      sameLine(sample, words, i, i + 1 + number) &&
      !/[.!?:]/.test(sample.text.slice(word.start, words[i + 1 + number]!.start).replace(/\bu\./, ''))
    ) {
      return { from: i, to: right(sample, words, i + 1 + number), kind: 'context' };
    }
  }
  return undefined;
}

/** Whether a number-word-number line is the first of several that read on like an address. */
function blockFollows(sample: Sample, words: Word[], last: number): boolean {
  const rest = sample.text.slice(words[last]!.end, words[last]!.end + 80);
  return /^,?\s{0,3}\n?[\s>?*,-]{0,6}\p{Lu}/u.test(rest);
}

function gap(sample: Sample, words: Word[], i: number): string {
  return i === 0 || words[i] === undefined ? '' : sample.text.slice(words[i - 1]!.end, words[i]!.start);
}

function sameLine(sample: Sample, words: Word[], from: number, to: number): boolean {
  const between = sample.text.slice(words[from]!.end, words[Math.min(to, words.length - 1)]!.start);
  return !between.includes('\n') && between.length < 120;
}

function capitalsLeft(sample: Sample, words: Word[], i: number): number {
  let from = i;
  while (from > 0 && i - from < 4 && words[from - 1]!.capital && gap(sample, words, from) === ' ') from--;
  return from;
}

/** The first word of the address that a unit or street word belongs to: back to the number that it begins with, or over capitalised words. */
function left(sample: Sample, words: Word[], i: number): number {
  let from = i;
  let number = -1;
  for (let k = i - 1; k >= 0 && i - k <= MOST_WORDS_LEFT; k--) {
    const between = gap(sample, words, k + 1);
    if (
      !/^(?:[\s,.>?*'’°ª#-]|\n){1,8}$/.test(between) ||
      /[!?;:]\s*$/.test(between.replace(/\?{2,}/, '')) ||
      /\n\s*\n/.test(between)
    )
      break;
    const word = words[k]!;
    if (isNumber(word)) number = k;
    else if (!word.capital && !(number === -1 && i - k <= 5 && word.text.length <= 24)) break;
    else if (number !== -1 && !word.capital) break;
    if (number !== -1 && !isNumber(word)) break;
    from = k;
    if (number !== -1 && !isNumber(words[k - 1])) break;
  }
  if (number !== -1) return number;
  return from < i && words[from]!.capital ? Math.max(from, capitalsLeft(sample, words, i - 1)) : i;
}

/** The last word of the address from here on: numbers, capitalised words, known places, small words between, over a few lines. */
function right(sample: Sample, words: Word[], i: number, most = MOST_WORDS_RIGHT): number {
  let to = i;
  let lines = 0;
  for (let k = i + 1; k < words.length && k - i <= most; k++) {
    const between = gap(sample, words, k);
    if (!/^[\s,.>?*'’#°ª()/-]{1,10}$/.test(between) || /\n[ \t>?*#]*\n\s*\n/.test(between)) break;
    if (
      /\.\s+$/.test(between) &&
      !/^(?:apt|st|ste|rd|ave|no|str|u|p|o|blvd|dr)$/.test(words[k - 1]!.folded) &&
      words[k - 1]!.text.length > 2
    )
      break;
    if (between.includes('\n') && ++lines > MOST_LINES_RIGHT) break;
    const word = words[k]!;
    if (word.text.length > 6 && /^\d/.test(word.text)) break;
    if (between.includes('\n') && startsOther(sample, words, k)) break;
    if (word.capital || /^\d{1,6}[A-Za-z]?$/.test(word.text) || word.folded === 'nan' || isPlaceWord(word)) to = k;
    else if (
      !/^(?:of|the|de|du|la|le|da|do|dos|del|della|di|y|and|an|am|im|a|der|u|bei|sur|sous|en|les|los|las|el|di|upon|nad|pod)$/.test(
        word.folded,
      )
    )
      break;
  }
  return to;
}

/** A line that begins with a telephone number or another label is no line of the address. */
function startsOther(sample: Sample, words: Word[], k: number): boolean {
  const line = sample.text.slice(words[k]!.start, words[k]!.start + 60).split('\n', 1)[0]!;
  return /^[\d() .+x-]{7,}(?:\s|$|-)/.test(line) && /\d{2,}[^\d]\d{2,}/.test(line);
}

function isPlaceWord(word: Word): boolean {
  return (
    word.text.length > 3 &&
    (word.kind & PLACE) !== 0 &&
    !/^(?:will|last|night|please|call|when|case|post|mail|this|card|with|best|of)$/.test(word.folded)
  );
}
