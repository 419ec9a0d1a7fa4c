/** An event as it was read from a request, before anything is known but that it is well formed. */
import { EVENT_LIMITS, InvalidEvent, type EventAttributes } from '@callboard/events';
import { isNestedDeeperThan, parseJson } from '@callboard/http';

export interface ReadEvent {
  attributes: EventAttributes;
  /** As it will be stored; empty where there is none. */
  data: Uint8Array;
  /** The data's value when it is JSON. */
  json: unknown;
}

/** What became of reading one event. */
export type Reading = ReadEvent | InvalidEvent | OversizedEvent;

/** How much a reader takes. */
export interface ReadLimits {
  maxDepth: number;
  maxBatch: number;
}

/** Data that is too large for one event; its sender can send less. */
export class OversizedEvent extends Error {
  override readonly name = 'OversizedEvent';
}

/** @throws OversizedEvent */
export function refuseOversized(data: Uint8Array): void {
  if (data.byteLength > EVENT_LIMITS.dataBytes) {
    throw new OversizedEvent(`The data of an event is limited to ${EVENT_LIMITS.dataBytes} bytes`);
  }
}

/**
 * The value of data that is said to be JSON; `undefined` when there is none.
 * @throws InvalidEvent
 */
export function readJsonData(data: Buffer, maxDepth: number): unknown {
  if (data.length === 0) return undefined;
  if (isNestedDeeperThan(maxDepth, data)) {
    throw new InvalidEvent('data', `must not be nested deeper than ${maxDepth} levels`);
  }
  const value = parseJson(data);
  if (value === undefined) throw new InvalidEvent('data', 'must be JSON in UTF-8, as its content type says');
  return value;
}

/** Type and subtype of a Content-Type, in lower case; empty when there is none. */
export function mediaTypeOf(contentType: string | undefined): string {
  return contentType?.split(';', 1)[0]!.trim().toLowerCase() ?? '';
}

/** Does a Content-Type declare JSON? One that is not there does, as CloudEvents has it. */
export function isJson(contentType: string | undefined): boolean {
  return contentType === undefined || /^[^/]+\/(?:[^/]+\+)?json$/.test(mediaTypeOf(contentType));
}
