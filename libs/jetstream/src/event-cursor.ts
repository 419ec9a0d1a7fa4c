/**
 * Where a reader of EVENTS is: a place in the stream, and which stream it is a place in. A stream that was deleted and made anew counts from 1
 * again; by its identity a reader notices instead of skipping what it has not seen.
 *
 * A cursor is a position as text, for clients to keep. It is bound to nobody: whoever brings it reads what they may read, from there on. It
 * tells how many events of all tenants came before, and nothing else.
 */
export interface EventPosition {
  /** Identity of the stream: when it was made. */
  stream: string;
  /** Everything up to here was read. */
  sequence: number;
}

const CURSOR = /^c1_([0-9a-z]{1,12})_([0-9a-z]{1,11})$/;

export function encodeCursor({ stream, sequence }: EventPosition): string {
  return `c1_${stream}_${sequence.toString(36)}`;
}

/** The position that a cursor stands for; `undefined` for what is no cursor. */
export function parseCursor(cursor: string): EventPosition | undefined {
  const [, stream, digits] = CURSOR.exec(cursor) ?? [];
  const sequence = Number.parseInt(digits ?? '', 36);
  return stream !== undefined && Number.isSafeInteger(sequence) ? { stream, sequence } : undefined;
}

/** Identity of a stream, by when its server says that it was made. */
export function streamIdentity(created: string): string {
  return Date.parse(created).toString(36);
}
