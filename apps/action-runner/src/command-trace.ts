/**
 * The traces of commands in a runner: each time a command is handed over is a span, and each attempt one within it.
 *
 * A command is part of the trace of its call, attempt after attempt. One that a process before may have begun, or that an operator has
 * redriven, begins a trace that is linked to that: what happened first is to be seen there, and is not to be mistaken for this.
 */
import { actionId, type CommandEnvelope } from '@callboard/envelope';
import { STREAM, type Delivery } from '@callboard/jetstream';
import {
  ATTRIBUTE,
  carry,
  contextOf,
  processing,
  sending,
  startSpan,
  traceContextOf,
  traced,
  type Span,
  type SpanSettings,
  type TraceContext,
} from '@callboard/tracing';

/** Of commands that go on in another trace than their call's. */
const elsewhere = new WeakMap<Delivery, TraceContext>();

/** Hands the command over within a span that lasts as long as `work`. */
export function tracedHandover<T>(
  delivery: Delivery,
  command: CommandEnvelope,
  work: (command: CommandEnvelope) => Promise<T>,
): Promise<T> {
  const { name, ...settings } = processing(STREAM.commands, aboutCommand(command));
  const from = comesFrom(delivery, command);
  return traced(name, { ...settings, ...from }, (span) => {
    if (from.root) elsewhere.set(delivery, contextOf(span));
    return work(carry(span, command));
  });
}

export function attemptSpan(command: CommandEnvelope, attempt: number): Span {
  const attributes = { ...aboutCommand(command), [ATTRIBUTE.attempt]: attempt };
  return startSpan(`attempt ${actionId(command)}`, { kind: 'internal', attributes });
}

export function tracedEnd<T>(command: CommandEnvelope, status: string, work: () => Promise<T>): Promise<T> {
  const { name, ...settings } = sending(STREAM.outcomes, {
    ...aboutCommand(command),
    [ATTRIBUTE.status]: status,
  });
  return traced(name, settings, work);
}

function comesFrom(delivery: Delivery, command: CommandEnvelope): Pick<SpanSettings, 'parent' | 'root' | 'links'> {
  const parent = elsewhere.get(delivery);
  if (parent) return { parent };
  const called = traceContextOf(command.traceparent, command.tracestate);
  const again = (delivery.mayHaveBegun && delivery.attempts === 0) || command.redrive_of !== undefined;
  return again ? { root: true, links: [called] } : { parent: called };
}

function aboutCommand(command: CommandEnvelope) {
  return {
    [ATTRIBUTE.tenant]: command.tenant_id,
    [ATTRIBUTE.correlationId]: command.correlation_id,
    [ATTRIBUTE.messageId]: command.correlation_id,
    [ATTRIBUTE.action]: actionId(command),
  };
}
