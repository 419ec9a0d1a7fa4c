import type { CommandAddress, Priority } from '@callboard/envelope';
import type { Again } from './keyed-queue.js';

/** A command as it is handed to the handler. The same object each time, until it is done. */
export interface Delivery {
  /** Tenant and ordering key, as one text. */
  readonly key: string;
  /** Its tenant: tenants take turns. */
  readonly owner: string;
  readonly priority: Priority;
  readonly address: CommandAddress;
  /** As stored. */
  readonly subject: string;
  readonly data: Uint8Array;
  readonly sequence: number;
  readonly fence: number;
  /** An earlier owner may have begun this command: its effect may be there already. */
  mayHaveBegun: boolean;
  /** Attempts that this process has made. */
  attempts: number;
  /** Set by the handler while the action's own code runs, and so may still have an effect. */
  acting: boolean;
  /** Somebody else has ended the command: it was cancelled, or its deadline has passed. */
  ended: boolean;
  /** See `onEnded`. */
  endListeners: Set<() => void> | undefined;
  /** Fires when this process may no longer run the command. */
  readonly signal: AbortSignal;
  /** Fires when the process wants to stop: what waits for another attempt should be left to the next owner. */
  readonly draining: AbortSignal;
  /** Has another command of its key go before it, wherever in the partition that one is. */
  putFirst(correlationId: string): void;
  /** Waits for something outside without holding the place of a command that could run. */
  rest<R>(until: Promise<R>): Promise<R>;
}

/** Calls back when somebody else ends the command, also when that has happened. Returns a function that takes it back. */
export function onEnded(delivery: Delivery, listener: () => void): () => void {
  const listeners = (delivery.endListeners ??= new Set());
  listeners.add(listener);
  if (delivery.ended) listener();
  return () => listeners.delete(listener);
}

export function markEnded(delivery: Delivery): void {
  if (delivery.ended) return;
  delivery.ended = true;
  for (const listener of delivery.endListeners ?? []) listener();
}

/**
 * `ended`: the command has a durable outcome. `left`: it has none, and the next owner goes on with it. `again`: it has none, and is to be
 * handed over once more when that has resolved; its key waits, and nothing else.
 */
export type Handled = 'ended' | 'left' | Again;
