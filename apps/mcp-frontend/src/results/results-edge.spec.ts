import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MemoryAudit } from '@callboard/audit';
import {
  writeCallbackToken,
  type CallbackRight,
  type JsonObject,
  type Outcome,
  type Progress,
} from '@callboard/envelope';
import { FailedAuthentications, HttpServer, Limit } from '@callboard/http';
import { ResultsEdge, type Reports } from './results-edge.js';

const key = randomBytes(32);
const SECRET = 'hunter2';
/** More than the forged ones of one test. */
const MOST_FAILED = 20;

/** The reports of one command, kept in memory. */
class KeptReports implements Reports {
  ended: Partial<Outcome> | undefined;
  away = false;
  readonly answers = new Map<string, JsonObject>();
  readonly facts: Progress[] = [];

  outcome = async () => this.#there(this.ended as Outcome | undefined);
  answered = async (_: CallbackRight, name: string) => this.#there(this.answers.get(name));
  lastProgress = async () => this.#there(this.facts.at(-1));

  async answer(_: CallbackRight, name: string, answer: JsonObject) {
    this.#there(undefined);
    if (this.answers.has(name)) return 'answered_before' as const;
    this.answers.set(name, answer);
    return 'stored' as const;
  }

  async progress(_: CallbackRight, fact: Progress) {
    this.facts.push(fact);
  }

  #there<T>(value: T): T {
    if (this.away) throw new Error(`connection of ${SECRET} lost`);
    return value;
  }
}

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  json: JsonObject;
}

let reports: KeptReports;
let requests: Limit;
let server: HttpServer;
let port: number;
let faults: unknown[];
let audit: MemoryAudit;

beforeEach(async () => {
  reports = new KeptReports();
  requests = new Limit('reports', 2, 1_000);
  faults = [];
  audit = new MemoryAudit();
  const report = (fault: unknown) => faults.push(fault);
  const failures = new FailedAuthentications({ maxFailedAuthentications: MOST_FAILED, trustedHops: 0 });
  const edge = new ResultsEdge({ key, maxBodyBytes: 10_000, maxDepth: 10 }, reports, requests, report, audit, failures);
  server = new HttpServer({ host: '127.0.0.1', port: 0, requestTimeoutMs: 5_000, maxConnections: 100 }, (req, res) =>
    ResultsEdge.isReport(req) ? edge.handle(req, res) : res.writeHead(418).end(),
  );
  port = await server.start();
});
afterEach(() => server.stop(0));

function right(more: Partial<CallbackRight> = {}): CallbackRight {
  return { tenantId: 'acme', correlationId: 'c_1', round: 1, attempt: 2, deadlineAt: Date.now() + 60_000, ...more };
}

