/** What belongs to somebody else: another tenant, or another user of the own one. */
import { call, echo, mcp, session, type Attack } from '../attack.js';
import type { Target, Victim } from '../target.js';

const unknownTask = { status: 200, code: -32602 };
const notFound = { status: 200, code: 'not_found' };
const noSession = { status: 404, code: -32001 };

/** Each of these is tried against a stranger and against a colleague. */
const AGAINST: [whom: string, of: (target: Target) => Victim][] = [
  ['of another tenant', (target) => target.vera],
  ['of a colleague', (target) => target.jane],
];

const taken = AGAINST.flatMap(([whom, of]): Attack[] => [
  {
    name: `reading the task ${whom}`,
    attempt: (t) => mcp(t, 'tasks/get', { taskId: of(t).taskId }),
    refused: unknownTask,
  },
  {
    name: `cancelling the task ${whom}`,
    attempt: (t) => mcp(t, 'tasks/cancel', { taskId: of(t).taskId }),
    refused: unknownTask,
  },
  {
    name: `answering for the task ${whom}`,
    attempt: (t) =>
      mcp(t, 'tasks/update', {
        taskId: of(t).taskId,
        inputResponses: { approval: { action: 'accept', content: { approve: true } } },
      }),
    refused: unknownTask,
  },
  {
    name: `fetching the result ${whom}`,
    attempt: (t) => call(t, 'callboard.result', { correlation_id: of(t).acceptedId, wait_ms: 0 }),
    refused: notFound,
  },
  {
    name: `polling the subscription ${whom}`,
    attempt: (t) => call(t, 'events.poll', { name: of(t).subscription, wait_ms: 0 }),
    refused: notFound,
  },
  {
    name: `confirming a cursor in the subscription ${whom}`,
    attempt: (t) => call(t, 'events.poll', { name: of(t).subscription, cursor: of(t).cursor, wait_ms: 0 }),
    refused: notFound,
  },
  {
    name: `ending the subscription ${whom}`,
    attempt: (t) => call(t, 'events.unsubscribe', { name: of(t).subscription }),
    refused: { status: 200 },
  },
  { name: `calling in the session ${whom}`, attempt: (t) => session(t, of(t).sessionId), refused: noSession },
  {
    name: `listening to the session ${whom}`,
    attempt: (t) => session(t, of(t).sessionId, { method: 'GET' }),
    refused: noSession,
  },
  {
    name: `resuming a stream in the session ${whom}`,
    attempt: (t) => session(t, of(t).sessionId, { method: 'GET', headers: { 'last-event-id': of(t).eventId } }),
    refused: noSession,
  },
  {
    name: `ending the session ${whom}`,
    attempt: (t) => session(t, of(t).sessionId, { method: 'DELETE' }),
    refused: noSession,
  },
  {
    name: `answering a question that was put to the session ${whom}`,
    attempt: (t) => session(t, of(t).sessionId, { body: { jsonrpc: '2.0', id: 'x.y.1', result: {} } }),
    refused: noSession,
  },
  {
    name: `bringing an answer with the sealed state ${whom}`,
    attempt: (t) =>
      mcp(
        t,
        'tools/call',
        {
          name: 'demo.approve',
          arguments: { key: 'k', value: 'v' },
          requestState: of(t).requestState,
          inputResponses: { approval: { action: 'accept', content: { approve: true } } },
        },
        { meta: { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } } },
      ),
    refused: { status: 200, code: -32602 },
  },
  {
    name: `making a call under the idempotency key ${whom}`,
    attempt: (t) =>
      call(t, 'demo.sleep', { ms: 0 }, { meta: { 'io.callboard/idempotency_key': of(t).idempotencyKey } }),
    refused: { status: 200 },
    stored: 'own',
  },
]);

/** Saying that one is somebody else. */
const saying = (name: string, options: Parameters<typeof echo>[1]): Attack => ({
  name,
  attempt: (target) => echo(target, options),
  refused: { status: 200 },
  stored: 'own',
});

