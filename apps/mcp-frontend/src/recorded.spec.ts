/** What a client is given, and what it is refused, is on record; what cannot be recorded is not given. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CallboardError } from '@callboard/envelope';
import { modernRequest, raw, request, startSpecFront, type SpecFront } from './spec-front.js';

let front: SpecFront;
beforeEach(async () => {
  front = await startSpecFront();
});
afterEach(() => front.stop());

const told = () => front.audit.told;

describe('a message that gives something away', () => {
  it.each([
    ['tools/list', {}, 'list tools/list'],
    ['resources/list', {}, 'list resources/list'],
    ['resources/read', { uri: 'spec://note/jane' }, 'read resources/read'],
    ['server/discover', {}, 'session server/discover'],
  ])('is recorded before it is served: %s', async (method, params, fact) => {
    const answer = await raw(front.port, modernRequest(method, params));
    expect(answer.status).toBe(200);
    expect(told()).toEqual([fact]);
    expect(front.audit.facts[0]).toMatchObject({ tenantId: 'default', who: { address: expect.any(String) } });
  });

  it('is not served when it cannot be recorded', async () => {
    front.audit.record = () => Promise.reject(new CallboardError('unavailable', 'not now', { retryAfterMs: 1_000 }));
    const answer = await raw(front.port, modernRequest('tools/list'));
    expect(answer.status).toBe(503);
    expect(JSON.stringify(answer.json)).not.toContain('demo.echo');
    // What the server is may be known to everybody; calls are refused with when to come again.
    expect((await raw(front.port, modernRequest('server/discover', {}))).status).toBe(200);
  });
});

describe('a request that is refused', () => {
  it.each([
    ['malformed', 'malformed', 'invalid_request', () => request('{')],
    ['sent elsewhere', 'malformed', 'not_found', () => request('{}', {}, 'POST', '/mcp/nowhere')],
    ['of a stranger', 'authentication', 'unauthorized', () => request('{}', { authorization: 'Bearer wrong' })],
    ['of another site', 'denial', 'forbidden', () => request('{}', { host: 'evil.example' })],
  ] as const)('is noted: %s', async (_, kind, code, bytes) => {
    const answer = await raw(front.port, bytes());
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(front.audit.facts).toMatchObject([{ kind, what: 'refused', code, details: { status: answer.status } }]);
  });
});
