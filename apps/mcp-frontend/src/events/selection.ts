import { InvalidFilter, parseFilters } from '@callboard/events';
import { CallboardError, type JsonObject } from '@callboard/envelope';
import { parseCursor, type EventPosition, type EventSelection } from '@callboard/jetstream';

/** Which events a client asks for, as it says it and as it is kept. */
export interface SelectionArguments {
  sources?: string[];
  topics?: string[];
  filters?: JsonObject[];
}

/** @throws CallboardError `invalid_arguments`, naming the place in the filters */
export function toSelection({ sources, topics, filters }: SelectionArguments): EventSelection {
  try {
    return { sources, topics, ...(filters && { filters: parseFilters(filters) }) };
  } catch (error) {
    if (error instanceof InvalidFilter) throw new CallboardError('invalid_arguments', error.message);
    throw error;
  }
}

/** Only what was asked, in one order, so that two that ask the same are the same. */
export function selectionOf({ sources, topics, filters }: SelectionArguments): SelectionArguments {
  return {
    ...(sources && { sources: [...new Set(sources)].sort() }),
    ...(topics && { topics: [...new Set(topics)].sort() }),
    ...(filters && { filters }),
  };
}

/** @throws CallboardError `invalid_cursor` */
export function toPosition(cursor: string): EventPosition {
  const position = parseCursor(cursor);
  if (!position) throw new CallboardError('invalid_cursor');
  return position;
}
