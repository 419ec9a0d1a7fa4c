/**
 * Delivers a notification to Backstage, however long Backstage is away: until it takes it, refuses it for good, or nobody wants it any more.
 *
 * It may be sent more than once, and is there once: it has a scope, and what has the scope of an earlier one takes its place.
 * Not guaranteed: Backstage looks for the earlier one and then stores, so two requests of one scope at the same instant may both be stored.
 * Requests of one notification are made one after the other, with a pause between them.
 */
import { backOffMs } from '@callboard/jetstream';
import { traced } from '@callboard/tracing';
import { post, type BackstageTarget, type Sent } from './backstage.js';
import type { Notification } from './notification.js';
import type { Slots } from './slots.js';

export type Delivered = Exclude<Sent, { kind: 'not_now' }>;

const FIRST_PAUSE_MS = 500;
const MOST_PAUSE_MS = 10_000;

export class Delivery {
  constructor(
    private readonly slots: Slots,
    private readonly timeoutMs: number,
    private readonly onAgain: (reason: string) => void,
  ) {}

  /** @throws NotDelivered when the signal fires first */
  async deliver(target: BackstageTarget, notification: Notification, signal: AbortSignal): Promise<Delivered> {
    let reached = false;
    try {
      for (let n = 1; ; n++) {
        const sent = await this.slots.run(async () => {
          signal.throwIfAborted();
          return traced('POST notifications', { kind: 'client' }, () =>
            post(target, notification, this.timeoutMs, signal),
          );
        });
        if (sent.kind !== 'not_now') return sent;
        reached ||= sent.reached;
        this.onAgain(sent.reason);
        await pause(Math.max(sent.retryAfterMs ?? 0, backOffMs(n, FIRST_PAUSE_MS, MOST_PAUSE_MS)), signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
      throw new NotDelivered(reached, signal.reason);
    }
  }
}

/** It was stopped; `reached` says that it may have been delivered all the same. */
export class NotDelivered extends Error {
  constructor(
    readonly reached: boolean,
    readonly reason: unknown,
  ) {
    super('a notification was stopped');
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = () => {
      signal.removeEventListener('abort', stopped);
      resolve();
    };
    const timer = setTimeout(over, ms);
    const stopped = () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    if (signal.aborted) stopped();
    else signal.addEventListener('abort', stopped, { once: true });
  });
}