function post(path: string, body: unknown, options: { token?: string; headers?: object; method?: string } = {}) {
  const { token = writeCallbackToken(key, right()), method = 'POST' } = options;
  return new Promise<Answer>((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${token}`, ...options.headers };
    const req = request({ port, host: '127.0.0.1', path, method, headers, agent: false }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      res.on('end', () =>
        resolve({ status: res.statusCode!, headers: res.headers, json: JSON.parse(text || '{}') as JsonObject }),
      );
    });
    req.on('error', reject).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
}

const OK = { status: 'ok', result: { commit: 'abc' } };

describe('a far side', () => {
  it('reports progress, which grows whatever it says, and carries stage and message', async () => {
    for (const report of [
      { stage: 'clone', percent: 10, message: 'receiving objects' },
      { message: 'still at it' },
      { percent: 5 },
      { percent: 50, stage: 'build' },
      {},
    ]) {
      expect(await post('/results/c_1/progress', report)).toMatchObject({
        status: 202,
        json: { correlation_id: 'c_1' },
      });
    }
    const fact = { kind: 'progress', correlation_id: 'c_1', attempt: 2, total: 100 };
    expect(reports.facts).toEqual([
      { ...fact, progress: 10, message: 'clone: receiving objects' },
      { ...fact, progress: 10.01, message: 'still at it' },
      { ...fact, progress: 10.02 },
      { ...fact, progress: 50, message: 'build' },
      { ...fact, progress: 50.01 },
    ]);
  });

  it('that tells beyond all measure fills nothing: what is too much is dropped', async () => {
    const token = writeCallbackToken(key, right());
    const tell = () => post('/results/c_1/progress', {}, { token });
    for (let n = 0; n < 10_000; n += 2) await Promise.all([tell(), tell()]);
    expect(reports.facts).toHaveLength(10_000);
    expect(await tell()).toMatchObject({ status: 202 });
    expect(reports.facts).toHaveLength(10_000);
  });

  it('whose token is not good, again and again, is refused before it is looked at; one that reported before is not', async () => {
    const token = writeCallbackToken(key, right());
    expect(await post('/results/c_1/progress', {}, { token })).toMatchObject({ status: 202 });
    for (let n = 0; n < MOST_FAILED; n++) {
      expect(await post('/results/c_1', OK, { token: `forged-${n}` })).toMatchObject({ status: 401 });
    }
    const refused = await post('/results/c_1', OK, { token: 'forged' });
    expect(refused).toMatchObject({ status: 429, json: { code: 'rate_limited', retryable: true } });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(await post('/results/c_1', OK, { token })).toMatchObject({ status: 200 });
  });

  it('answers once, however often it says so', async () => {
    expect(await post('/results/c_1', OK)).toMatchObject({ status: 200, json: { correlation_id: 'c_1' } });
    expect(reports.answers.get('callback-1')).toEqual(OK);
    reports.ended = { status: 'succeeded' };
    // Members in another order are the same answer.
    expect(await post('/results/c_1', '{"result":{"commit":"abc"},"status":"ok"}')).toMatchObject({ status: 200 });
  });

  it('that says something else the second time is told that it is over', async () => {
    await post('/results/c_1', OK);
    const second = await post('/results/c_1', { status: 'error', error: { message: 'no' } });
    expect(second).toMatchObject({ status: 409, json: { code: 'already_ended', retryable: false, status: 409 } });
    expect(await post('/results/c_1/progress', { percent: 1 })).toMatchObject({ status: 409 });
    expect(reports.answers.get('callback-1')).toEqual(OK);
  });

  it('is told when two of its answers meet', async () => {
    const answer = reports.answer.bind(reports);
    reports.answer = async (...args) => {
      await answer(args[0], args[1], { status: 'ok', result: 'of another' });
      return answer(...args);
    };
    expect(await post('/results/c_1', OK)).toMatchObject({ status: 409 });
  });

  it.each([
    ['cancelled', 409, 'already_ended'],
    ['failed', 409, 'already_ended'],
    ['deadline_exceeded', 410, 'deadline_exceeded'],
  ] as const)('is told when its command has ended %s', async (status, http, code) => {
    reports.ended = { status };
    for (const path of ['/results/c_1', '/results/c_1/progress']) {
      const answer = await post(path, path.endsWith('progress') ? {} : OK);
      expect(answer).toMatchObject({ status: http, json: { code, status: http } });
      expect(answer.headers['content-type']).toBe('application/problem+json');
    }
    expect(reports.answers.size + reports.facts.length).toBe(0);
  });

  it('is too late after the deadline, but for an answer that was taken before', async () => {
    await post('/results/c_1', OK);
    const late = { token: writeCallbackToken(key, right({ deadlineAt: Date.now() - 1 })) };
    expect(await post('/results/c_1', OK, late)).toMatchObject({ status: 200 });
    const other = { token: writeCallbackToken(key, right({ deadlineAt: Date.now() - 1, round: 2 })) };
    expect(await post('/results/c_1', OK, other)).toMatchObject({ status: 410, json: { code: 'deadline_exceeded' } });
    expect(await post('/results/c_1/progress', {}, other)).toMatchObject({ status: 410 });
  });

  it('may report about its own command and round, and no other', async () => {
    expect(await post('/results/c_2', OK)).toMatchObject({ status: 404, json: { code: 'not_found' } });
    expect(await post('/results/%E0%A4%A', OK)).toMatchObject({ status: 404 });
    const odd = { token: writeCallbackToken(key, right({ correlationId: 'odd id/1' })) };
    expect(await post('/results/odd%20id%2F1', OK, odd)).toMatchObject({ status: 200 });
    const second = { token: writeCallbackToken(key, right({ round: 2 })) };
    await post('/results/c_1', { status: 'ok', result: 2 }, second);
    expect([...reports.answers.keys()]).toEqual(['callback-1', 'callback-2']);
  });

  it.each([
    ['none', { headers: { Authorization: '' } }],
    ['of another scheme', { headers: { Authorization: 'Basic eDp5' } }],
    ['of another key', { token: writeCallbackToken(randomBytes(32), right()) }],
    ['made up', { token: `cbk_${Buffer.from('["acme","c_1",1,1,9e15]').toString('base64url')}.AAAA` }],
  ])('with a token that is %s is not let in', async (_, options) => {
    for (const path of ['/results/c_1', '/results/c_1/progress', '/results/c_unknown']) {
      const answer = await post(path, OK, options);
      expect(answer).toMatchObject({ status: 401, json: { code: 'unauthorized' } });
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer/);
    }
  });

  it.each([
    ['/results', OK, {}, 404, 'not_found'],
    ['/results/c_1/more', OK, {}, 404, 'not_found'],
    ['/results/c_1', '', { method: 'GET' }, 405, 'invalid_request'],
    ['/results/c_1', OK, { headers: { 'Content-Type': 'text/plain' } }, 415, 'invalid_request'],
    ['/results/c_1', OK, { headers: { 'Content-Encoding': 'gzip' } }, 415, 'invalid_request'],
    ['/results/c_1', `{"${SECRET}`, {}, 400, 'invalid_request'],
    ['/results/c_1', `${'['.repeat(11)}${']'.repeat(11)}`, {}, 400, 'invalid_request'],
    ['/results/c_1', { status: SECRET }, {}, 400, 'invalid_request'],
    ['/results/c_1/progress', { percent: SECRET }, {}, 400, 'invalid_request'],
    ['/results/c_1', `"${'x'.repeat(10_000)}"`, {}, 413, 'payload_too_large'],
  ])('is told what is wrong with %s %j', async (path, body, options, status, code) => {
    const answer = await post(path, body, options);
    expect(answer).toMatchObject({
      status,
      json: {
        type: `urn:callboard:error:${code}`,
        title: expect.any(String),
        detail: expect.any(String),
        status,
        code,
      },
    });
    expect(JSON.stringify(answer.json)).not.toContain(SECRET);
  });

  it('is asked to come back while the report cannot be stored', async () => {
    reports.away = true;
    const answer = await post('/results/c_1', OK);
    expect(answer).toMatchObject({ status: 503, json: { code: 'unavailable', retryable: true } });
    expect(answer.headers['retry-after']).toBe('1');
    expect(JSON.stringify(answer.json)).not.toContain(SECRET);
  });

  it('is asked to come back while too many report at once', async () => {
    requests.tryTake(2);
    expect(await post('/results/c_1', OK)).toMatchObject({ status: 503, json: { code: 'overloaded' } });
    requests.release(2);
    expect(await post('/results/c_1', OK)).toMatchObject({ status: 200 });
    expect(requests.taken).toBe(0);
    expect(faults).toEqual([]);
  });

  it('that is refused is on record, with its command where it may report about one', async () => {
    await post('/results/c_1', OK, { token: 'wrong' });
    await post('/results/c_1', '{');
    requests.tryTake(2);
    await post('/results/c_1', OK);
    requests.release(2);
    reports.ended = { status: 'cancelled' };
    await post('/results/c_1', OK);
    const known = { tenantId: 'acme', correlationId: 'c_1', what: 'refused', who: { address: expect.any(String) } };
    expect(audit.facts).toMatchObject([
      { kind: 'authentication', tenantId: '', code: 'unauthorized', details: { status: 401 } },
      { ...known, kind: 'malformed', code: 'invalid_request', details: { status: 400 } },
      { ...known, kind: 'limit', code: 'overloaded', details: { status: 503 } },
      { ...known, kind: 'call', code: 'already_ended', details: { status: 409 } },
    ]);
    expect(audit.facts[0]).not.toHaveProperty('correlationId');
  });

  it('that is not refused is in no such record', async () => {
    await post('/results/c_1/progress', { percent: 1 });
    await post('/results/c_1', OK);
    expect(audit.facts).toEqual([]);
  });
});
