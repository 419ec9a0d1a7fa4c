/** Around a policy: by another name or way, and by being accepted before it was there. */
import { waitFor } from '@callboard/testing';
import { call, echo, mcp, report, type Answer, type Attack, type McpOptions } from '../attack.js';
import type { Target } from '../target.js';

const forbidden = { status: 200, code: 'forbidden' };
const unknown = { status: 200, code: 'unknown_action' };

/** `far.closed` is forbidden to everybody for as long as the target stands. */
const closed = (name: string, options?: McpOptions): Attack => ({
  name: `a forbidden action, ${name}`,
  attempt: (target) => call(target, 'far.closed', {}, options),
  refused: forbidden,
});
const undone = (tool: string, method: string): McpOptions => ({
  meta: { 'io.callboard/saga_id': 'closed', 'io.callboard/compensation': { tool, method, args: {} } },
});
const called = (name: string, tool: string): Attack => ({
  name: `a forbidden action called ${name}`,
  attempt: (target) => call(target, tool, {}),
  refused: unknown,
});

/** Its id, from the task with which the call is answered. */
async function accepted(target: Target, tool: string): Promise<string> {
  const { text } = await call(target, tool, { key: 'policies' }, { meta: { 'io.callboard/accept_async': true } });
  const id = /"taskId":"([^"]+)"/.exec(text)?.[1];
  if (id === undefined) throw new Error(`${tool} was answered ${text}`);
  return id;
}

export const POLICIES: Attack[] = [
  closed('asked for plainly'),
  closed('to be run later', { meta: { 'io.callboard/accept_async': true } }),
  closed('with a key under which it might have been accepted before', {
    meta: { 'io.callboard/idempotency_key': 'closed' },
  }),
  closed('as a step of a saga', { meta: { 'io.callboard/saga_id': 'closed' } }),
  {
    name: 'a forbidden action as what undoes a step of a saga',
    attempt: (target) => echo(target, undone('far', 'closed')),
    refused: forbidden,
  },
  {
    name: 'an action that its server does not show, as what undoes a step of a saga',
    attempt: (target) => echo(target, { ...undone('demo', 'append'), path: '/mcp/reader' }),
    refused: unknown,
  },
  {
    name: 'an action for which its token is not good, as what undoes a step of a saga',
    attempt: (target) => echo(target, { ...undone('demo', 'append'), token: target.limited }),
    refused: { status: 403, code: 'forbidden' },
  },
  closed('with priority', { meta: { 'io.callboard/priority': 'high' } }),
  closed('with a group that its caller claims', { meta: { groups: ['group:default/admins'], tenant_id: 'globex' } }),
  called('in another case', 'far.Closed'),
  called('with a space behind it', 'far.closed '),
  called('with a letter that only looks like it', 'far.cl\u043esed'),
  called('with a zero behind it', 'far.closed\u0000'),
  called('as a path', 'far/closed'),
  {
    name: 'a forbidden action as a prompt',
    attempt: (target) => mcp(target, 'prompts/get', { name: 'far.closed', arguments: {} }),
    refused: unknown,
  },
  {
    name: 'a forbidden action that was accepted while it was allowed',
    attempt: async (target): Promise<Answer> => {
      const { taken } = target.farSide;
      const [before, hold] = [taken.length, await accepted(target, 'far.hold')];
      await waitFor(() => taken.length > before, { what: 'the command that holds the key', timeoutMs: 20_000 });
      const late = await accepted(target, 'far.late');
      await target.forbid('far.late');
      await report(target, hold, taken[before]!.callback.token);
      const answer = await call(target, 'callboard.result', { correlation_id: late, wait_ms: 20_000 });
      return taken.length === before + 1 ? answer : { ...answer, code: 'the far side was given it' };
    },
    refused: forbidden,
    stored: 'own',
  },
];
