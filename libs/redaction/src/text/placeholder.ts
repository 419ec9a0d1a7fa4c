/**
 * What stands in the place of a value: `[EMAIL:7f3a]`, or `[EMAIL]` where a policy wants no pseudonym.
 *
 * Invariant: no detector reports anything that overlaps a placeholder. That makes redaction idempotent.
 */
import { ENTITY_TYPES, type Span } from '../types.js';

const PLACEHOLDER = new RegExp(`\\[(?:${ENTITY_TYPES.join('|')})(?::[0-9a-f]{4,64})?\\]`, 'g');

export function placeholdersIn(text: string): { start: number; end: number }[] {
  if (!text.includes('[')) return [];
  return Array.from(text.matchAll(PLACEHOLDER), (match) => ({
    start: match.index,
    end: match.index + match[0].length,
  }));
}

export function isPlaceholder(text: string): boolean {
  if (text.charCodeAt(0) !== 91) return false;
  const [only] = placeholdersIn(text);
  return only !== undefined && only.start === 0 && only.end === text.length;
}

/** The spans without what overlaps a placeholder; both lists sorted by start. */
export function outsidePlaceholders(spans: Span[], text: string): Span[] {
  const taken = placeholdersIn(text);
  if (taken.length === 0) return spans;
  let next = 0;
  return spans.flatMap((span) => {
    while (next < taken.length && taken[next]!.end <= span.start) next++;
    const pieces: Span[] = [];
    let start = span.start;
    for (let i = next; i < taken.length && taken[i]!.start < span.end; i++) {
      if (taken[i]!.start > start) pieces.push({ ...span, start, end: taken[i]!.start });
      start = taken[i]!.end;
    }
    if (start < span.end) pieces.push({ ...span, start });
    return pieces.filter((piece) => /[\p{L}\p{N}]/u.test(text.slice(piece.start, piece.end)));
  });
}
