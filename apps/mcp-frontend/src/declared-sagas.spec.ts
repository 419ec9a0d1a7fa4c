/** Declared sagas as MCP clients meet them: the whole stack, and the definitions in `examples/sagas`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '@callboard/envelope';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import { listSagas } from '@callboard/saga-journal';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { modernRequest, raw } from './spec-front.js';

const ELICITATION = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } };

let stack: TestStack;
let port: number;
beforeAll(async () => {
  stack = await startStack({
    apps: [...CALLS, 'saga-orchestrator', 'pii-filter'],
    env: {
      CALLBOARD_SAGAS: fileURLToPath(new URL('../../../examples/sagas', import.meta.url)),
    },
  });
  port = Number(new URL(stack.ready.mcp_url).port);
  const sagas = ['environments.create', 'releases.roll_back'];
  await waitFor(
    async () => {
      const served = await toolNames();
      return sagas.every((saga) => served.includes(saga));
    },
    { what: 'the tools of the sagas' },
  );
});
afterAll(() => stack.stop());

const toolNames = async () => {
  const { json } = await raw(port, modernRequest('tools/list', {}));
  return (json.result!.tools as { name: string }[]).map(({ name }) => name);
};
const call = async (name: string, args: JsonObject, meta: JsonObject = {}) =>
  (await raw(port, modernRequest('tools/call', { name, arguments: args }, { meta }))).json.result!;
const log = async (key: string) => {
  const lines = (await readFile(join(stack.dataDir, 'demo', 'append.log'), 'utf8')).trim().split('\n');
  return lines
    .map((line) => JSON.parse(line) as { key: string; value: string })
    .filter((line) => line.key === key)
    .map(({ value }) => value);
};

describe('a declared saga', () => {
  it('is a tool whose call ends when the saga does, with its output', async () => {
    const result = await call('environments.create', { name: 'stage' });
    expect(result.structuredContent).toEqual({ name: 'stage', status: 'enabled' });
    expect(await log('stage')).toEqual(['provisioned', 'configured', 'enabled']);
  });

  it('has arguments that are checked before it begins', async () => {
    const result = await call('environments.create', { name: '' });
    expect(result.structuredContent).toMatchObject({ error: { code: 'invalid_arguments' } });
  });

  it('undoes what was done, the last first, and says that it did', async () => {
    const result = await call('environments.create', { name: 'broken', broken: true });
    expect(result).toMatchObject({
      isError: true,
      structuredContent: { error: { code: 'saga_compensated', message: expect.stringContaining('check') } },
    });
    expect(await log('broken')).toEqual(['provisioned', 'configured', 'configuration removed', 'deprovisioned']);
  });

  it('begins once for one idempotency key, whoever calls again', async () => {
    const meta = { 'io.callboard/idempotency_key': 'once' };
    const first = await call('environments.create', { name: 'once' }, meta);
    const again = await call('environments.create', { name: 'once' }, meta);
    expect(again).toMatchObject({
      structuredContent: first.structuredContent,
      _meta: { 'io.callboard/replayed': true },
    });
    expect(await log('once')).toEqual(['provisioned', 'configured', 'enabled']);
  });
});

describe('the events of sagas', () => {
  const EVENTS = ['saga.approval_waits', 'saga.ended'].map((topic) => `event://callboard/${topic}`);

  it('are resources: who listens is told that one waits for an approval, and that one has ended', async () => {
    const client = new Client({ name: 'spec', version: '1' }, { versionNegotiation: { mode: 'auto' } });
    await client.connect(new StreamableHTTPClientTransport(new URL(stack.ready.mcp_url)));
    const updated: string[] = [];
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => void updated.push(params.uri));
    const listening = await client.listen({ resourceSubscriptions: EVENTS });
    const read = async (uri: string) => {
      const [content] = (await client.readResource({ uri })).contents;
      const { events } = JSON.parse((content as { text: string }).text) as {
        events: { event: { subject: string; data: JsonObject } }[];
      };
      return events.map(({ event }) => event);
    };
    const question = await call('releases.roll_back', { service: 'opera', release: 'v7' }, ELICITATION);
    expect(question).toMatchObject({ resultType: 'input_required' });
    await waitFor(() => updated.includes(EVENTS[0]!), { what: 'word of the approval' });
    const waiting = (await read(EVENTS[0]!)).at(-1)!;
    expect(waiting.data).toMatchObject({ definition: 'releases.roll_back', step: 'agree' });
    await call('callboard.saga.abort', { saga_id: waiting.subject });
    const ended = await waitFor(
      async () => (await read(EVENTS[1]!)).find(({ subject }) => subject === waiting.subject),
      { what: 'word of the end' },
    );
    expect(ended.data).toMatchObject({ saga_id: waiting.subject, ending: 'compensated' });
    await waitFor(() => updated.includes(EVENTS[1]!), { what: 'an update that tells of it' });
    expect(JSON.stringify([waiting, ended])).not.toContain('opera');
    await listening.close();
    await client.close();
  });
});

describe('a saga as a resource', () => {
  const read = async (sagaId: string, headers: Record<string, string> = {}) =>
    (await raw(port, modernRequest('resources/read', { uri: `saga://${sagaId}` }, { headers }))).json;
  const started = async (name: string) => {
    const { _meta } = await call('environments.create', { name, broken: true });
    return String((_meta as JsonObject)['io.callboard/correlation_id']);
  };

  it('is what became of it when, and a flow chart, without what was asked for', async () => {
    const { json } = await raw(port, modernRequest('resources/templates/list', {}));
    expect(json.result!.resourceTemplates).toContainEqual(
      expect.objectContaining({ name: 'saga', uriTemplate: 'saga://{saga_id}' }),
    );
    const id = await started('unspoken');
    const contents = (await read(id)).result!.contents as { uri: string; mimeType: string; text: string }[];
    expect(contents.map(({ uri, mimeType }) => [uri, mimeType])).toEqual([
      [`saga://${id}`, 'application/json'],
      [`saga://${id}`, 'text/vnd.mermaid'],
    ]);
    const [saga, chart] = contents.map(({ text }) => text);
    const { facts, ...view } = JSON.parse(saga!) as { facts: JsonObject[] };
    expect(view).toEqual((await call('callboard.saga.show', { saga_id: id })).structuredContent);
    expect(view).toMatchObject({ saga_id: id, phase: 'compensated', reason: { kind: 'step_failed', step: 'check' } });
    expect(facts[0]).toEqual({ fact: 'saga_started', at: expect.any(String) });
    expect(facts).toContainEqual({ fact: 'step_ended', at: expect.any(String), step: 'check', status: 'failed' });
    expect(chart).toContain('flowchart TD');
    expect(chart).toContain(':::undone');
    expect(saga! + chart!).not.toContain('unspoken');
  });

  it("is not found when there is none of that name, and just so when it is another's", async () => {
    const id = await started('secretive');
    const { error } = await read('none-at-all');
    expect(error).toMatchObject({ code: -32602, data: { code: 'not_found' } });
    expect((await read(id, { Authorization: `Bearer ${stack.ready.token}` })).error).toEqual(error);
    expect((await read('%E0%A4%A')).error).toEqual(error);
    const encoded = `%${id.charCodeAt(0).toString(16)}${id.slice(1)}`;
    expect((await read(encoded)).result).toBeDefined();
  });
});

describe('a saga that is subscribed to', () => {
  const opened: { close(): Promise<void> }[] = [];
  afterAll(() => Promise.all(opened.map((each) => each.close())));

  /** A client of either revision; what it is told is updated, in order. */
  const connect = async (mode: 'auto' | 'legacy', token?: string) => {
    const client = new Client({ name: 'spec', version: '1' }, { versionNegotiation: { mode } });
    const requestInit = token === undefined ? {} : { headers: { Authorization: `Bearer ${token}` } };
    await client.connect(new StreamableHTTPClientTransport(new URL(stack.ready.mcp_url), { requestInit }));
    opened.push(client);
    const updated: string[] = [];
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => void updated.push(params.uri));
    return { client, updated };
  };
  /** Waits for an approval. */
  const asking = async (): Promise<string> => {
    const known = new Set(await waiting());
    await call('releases.roll_back', { service: 'heard', release: 'v1' }, ELICITATION);
    return (await waiting()).find((id) => !known.has(id))!;
  };
  const waiting = async () => {
    const nc = await stack.connect('operator');
    try {
      return (await listSagas(nc)).filter(({ phase }) => phase === 'running').map(({ saga_id }) => saga_id);
    } finally {
      await nc.close();
    }
  };

  it.each(['auto', 'legacy'] as const)(
    'tells its caller as it is, and when it has changed, and nobody else: %s',
    async (mode) => {
      const id = await asking();
      const uri = `saga://${id}`;
      const [mine, theirs] = await Promise.all([connect(mode), connect(mode, stack.ready.token)]);
      const subscribe = async ({ client }: typeof mine) => {
        if (mode === 'legacy') await client.subscribeResource({ uri });
        else await client.listen({ resourceSubscriptions: [uri] });
      };
      await subscribe(theirs);
      await subscribe(mine);
      await waitFor(() => mine.updated.length > 0, { what: 'word of a saga that is there' });
      const before = mine.updated.length;
      await call('callboard.saga.abort', { saga_id: id, wait_ms: 20_000 });
      await waitFor(() => mine.updated.length > before, { what: 'word of its end' });
      const [content] = (await mine.client.readResource({ uri })).contents;
      expect(JSON.parse((content as { text: string }).text)).toMatchObject({ phase: 'compensated' });
      expect(new Set(mine.updated)).toEqual(new Set([uri]));
      expect(theirs.updated).toEqual([]);
    },
  );

  it('tells of one that is not there yet as soon as it is', async () => {
    const uri = 'saga://to%20be';
    const { client, updated } = await connect('auto');
    await client.listen({ resourceSubscriptions: [uri] });
    expect(updated).toEqual([]);
    await call('demo.append', { key: 'to be', value: 'is' }, { 'io.callboard/saga_id': 'to be' });
    await waitFor(() => updated.includes(uri), { what: 'word of a saga that began' });
    await call('callboard.saga.complete', { saga_id: 'to be' });
  });
});

