/** What tells a process which trace its work is part of, as W3C Trace Context has it. It goes along with commands, events and requests. */
export interface TraceContext {
  traceparent?: string;
  tracestate?: string;
}

const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
const TRACESTATE = /^[\x20-\x7e]{1,512}$/;

/** What somebody sent, where it is of that form; nothing of it otherwise. */
export function traceContextOf(traceparent: unknown, tracestate?: unknown): TraceContext {
  if (typeof traceparent !== 'string' || !TRACEPARENT.test(traceparent)) return {};
  return typeof tracestate === 'string' && TRACESTATE.test(tracestate) ? { traceparent, tracestate } : { traceparent };
}
