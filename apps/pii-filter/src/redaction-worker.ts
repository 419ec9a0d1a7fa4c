/** What runs in a worker thread: one event at a time, nothing kept between two. */
import { workerData } from 'piscina';
import { judgeEvent, type Rules, type Verdict } from './judge-event.js';
import type { RawEvent } from './raw-event.js';

export interface RedactionTask {
  event: RawEvent;
  /** Set to 1 when the thread has taken it: until then, no time of its own has passed. */
  begun: Int32Array;
}

const rules = workerData as Rules;

export default function judge({ event, begun }: RedactionTask): Verdict {
  Atomics.store(begun, 0, 1);
  return judgeEvent(event, rules);
}
