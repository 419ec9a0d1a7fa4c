/** What an event may be at most. Whatever exceeds it is not redacted in part: it is refused, so that the caller can hold it back. */
import type { Json } from './types.js';

export interface Limits {
  /** Levels of objects and arrays, those within encoded JSON included. */
  depth: number;
  /** Values and keys, those within encoded JSON included. */
  nodes: number;
  /** UTF-16 code units of all strings and keys. */
  chars: number;
  /** UTF-16 code units of one string or key. */
  textChars: number;
  findings: number;
  /** Encodings within encodings: JSON in a string in base64 is two. */
  encodings: number;
}

export const DEFAULT_LIMITS: Limits = {
  depth: 64,
  nodes: 100_000,
  chars: 4 * 1024 * 1024,
  textChars: 512 * 1024,
  findings: 10_000,
  encodings: 3,
};

/** Why an event could not be redacted. Codes are stable: they are stored with what is held back. */
export const REFUSALS = {
  too_deep: 'objects and arrays are nested deeper than the limit',
  too_many_nodes: 'the event has more values and keys than the limit',
  too_large: 'the strings of the event are longer than the limit, all together',
  text_too_large: 'one string of the event is longer than the limit',
  too_many_findings: 'more was found than the limit',
  too_many_encodings: 'something is encoded more often than the limit, and may hold what was not looked at',
  not_json: 'the value is not JSON',
  no_policy: 'no policy fits the source and the topic of the event',
  unlisted_field: 'the event has a field that its allow-list policy does not name',
  model_failed: 'the model-based detector did not answer, or answered something else than spans',
  internal: 'the redaction itself failed',
} as const;
export type Refusal = keyof typeof REFUSALS;

/** Thrown within the library, and returned by it as `{ ok: false, reason }`. Holds nothing of the event. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  constructor(readonly reason: Refusal) {
    super(REFUSALS[reason]);
  }
}

/** Counts what a walk meets, and ends the walk at the limit. One budget counts a whole event, what is decoded within it included. */
export class Budget {
  #nodes = 0;
  #chars = 0;

  constructor(private readonly limits: Limits) {}

  /** Throws RefusedError for a value beyond a limit, and for one that is no JSON. Iterative: an event may be deeper than the call stack. */
  check(root: Json, depth = 0): void {
    const open: object[] = [];
    const levels: number[] = [];
    let level = depth;
    const see = (value: unknown): void => {
      if (++this.#nodes > this.limits.nodes) throw new RefusedError('too_many_nodes');
      if (typeof value === 'string') this.#count(value);
      else if (typeof value === 'number') {
        if (!Number.isFinite(value)) throw new RefusedError('not_json');
      } else if (value !== null && typeof value === 'object') {
        if (level >= this.limits.depth) throw new RefusedError('too_deep');
        open.push(value);
        levels.push(level + 1);
      } else if (value !== null && typeof value !== 'boolean') throw new RefusedError('not_json');
    };
    see(root);
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      level = levels.pop()!;
      if (Array.isArray(next)) {
        if (next.length + this.#nodes > this.limits.nodes) throw new RefusedError('too_many_nodes');
        for (const item of next) see(item);
        continue;
      }
      const prototype: unknown = Object.getPrototypeOf(next);
      if (prototype !== Object.prototype && prototype !== null) throw new RefusedError('not_json');
      for (const key of Object.keys(next)) {
        this.#count(key);
        see((next as Record<string, unknown>)[key]);
      }
    }
  }

  #count(text: string): void {
    if (text.length > this.limits.textChars) throw new RefusedError('text_too_large');
    this.#chars += text.length;
    if (this.#chars > this.limits.chars) throw new RefusedError('too_large');
  }
}
