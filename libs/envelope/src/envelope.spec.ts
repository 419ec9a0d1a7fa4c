import { describe, expect, it } from '@jest/globals';
import { ENVELOPE_VERSION, PRIORITIES, parseEnvelope, type JsonObject } from './envelope.js';
import { CallboardError, ERROR_CODES } from './errors.js';
import { HEADER } from './headers.js';
import { LIMITS } from './limits.js';
import { OUTCOME_STATUSES, parseOutcome } from './outcome.js';

const SECRET = 'hunter2';

/** Every member that the contract names, spelled as on the wire. */
const complete = {
  envelope_version: '1.0',
  correlation_id: 'c_1',
  idempotency_key: 'order-1',
  tenant_id: 'acme',
  user_id: 'user:default/jane',
  groups: ['group:default/team-a'],
  caller: { via: 'jwt', server: '/mcp', client_id: 'assistant', scopes: ['callboard:read'] },
  tool: 'git',
  method: 'clone',
  args: { url: 'https://example.com/x.git' },
  ordering_key: 'git:x',
  deadline_ms: 60_000,
  priority: 'normal',
  accept_partials: true,
  accept_async: false,
  saga_id: 'saga-1',
  saga_step: 'clone',
  compensation: { tool: 'git', method: 'remove', args: { url: 'x' } },
  issued_at: '2026-07-28T10:00:00.000Z',
  deadline_at: '2026-07-28T10:01:00.000Z',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'a=b',
  input_capabilities: ['elicitation'],
  input_responses: { answer: { action: 'accept' } },
  request_state: 'sealed',
  redrive_of: 'c_0',
  lineage: ['c_0'],
};
const optional = [
  'groups',
  'caller',
  'idempotency_key',
  'saga_id',
  'saga_step',
  'compensation',
  'traceparent',
  'tracestate',
  'input_capabilities',
  'input_responses',
  'request_state',
  'redrive_of',
  'lineage',
];

const least = Object.fromEntries(Object.entries(complete).filter(([name]) => !optional.includes(name)));

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));

function refusal(data: unknown): CallboardError {
  try {
    parseEnvelope(data instanceof Uint8Array ? data : (data as JsonObject));
  } catch (error) {
    return error as CallboardError;
  }
  throw new Error('it was taken for an envelope');
}

