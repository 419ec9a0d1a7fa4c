import { contextNow, traceContextOf, type TraceContext } from '@callboard/tracing';

/** What a far side is told of the trace: the call to it, where this process makes spans; or else what came with the command. */
export function traceOf({ traceparent, tracestate }: TraceContext): TraceContext {
  const now = contextNow();
  return now.traceparent === undefined ? traceContextOf(traceparent, tracestate) : now;
}
