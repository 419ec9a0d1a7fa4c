/**
 * Runs the detectors over a text and over its other readings, and makes one list of spans of it: sorted, without overlap, none
 * touching a placeholder. Where two overlap, the span covers both, so that no remainder of a value is left standing.
 */
import { DETECTORS } from '../detectors/index.js';
import type { Sample } from '../detectors/detector.js';
import { RefusedError } from '../limits.js';
import type { EntityType, Span } from '../types.js';
import {
  AT,
  WRITTEN,
  COLON,
  DASHES,
  DISGUISE,
  EQUALS,
  HOOK,
  JWT,
  MARK,
  SPACE,
  traitsOf,
  type Traits,
} from './chars.js';
import { outsidePlaceholders } from './placeholder.js';
import { toOriginal, viewsOf, type View } from './views.js';
import { wordsOf, type Word } from './words.js';

export interface ScanSettings {
  /** Detectors that are switched off, by name. */
  off: ReadonlySet<string>;
  /** The text stands where identifiers stand: only what is right by structure is looked for. */
  strongOnly: boolean;
  /** More spans of one detector are a refusal. */
  most: number;
  /** What is looked for; absent for everything. */
  types?: ReadonlySet<EntityType>;
  /** Other spans of this text, from a model. */
  extra?: readonly Span[];
}

/** Who wins the name of a span where two overlap: what is right by checksum or structure before what is right by context. */
const RANK: EntityType[] = [
  'SECRET',
  'CREDIT_CARD',
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

/** What no strong detector goes without, but for digits. */
const STRONG = AT | MARK | JWT | DASHES | HOOK | SPACE | WRITTEN | DISGUISE;
/** What no other detector goes without. */
const WEAK = STRONG | COLON | EQUALS;
/** The fewest digits that a strong detector looks at, and any does. */
const FEW_DIGITS = 9;
const FEWEST_DIGITS = 4;

/** Whether a text holds nothing that a detector or another reading of it could find something in. Most strings of an event are such. */
export function isQuiet(traits: Traits, text: string, strongOnly: boolean): boolean {
  const { has, digits } = traits;
  if (text.length < SHORTEST || isTime(text)) return true;
  if (strongOnly || ((has & EQUALS) === 0 && isLink(text, traits))) return digits < FEW_DIGITS && (has & STRONG) === 0;
  return digits < FEWEST_DIGITS && (has & WEAK) === 0;
}

/** `2026-03-04T05:06:07.890Z`: every event is full of them. */
function isTime(text: string): boolean {
  return (
    text.length >= 19 && text.length <= 35 && text.charCodeAt(10) === 84 && text.charCodeAt(4) === 45 && TIME.test(text)
  );
}
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:?\d{2})?$/;

export function scan(
  text: string,
  settings: ScanSettings,
  traits: Traits = traitsOf(text),
  views: readonly View[] = viewsOf(text, traits),
): Span[] {
  if (text.length < SHORTEST) return [];
  const found = detect(new TextSample(text, traits), settings);
  for (const view of views) {
    for (const span of detect(new TextSample(view.text, traitsOf(view.text)), settings))
      found.push({ ...span, ...toOriginal(view, span) });
  }
  if (settings.extra !== undefined) found.push(...settings.extra);
  if (found.length === 0) return found;
  return outsidePlaceholders(merge(found), text);
}

function detect(sample: Sample, { off, strongOnly, most, types }: ScanSettings): Span[] {
  const { traits, text } = sample;
  const found: Span[] = [];
  if (isQuiet(traits, text, strongOnly)) return found;
  const weak = !strongOnly && !isLink(text, traits);
  for (const detector of DETECTORS) {
    if (!detector.strong && !weak && !(detector.name === 'labelled' && (traits.has & EQUALS) !== 0)) continue;
    if (off.has(detector.name)) continue;
    const spans = detector.detect(sample);
    if (spans.length > most) throw new RefusedError('too_many_findings');
    for (const span of spans) if (span.end > span.start && types?.has(span.type) !== false) found.push(span);
  }
  return found;
}

/** An address in the web without anything around it: its path is made of names of things. Its query is read as labelled values. */
export function isLink(text: string, { has }: Traits): boolean {
  return (has & (SPACE | COLON)) === COLON && (text.startsWith('http://') || text.startsWith('https://'));
}

class TextSample implements Sample {
  /** For its shape: see `kept` in redact.ts. */
  static readonly kept = new TextSample('', traitsOf(''));

  #words: Word[] | undefined;
  #lower: string | undefined;

  constructor(
    readonly text: string,
    readonly traits: Traits,
  ) {}

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
