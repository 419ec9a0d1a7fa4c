/** What is told of a call, by MCP's conventions: its trace, and its figures. */
import { ERROR_CODES, type CommandEnvelope, type JsonObject } from '@callboard/envelope';
import { STREAM, type Submission } from '@callboard/jetstream';
import {
  ATTRIBUTE,
  carry,
  endSpan,
  link,
  receiving,
  sending,
  startSpan,
  traceContextOf,
  traced,
  within,
  type TraceContext,
} from '@callboard/tracing';
import type { Invocation } from './call.js';
import { countCall } from './metrics.js';

const METHODS = {
  tool: 'tools/call',
  resource: 'resources/read',
  resource_template: 'resources/read',
  prompt: 'prompts/get',
} as const;

/** A whole call is one span. Its parent is what the request says of itself; what HTTP says beside that is linked. */
export async function tracedCall(call: Invocation, work: () => Promise<JsonObject>): Promise<JsonObject> {
  const method = METHODS[call.action.surface.kind];
  const from = performance.now();
  const span = startSpan(`${method} ${call.action.id}`, {
    kind: 'server',
    parent: calledIn(call),
    links: linksOf(call),
    attributes: about(call),
  });
  try {
    const result = await within(span, work);
    const failed = result.isError === true ? codeOfResult(result) : undefined;
    // The conventions of MCP have a word for it.
    endSpan(span, failed && 'tool_error');
    countCall(method, failed ?? 'ok', performance.now() - from);
    return result;
  } catch (error) {
    const code = codeOf(error);
    endSpan(span, code);
    countCall(method, knownCode(code) ?? 'protocol_error', performance.now() - from);
    throw error;
  }
}

/** The command goes on in the trace of its call. One that joins an earlier command is linked to that one's trace. */
export function tracedSubmit(
  command: CommandEnvelope,
  stream: string,
  work: (command: CommandEnvelope) => Promise<Submission>,
): Promise<Submission> {
  const { name, ...settings } = sending(stream, {
    [ATTRIBUTE.tenant]: command.tenant_id,
    [ATTRIBUTE.correlationId]: command.correlation_id,
    [ATTRIBUTE.messageId]: command.correlation_id,
  });
  return traced(name, settings, async (span) => {
    const submission = await work(carry(span, command));
    if (submission.earlier) link(span, submission.earlier);
    return submission;
  });
}

/** Waits for what becomes of a command. */
export function tracedWait<T>({ correlationId }: Submission, work: () => Promise<T>): Promise<T> {
  const { name, ...settings } = receiving(STREAM.outcomes, { [ATTRIBUTE.correlationId]: correlationId });
  return traced(name, settings, work);
}

/** The trace in which it was called: what the request says of itself, or else what HTTP says. */
export function calledIn({ meta, header }: Invocation): TraceContext {
  const said = traceContextOf(meta['traceparent'], meta['tracestate']);
  return said.traceparent === undefined ? traceContextOf(header('traceparent'), header('tracestate')) : said;
}

function linksOf({ meta, header }: Invocation): TraceContext[] {
  return meta['traceparent'] === undefined ? [] : [traceContextOf(header('traceparent'), header('tracestate'))];
}

function about({ action, principal }: Invocation) {
  const { kind } = action.surface;
  return {
    [ATTRIBUTE.mcpMethod]: METHODS[kind],
    ...(kind === 'tool' && { [ATTRIBUTE.toolName]: action.id }),
    [ATTRIBUTE.action]: action.id,
    [ATTRIBUTE.tenant]: principal.tenantId,
  };
}

/** Actions have codes of their own, too many to count by. */
function codeOfResult({ structuredContent }: JsonObject): string {
  const { error } = (structuredContent ?? {}) as { error?: { code?: unknown } };
  return knownCode(error?.code) ?? 'tool_error';
}

function knownCode(code: unknown): string | undefined {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code) ? code : undefined;
}

function codeOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  return typeof code === 'string' ? code : String(name);
}