describe('an envelope', () => {
  it('is read from bytes and from parsed JSON, with every member as it came', () => {
    expect({ ...parseEnvelope(bytes(complete)) }).toEqual(complete);
    expect({ ...parseEnvelope(complete) }).toEqual(complete);
  });

  it('does without the members that a caller may leave out', () => {
    expect({ ...parseEnvelope(bytes(least)) }).toEqual(least);
  });

  it('keeps members that this version does not know', () => {
    for (const envelope of [complete, least]) {
      const newer = { ...envelope, from_the_future: { a: [1] } };
      expect({ ...parseEnvelope(bytes(newer)) }).toEqual(newer);
    }
  });

  it.each(Object.keys(complete).filter((name) => !optional.includes(name)))('is refused without %s', (name) => {
    for (const envelope of [complete, least]) {
      expect(refusal(bytes({ ...envelope, [name]: undefined }))).toMatchObject({
        code: 'invalid_request',
        message: `The envelope has wrong members: ${name}`,
      });
    }
  });

  it.each([
    ['envelope_version', '2.0'],
    ['envelope_version', 1],
    ['correlation_id', ''],
    ['correlation_id', SECRET.repeat(40)],
    ['idempotency_key', ''],
    ['idempotency_key', { SECRET }],
    ['tenant_id', ''],
    ['tenant_id', 7],
    ['user_id', ''],
    ['groups', SECRET],
    ['groups', ['']],
    ['groups', [7]],
    ['groups', [SECRET.repeat(40)]],
    ['groups', new Array(LIMITS.groups + 1).fill('g')],
    ['caller', SECRET],
    ['caller', [SECRET]],
    ['caller', { via: 'jwt' }],
    ['caller', { via: 'jwt', server: '/mcp', client_id: '' }],
    ['caller', { via: 'jwt', server: '/mcp', scopes: SECRET }],
    ['caller', { via: 'jwt', server: '/mcp', scopes: new Array(LIMITS.groups + 1).fill('s') }],
    ['tool', ''],
    ['tool', SECRET.repeat(10)],
    ['method', null],
    ['args', [SECRET]],
    ['args', SECRET],
    ['args', null],
    ['ordering_key', ''],
    ['ordering_key', SECRET.repeat(37)],
    ['deadline_ms', 0],
    ['deadline_ms', 1.5],
    ['deadline_ms', '60000'],
    ['deadline_ms', LIMITS.maxDeadlineMs + 1],
    ['priority', 'urgent'],
    ['accept_partials', 'true'],
    ['accept_async', 1],
    ['saga_id', 1],
    ['saga_step', ''],
    ['compensation', SECRET],
    ['compensation', [SECRET]],
    ['compensation', { tool: '', method: 'x', args: {} }],
    ['compensation', { tool: 'git', method: 'x' }],
    ['redrive_of', ''],
    ['lineage', SECRET],
    ['lineage', ['']],
    ['lineage', [7]],
    ['lineage', Array.from({ length: LIMITS.lineage + 1 }, () => SECRET)],
    ['issued_at', 'yesterday'],
    ['issued_at', 0],
    ['deadline_at', '2026-13-28T10:00:00Z'],
    ['deadline_at', '2026-07-28'],
    ['deadline_at', '2026-07-28T10:00:00'],
    ['deadline_at', '2026-W31-2'],
    ['traceparent', SECRET.repeat(30)],
    ['tracestate', SECRET.repeat(100)],
    ['input_capabilities', SECRET],
    ['input_capabilities', [1]],
    ['input_responses', [SECRET]],
    ['request_state', { SECRET }],
  ])('is refused when %s is %j, and the refusal names the member and never the value', (name, value) => {
    for (const envelope of [complete, least]) {
      const error = refusal(bytes({ ...envelope, [name]: value }));
      expect(error).toMatchObject({ code: 'invalid_request', message: `The envelope has wrong members: ${name}` });
      expect(JSON.stringify(error.toBody())).not.toContain(SECRET);
    }
  });

  it('names every wrong member at once', () => {
    const error = refusal(bytes({ ...complete, tool: 1, priority: 'x' }));
    expect(error.message).toBe('The envelope has wrong members: tool, priority');
  });

  it.each(['', 'null', '[]', '"text"', '7', '{"a":', '\ufeff{}', '{} {}'])('is refused when it is %j', (text) => {
    expect(refusal(Buffer.from(text))).toMatchObject({ code: 'invalid_request' });
  });

  it('is refused when it is larger than a message may be', () => {
    const data = bytes({ ...complete, args: { text: 'x'.repeat(LIMITS.envelopeBytes) } });
    expect(refusal(data)).toMatchObject({ code: 'payload_too_large' });
  });

  it.each([
    '{"__proto__":{},"args":1}',
    '{"constructor":{},"args":1}',
    '{"constructor":null}',
    JSON.stringify({ ...complete, args: 1 }).replace('{', '{"__proto__":{"constructor":{"name":"x"}},'),
    JSON.stringify({ ...complete, tool: 1, constructor: 'x' }),
  ])('cannot switch its own checks off: %s', (text) => {
    expect(refusal(Buffer.from(text))).toMatchObject({ code: 'invalid_request' });
  });

  it.each(['{"__proto__":{}}', '{"constructor":1}', '{"constructor":{},"tool":1,"method":1,"args":1}'])(
    'cannot switch the checks of its compensation off: %s',
    (text) => {
      const data = JSON.stringify({ ...complete, compensation: 0 }).replace(
        '"compensation":0',
        `"compensation":${text}`,
      );
      expect(refusal(Buffer.from(data))).toMatchObject({ code: 'invalid_request' });
    },
  );

  it('keeps arguments that look like a prototype as plain data, and changes no prototype', () => {
    const data = JSON.stringify({ ...complete, args: 0 }).replace('"args":0', '"args":{"__proto__":{"polluted":1}}');
    const { args } = parseEnvelope(Buffer.from(data));
    expect(Object.hasOwn(args, '__proto__')).toBe(true);
    expect(({} as JsonObject)['polluted']).toBeUndefined();
    expect(JSON.stringify(args)).toBe('{"__proto__":{"polluted":1}}');
  });

  it('holds its ground against arguments that are nested without end', () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    const data = JSON.stringify({ ...complete, args: 0 }).replace('"args":0', `"args":{"deep":${deep}}`);
    expect(parseEnvelope(Buffer.from(data)).correlation_id).toBe('c_1');
  });

  it('reads bytes out of the middle of a larger buffer', () => {
    const padded = Buffer.concat([Buffer.from('xxxx'), bytes(complete), Buffer.from('yyyy')]);
    expect(parseEnvelope(padded.subarray(4, padded.length - 4)).correlation_id).toBe('c_1');
  });
});

