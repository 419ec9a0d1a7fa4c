/**
 * Runs the detectors over a text and over its other readings, and makes one list of spans of it: sorted, without overlap, none
 * touching a placeholder. Where two overlap, the span covers both, so that no remainder of a value is left standing.
 */
import { DETECTORS } from '../detectors/index.js';
import type { Sample } from '../detectors/detector.js';
import type { EntityType, Span } from '../types.js';
import { traitsOf, type Traits } from './chars.js';
import { outsidePlaceholders } from './placeholder.js';
import { toOriginal, viewsOf, type View } from './views.js';
import { wordsOf, type Word } from './words.js';

export interface ScanSettings {
  /** Detectors that are switched off, by name. */
  off: ReadonlySet<string>;
  /** The text stands where identifiers stand: only what is right by structure is looked for. */
  strongOnly: boolean;
  /** Other spans of this text, from a model. */
  extra?: readonly Span[];
}

/** Who wins the name of a span where two overlap: what is right by checksum or structure before what is right by context. */
const RANK: EntityType[] = [
  'SECRET',
  'CARD',
  'IBAN',
  'EMAIL',
  'NATIONAL_ID',
  'IP',
  'MAC',
  'DOB',
  'PHONE',
  'ACCOUNT',
  'ADDRESS',
  'ZIP',
  'PERSON',
  'USER',
  'TEXT',
];
/** Shorter texts hold nothing that a detector finds. */
const SHORTEST = 4;

export function scan(text: string, settings: ScanSettings, views: readonly View[] = viewsOf(text)): Span[] {
  if (text.length < SHORTEST) return [];
  const found = detect(text, settings);
  for (const view of views) {
    for (const span of detect(view.text, settings)) found.push({ ...span, ...toOriginal(view, span) });
  }
  if (settings.extra !== undefined) found.push(...settings.extra);
  if (found.length === 0) return found;
  return outsidePlaceholders(merge(found), text);
}

function detect(text: string, { off, strongOnly }: ScanSettings): Span[] {
  const sample = new TextSample(text);
  const { traits } = sample;
  if (!traits.at && traits.digits < 3 && !traits.space && traits.longestRun < 10 && !traits.equals && !traits.colon)
    return [];
  const found: Span[] = [];
  const weak = !strongOnly && !isLink(text, sample);
  for (const detector of DETECTORS) {
    if (off.has(detector.name) || (!detector.strong && !weak && !(detector.name === 'labelled' && traits.equals)))
      continue;
    for (const span of detector.detect(sample)) if (span.end > span.start) found.push(span);
  }
  return found;
}

/** An address in the web without anything around it: its path is made of names of things. Its query is read as labelled values. */
function isLink(text: string, { traits }: Sample): boolean {
  return !traits.space && (text.startsWith('http://') || text.startsWith('https://'));
}

class TextSample implements Sample {
  readonly traits: Traits;
  #words: Word[] | undefined;
  #lower: string | undefined;

  constructor(readonly text: string) {
    this.traits = traitsOf(text);
  }

  words(): Word[] {
    return (this.#words ??= wordsOf(this.text));
  }

  lower(): string {
    return (this.#lower ??= lowerOf(this.text));
  }
}

/** In lower case and of the same length, so that offsets hold. */
export function lowerOf(text: string): string {
  const lower = text.toLowerCase();
  if (lower.length === text.length) return lower;
  return Array.from(text, (char) => (char.toLowerCase().length === char.length ? char.toLowerCase() : char)).join('');
}

export function merge(spans: Span[]): Span[] {
  const sorted = [...spans].sort((a, b) => a.start - b.start || b.end - a.end);
  const merged: Span[] = [];
  for (const span of sorted) {
    const last = merged.at(-1);
    if (last === undefined || span.start >= last.end) {
      merged.push({ ...span });
      continue;
    }
    last.end = Math.max(last.end, span.end);
    if (rank(span) < rank(last)) {
      last.type = span.type;
      last.detector = span.detector;
    }
  }
  return merged;
}

function rank({ type }: Span): number {
  return RANK.indexOf(type);
}