describe('a saga with an approval', () => {
  const rollBack = async (service: string, answer: JsonObject) => {
    const params = { name: 'releases.roll_back', arguments: { service, release: 'v41' } };
    const ask = async (more: JsonObject = {}) =>
      (await raw(port, modernRequest('tools/call', { ...params, ...more }, { meta: ELICITATION }))).json.result!;
    const question = await ask();
    expect(question).toMatchObject({ resultType: 'input_required' });
    const [[key, request]] = Object.entries(question.inputRequests as JsonObject) as [[string, JsonObject]];
    expect(request).toMatchObject({ params: { message: `Roll ${service} back to v41?` } });
    expect(await log(service)).toEqual(['deployments frozen']);
    return ask({ inputResponses: { [key]: answer }, requestState: question.requestState });
  };

  it('goes on when its caller approves', async () => {
    const result = await rollBack('shop', { action: 'accept', content: { approve: true } });
    expect(result.structuredContent).toMatchObject({
      service: 'shop',
      release: 'v41',
      approved_by: expect.any(String),
    });
    expect(await log('shop')).toEqual(['deployments frozen', 'v41 deployed', 'deployments unfrozen']);
    expect(await log('shop traffic')).toEqual(['drained', 'restored']);
  });

  it('undoes what was done when its caller declines', async () => {
    const result = await rollBack('bank', { action: 'decline' });
    expect(result).toMatchObject({ isError: true, structuredContent: { error: { code: 'saga_compensated' } } });
    expect(await log('bank')).toEqual(['deployments frozen', 'deployments unfrozen']);
    expect(await log('bank traffic')).toEqual(['drained', 'restored']);
    expect(await log('bank evidence')).toEqual(['logs kept']);
  });
});