describe('an outcome', () => {
  it.each(['null', '[]', '{}', '{"status":"done"}', 'x'])('is not read from %j', (text) => {
    expect(() => parseOutcome(Buffer.from(text))).toThrow();
  });

  it('is read when its status is one of the five', () => {
    for (const status of OUTCOME_STATUSES) expect(parseOutcome(bytes({ status })).status).toBe(status);
  });
});

describe('what others rely on', () => {
  it('is spelled as it always was', () => {
    expect(ENVELOPE_VERSION).toBe('1.0');
    expect(PRIORITIES).toEqual(['high', 'normal', 'low']);
    expect(OUTCOME_STATUSES).toEqual(['succeeded', 'failed', 'cancelled', 'deadline_exceeded', 'dead_lettered']);
    expect(HEADER).toEqual({
      contentType: 'Content-Type',
      msgId: 'Nats-Msg-Id',
      expectedLastSubjectSequence: 'Nats-Expected-Last-Subject-Sequence',
      schedule: 'Nats-Schedule',
      scheduleTarget: 'Nats-Schedule-Target',
      scheduleTimeZone: 'Nats-Schedule-Time-Zone',
      scheduleTtl: 'Nats-Schedule-TTL',
      scheduler: 'Nats-Scheduler',
      scheduleNext: 'Nats-Schedule-Next',
      ttl: 'Nats-TTL',
      traceparent: 'traceparent',
      tracestate: 'tracestate',
      fingerprint: 'Callboard-Fingerprint',
      priority: 'Callboard-Priority',
      tenant: 'Callboard-Tenant',
      sagaPhase: 'Callboard-Saga-Phase',
      sagaDefinition: 'Callboard-Saga-Definition',
      attempt: 'Callboard-Attempt',
      fence: 'Callboard-Fence',
      deadline: 'Callboard-Deadline',
      idempotencyKey: 'Callboard-Idempotency-Key',
      oversized: 'Callboard-Oversized',
    });
  });

  it('has every error code with its meaning', () => {
    const table = Object.entries(ERROR_CODES).map(([code, { retryable, httpStatus }]) => [code, retryable, httpStatus]);
    expect(table).toEqual([
      ['invalid_request', false, 400],
      ['invalid_arguments', false, 400],
      ['invalid_cursor', false, 400],
      ['invalid_messaging_field', false, 400],
      ['unknown_action', false, 404],
      ['not_found', false, 404],
      ['invalid_event', false, 400],
      ['invalid_signature', false, 401],
      ['payload_too_large', false, 413],
      ['unauthorized', false, 401],
      ['forbidden', false, 403],
      ['idempotency_conflict', false, 409],
      ['deadline_exceeded', false, 504],
      ['already_ended', false, 409],
      ['cancelled', false, 409],
      ['action_failed', false, 500],
      ['dead_lettered', false, 500],
      ['in_doubt', false, 500],
      ['saga_compensated', false, 409],
      ['saga_failed', false, 500],
      ['saga_ended', false, 409],
      ['rate_limited', true, 429],
      ['overloaded', true, 503],
      ['unavailable', true, 503],
      ['expression_failed', false, 500],
      ['internal', false, 500],
    ]);
  });

  it('tells a client the code, whether to try again, and where to look', () => {
    const error = new CallboardError('overloaded', undefined, { retryAfterMs: 5_000, correlationId: 'c_1' });
    expect(error.toBody()).toEqual({
      code: 'overloaded',
      message: 'A limit is reached; try again later',
      retryable: true,
      retry_after_ms: 5_000,
      correlation_id: 'c_1',
    });
    expect(new CallboardError('internal', undefined, { cause: new Error(SECRET) }).toBody()).toEqual({
      code: 'internal',
      message: 'An unexpected fault inside Callboard',
      retryable: false,
    });
  });
});
