/** What runs in a worker thread: one event at a time, nothing kept between two but the keys of tenants. */
import { workerData } from 'piscina';
import { judgeEvent, type Rules, type Verdict } from './judge-event.js';
import type { RawEvent } from './raw-event.js';

/** What holds for every event. */
export type CommonRules = Omit<Rules, 'key'>;

export interface RedactionTask {
  event: RawEvent;
  /** Of the event's tenant, in base64. */
  key: string;
  /** Set to 1 when the thread has taken it: until then, no time of its own has passed. */
  begun: Int32Array;
}

const rules = workerData as CommonRules;

/** What is derived from a key is remembered with the array that holds it, so each is made once. */
const keys = new Map<string, Uint8Array>();
const MOST_KEYS = 1_024;

export default function judge({ event, key, begun }: RedactionTask): Verdict {
  Atomics.store(begun, 0, 1);
  return judgeEvent(event, { ...rules, key: bytesOf(key) });
}

function bytesOf(text: string): Uint8Array {
  let bytes = keys.get(text);
  if (!bytes) {
    if (keys.size >= MOST_KEYS) keys.clear();
    keys.set(text, (bytes = Buffer.from(text, 'base64')));
  }
  return bytes;
}
