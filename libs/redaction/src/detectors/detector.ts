/**
 * A detector reads a text and reports what it found.
 *
 * Linear by construction: a detector finds anchors (an `@`, a run of digits, a key word) and looks around each of them within a bounded
 * distance, or within a run that it then skips. A regular expression that runs over a text has bounded repetition only; others judge a piece
 * of bounded length.
 */
import type { Traits } from '../text/chars.js';
import type { Word } from '../text/words.js';
import type { EntityType, Span } from '../types.js';

/** A text, and what several detectors want to know of it, worked out once. */
export interface Sample {
  text: string;
  traits: Traits;
  /** The words, made when the first detector asks. */
  words(): Word[];
  lower(): string;
}

export interface Detector {
  name: string;
  type: EntityType;
  /** Strong detectors need no context and are right by checksum, prefix or structure: they run on identifiers too. */
  strong: boolean;
  detect(sample: Sample): Span[];
}

/** Whether one of the words stands, as a whole word, in the 48 characters before or the 20 after. */
export function hasContext(sample: Sample, start: number, end: number, words: ReadonlySet<string>): boolean {
  const before = sample.lower().slice(Math.max(0, start - 48), start);
  const after = sample.lower().slice(end, end + 20);
  return `${before} ${after}`.split(CONTEXT_BREAK).some((word) => words.has(word));
}
const CONTEXT_BREAK = /[^\p{L}\p{M}\p{N}]/u;

export function wordSet(words: string): ReadonlySet<string> {
  return new Set(words.split(/\s+/).filter((word) => word !== ''));
}
