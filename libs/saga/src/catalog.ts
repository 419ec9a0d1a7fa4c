/** What a definition is held against: the actions that there are, as far as a definition can be wrong about them. */
import type { JsonObject } from '@callboard/envelope';

/** A part of an action's descriptor, as `@callboard/actions` has it. */
export interface CatalogAction {
  id: string;
  /** JSON Schema of the arguments. */
  input_schema: JsonObject;
  /** JSON Schema of what it returns. */
  output_schema?: JsonObject;
  attributes: { read_only: boolean; destructive: boolean; idempotent: boolean };
  deadline_ms: number;
  /** Id of the action that undoes it, given `{args, result}`. */
  compensation?: string;
}

export type Catalog = ReadonlyMap<string, CatalogAction>;

/** The names that are most like one that is not known. */
export function suggestion(name: string, known: Iterable<string>): string {
  const near = [...known]
    .map((each) => ({ each, distance: distance(name, each) }))
    .filter(({ distance }) => distance <= Math.max(2, Math.floor(name.length / 4)))
    .sort((a, b) => a.distance - b.distance || (a.each < b.each ? -1 : 1))
    .slice(0, 3)
    .map(({ each }) => each);
  return near.length > 0 ? `; did you mean ${near.join(' or ')}?` : '';
}

/** Levenshtein's: letters to change, put in or leave out. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(previous[j]! + 1, row[j - 1]! + 1, change));
    }
    previous = row;
  }
  return previous[b.length]!;
}
