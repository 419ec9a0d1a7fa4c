/** For specs: the context of one attempt, without a runner around it. */
import type { ActionContext } from '@callboard/actions';

export interface SpecContext {
  context: ActionContext;
  /** Arguments of each call of `progress`. */
  heard: unknown[][];
  abort(reason?: unknown): void;
}

export function specContext(overrides: Partial<ActionContext> = {}): SpecContext {
  const heard: unknown[][] = [];
  const stop = new AbortController();
  const context = {
    correlationId: 'c_spec',
    idempotencyKey: 'c_spec',
    tenantId: 'acme',
    userId: 'user:default/jane',
    attempt: 1,
    deadlineAt: new Date(Date.now() + 60_000),
    signal: stop.signal,
    fence: 7,
    command: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
    progress: (...facts: unknown[]) => void heard.push(facts),
    log: () => undefined,
    ...overrides,
  } as unknown as ActionContext;
  return { context, heard, abort: (reason) => stop.abort(reason ?? new Error('cancelled')) };
}