export const OTHERS: Attack[] = [
  ...taken,
  saying('another tenant in _meta', { meta: { 'io.callboard/tenant_id': 'globex', tenant_id: 'globex' } }),
  saying('another user in _meta', {
    meta: { 'io.callboard/user_id': 'user:default/vera', 'io.callboard/groups': ['group:default/admins'] },
  }),
  saying('another tenant in a header', {
    headers: { 'x-callboard-tenant': 'globex', 'x-callboard-tenant-id': 'globex' },
  }),
  saying('another user in a header', {
    headers: { 'x-callboard-user-id': 'user:default/vera', 'x-callboard-groups': 'admins' },
  }),
  saying('a principal in _meta', {
    meta: { 'io.callboard/principal': { tenantId: 'globex', userId: 'user:default/vera', via: 'jwt' } },
  }),
  saying("another tenant's key as the ordering key", {
    meta: { 'io.callboard/ordering_key': 'globex.user:default/vera' },
  }),
  saying('a correlation id of its own', { meta: { 'io.callboard/correlation_id': 'c_chosen' } }),
  saying('the client name of the supervisor', {
    meta: { 'io.modelcontextprotocol/clientInfo': { name: 'callboard', version: '1' } },
  }),
  {
    name: 'another tenant among the arguments of a tool',
    attempt: (t) => call(t, 'demo.echo', { text: 'x', tenant_id: 'globex' }),
    refused: { status: 200 },
    stored: 'own',
  },
  {
    name: 'reading the events of another tenant by its source',
    attempt: (t) => call(t, 'events.read', { sources: ['globex'] }),
    refused: { status: 200 },
  },
  {
    name: 'reading on with a cursor of another tenant',
    attempt: (t) => call(t, 'events.read', { cursor: t.vera.cursor }),
    refused: { status: 200 },
  },
  {
    name: 'a resource of events of another tenant',
    attempt: (t) => mcp(t, 'resources/read', { uri: 'event://globex/incident' }),
    refused: { status: 200 },
  },
  {
    name: 'a cursor that was made up',
    attempt: (t) => call(t, 'events.read', { cursor: 'AAAA' }),
    refused: { status: 200, code: 'invalid_cursor' },
  },
  {
    name: 'following the task of another tenant',
    attempt: (t) => mcp(t, 'subscriptions/listen', { notifications: { taskIds: 'c_x' } }),
    refused: { status: 200, code: -32602 },
  },
  {
    name: 'a sealed state that was made up',
    attempt: (t) =>
      mcp(
        t,
        'tools/call',
        { name: 'demo.approve', arguments: { key: 'k', value: 'v' }, requestState: 'AAAA', inputResponses: {} },
        { meta: { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } } },
      ),
    refused: { status: 200, code: -32602 },
  },
  {
    name: 'a sealed state with one character changed',
    attempt: (t) =>
      mcp(
        t,
        'tools/call',
        {
          name: 'demo.approve',
          arguments: { key: 'vera', value: 'mine' },
          requestState: flipped(t.vera.requestState),
          inputResponses: {},
        },
        { token: t.vera.token, meta: { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } } },
      ),
    refused: { status: 200, code: -32602 },
  },
  {
    name: 'a sealed state for other arguments',
    attempt: (t) =>
      mcp(
        t,
        'tools/call',
        {
          name: 'demo.append',
          arguments: { key: 'vera', value: 'other' },
          requestState: t.vera.requestState,
          inputResponses: {},
        },
        { token: t.vera.token, meta: { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } } },
      ),
    refused: { status: 200, code: -32602 },
  },
  { name: 'a session id that nobody gave out', attempt: (t) => session(t, `s_${'0'.repeat(32)}`), refused: noSession },
  {
    name: 'an event id of another session in a session of its own tenant',
    attempt: (t) =>
      session(t, t.jane.sessionId, {
        token: t.jane.token,
        method: 'GET',
        headers: { 'last-event-id': t.vera.eventId },
      }),
    refused: { status: 400, code: -32000 },
  },
  { name: 'listing tasks', attempt: (t) => mcp(t, 'tasks/list', {}), refused: { status: 404, code: -32601 } },
  {
    name: 'fetching a task as the earlier extension did',
    attempt: (t) => mcp(t, 'tasks/result', { taskId: t.vera.taskId }),
    refused: { status: 404, code: -32601 },
  },
];

function flipped(text: string): string {
  const at = Math.floor(text.length / 2);
  return `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
}
