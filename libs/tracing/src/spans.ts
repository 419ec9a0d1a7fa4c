/**
 * Spans, by OpenTelemetry's API alone: a process that has no SDK makes none, and what it was told of a trace goes on to others as it came.
 *
 * Guaranteed: nothing here throws into the work that it tells of, and no span holds a message of an error, which may hold a payload:
 * an error is its code, or else its class.
 */
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  context,
  createTraceState,
  isSpanContextValid,
  trace,
  type Attributes,
  type Context,
  type Link,
  type Span,
  type SpanContext,
} from '@opentelemetry/api';
import { ATTRIBUTE } from './attributes.js';
import type { TraceContext } from './trace-context.js';

export type { Span };

export interface SpanSettings {
  kind: 'server' | 'client' | 'producer' | 'consumer' | 'internal';
  /** Whose work this is part of; where it says nothing, what this process is doing. */
  parent?: TraceContext;
  /** Begins a trace of its own. */
  root?: boolean;
  /** Traces that this has to do with and is no part of. */
  links?: readonly TraceContext[];
  attributes?: Attributes;
}

const KIND = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
};
/** Most links of one span: whoever is given many events is linked to the first of them. */
const MOST_LINKS = 64;
const tracer = trace.getTracer('callboard');

export function startSpan(name: string, { kind, parent, root, links, attributes }: SpanSettings): Span {
  const options = {
    kind: KIND[kind],
    ...(root && { root }),
    ...(links && { links: links.flatMap(toLink) }),
    ...(attributes && { attributes }),
  };
  return tracer.startSpan(name, options, parent ? contextWith(parent) : context.active());
}

/** Does work as part of a span: what it starts are children, and its lines of log name the trace. */
export function within<T>(span: Span, work: () => T): T {
  return context.with(trace.setSpan(context.active(), span), work);
}

/** Does work as part of what somebody else has begun. */
export function asPartOf<T>(parent: TraceContext, work: () => T): T {
  return parent.traceparent === undefined ? work() : context.with(contextWith(parent), work);
}

/** A span around work that may fail. */
export async function traced<T>(name: string, settings: SpanSettings, work: (span: Span) => Promise<T>): Promise<T> {
  const span = startSpan(name, settings);
  try {
    const result = await within(span, () => work(span));
    span.end();
    return result;
  } catch (error) {
    endSpan(span, errorType(error));
    throw error;
  }
}

/** @param failure a code of ours, or the class of what was thrown */
export function endSpan(span: Span, failure?: string): void {
  if (failure !== undefined) span.setAttribute(ATTRIBUTE.errorType, failure).setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

export function link(span: Span, to: TraceContext): void {
  for (const each of toLink(to)) span.addLink(each);
}

/** Links what this process is doing now. */
export function linkActive(to: readonly TraceContext[]): void {
  const span = trace.getActiveSpan();
  if (!span?.isRecording()) return;
  for (const each of to.slice(0, MOST_LINKS)) link(span, each);
}

/** What to tell those who do a part of this span's work; empty while there is no trace. */
export function contextOf(span: Span): TraceContext {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  if (!isSpanContextValid(span.spanContext())) return {};
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
  const tracestate = traceState?.serialize();
  return tracestate ? { traceparent, tracestate } : { traceparent };
}

/** The same of what this process is doing now. */
export function contextNow(): TraceContext {
  const span = trace.getActiveSpan();
  return span ? contextOf(span) : {};
}

/** A message as it goes to whoever does a part of this span's work; the same one where there is no trace. */
export function carry<T extends TraceContext>(span: Span, message: T): T {
  const said = contextOf(span);
  if (said.traceparent === undefined) return message;
  const { tracestate: _, ...rest } = message;
  return { ...rest, ...said } as T;
}

function errorType(error: unknown): string {
  const { code } = error as { code?: unknown };
  if (typeof code === 'string') return code;
  return error instanceof Error ? error.name : typeof error;
}

function contextWith(parent: TraceContext): Context {
  const remote = spanContextOf(parent);
  return remote ? trace.setSpanContext(ROOT_CONTEXT, remote) : context.active();
}

function toLink(to: TraceContext): Link[] {
  const remote = spanContextOf(to);
  return remote ? [{ context: remote }] : [];
}

function spanContextOf({ traceparent, tracestate }: TraceContext): SpanContext | undefined {
  if (traceparent === undefined) return undefined;
  const [, traceId = '', spanId = '', flags = ''] = traceparent.split('-');
  const remote = {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
    ...(tracestate !== undefined && { traceState: createTraceState(tracestate) }),
  };
  return isSpanContextValid(remote) ? remote : undefined;
}
