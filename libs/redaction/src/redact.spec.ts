/** Fields, known values, pseudonyms, refusals: what redaction does with whole events. */
import { describe, expect, it } from '@jest/globals';
import { DETECTOR_NAMES } from './detectors/index.js';
import { redact, redactWithModel, type RedactOptions } from './redact.js';
import { parsePolicies } from './policy/parse-policy.js';
import { SECRETS_ONLY_POLICY } from './policy/policy.js';
import type { Json } from './types.js';

const OPTIONS: RedactOptions = { key: Buffer.alloc(32, 7), tenant: 'acme' };

function ok(event: Json, options: Partial<RedactOptions> = {}): Record<string, Json> {
  const result = redact(event, { ...OPTIONS, ...options });
  if (!result.ok) throw new Error(result.reason);
  return result.value as Record<string, Json>;
}

function refusal(event: unknown, options: Partial<RedactOptions> = {}): string {
  const result = redact(event as Json, { ...OPTIONS, ...options });
  return result.ok ? 'passed' : result.reason;
}

describe('fields', () => {
  it('are read by name, in whatever way the name is written', () => {
    const after = ok({
      billingEmail: 'a@b.example',
      'phone-number': 5551234567,
      api_key: 'abcdef',
      'X-Auth-Token': 'zzzz9',
      dateOfBirth: '1990-01-02',
    });
    expect(Object.values(after).map((value) => String(value).replace(/:[0-9a-f]+/, ''))).toEqual([
      '[EMAIL]',
      '[PHONE]',
      '[SECRET]',
      '[SECRET]',
      '[DOB]',
    ]);
  });

  it('say `name` of a person, and of a thing', () => {
    const after = ok({ author: { name: 'octocat' }, repository: { name: 'octocat' } });
    expect(after['author']).toEqual({ name: expect.stringMatching(/^\[PERSON:/) });
    expect(after['repository']).toEqual({ name: 'octocat' });
  });

  it('of permissions, counts and switches stay', () => {
    const permissions = { emails: 'read', secrets: 'write', tokens: 512, password: null, session: true, token: '' };
    expect(ok(permissions)).toEqual(permissions);
  });

  it('of a Kubernetes Secret are all secret, of a catalog group its name is no person', () => {
    expect(ok({ kind: 'Secret', apiVersion: 'v1', data: { port: 'NTQzMg==' } })['data']).toEqual({
      port: expect.stringMatching(/^\[SECRET:/),
    });
    const group = {
      kind: 'Group',
      apiVersion: 'backstage.io/v1alpha1',
      spec: { profile: { displayName: 'Platform Team' } },
    };
    expect(ok(group)).toEqual(group);
  });

  it('called __proto__ stay fields', () => {
    const after = ok(JSON.parse('{"__proto__":{"email":"jane@example.org"}}') as Json);
    expect(Object.keys(after)).toEqual(['__proto__']);
    expect(JSON.stringify(after)).toMatch(/EMAIL:/);
  });
});

describe('a value found once', () => {
  it('is replaced wherever it stands, before and after, in text, keys and numbers, by one pseudonym', () => {
    const after = ok({
      first: 'xx-hunter2hunter2-xx',
      'for hunter2hunter2 only': 1,
      password: 'hunter2hunter2',
      code: 123456789,
      phone: '123456789',
    });
    const secret = after['password'] as string;
    expect(after['first']).toBe(`xx-${secret}-xx`);
    expect(Object.keys(after)).toContain(`for ${secret} only`);
    expect(after['code']).toBe(after['phone']);
  });

  it('takes the parts of a name with it that are words of the language too, where they are written as a name', () => {
    const after = ok({
      author: { name: 'Grace Page' },
      reviewer: { name: 'Ada Lovelace' },
      text: 'Grace agrees with Ada. Ask Page; grace is a virtue, and the next page is blank.',
    }) as { author: { name: string }; reviewer: { name: string }; text: string };
    const [grace, ada] = [after.author.name, after.reviewer.name];
    expect(grace).toMatch(/^\[PERSON:/);
    expect(after.text).toBe(
      `${grace} agrees with ${ada}. Ask ${grace}; grace is a virtue, and the next page is blank.`,
    );
  });

  it('takes the parts of a name with it, where they are words of a text, and not in references', () => {
    const after = ok({
      author: { name: 'Ingrid Lindqvist' },
      text: 'as Lindqvist said',
      ref: 'lindqvist/fix',
      owner: 'user:default/lindqvist',
    });
    expect(after['text']).toMatch(/^as \[PERSON:[0-9a-f]{4}\] said$/);
    expect(after['ref']).toBe('lindqvist/fix');
    expect(after['owner']).toBe('user:default/lindqvist');
  });
});

describe('pseudonyms', () => {
  const one = (tenant: string, email: string): Json => ok({ email }, { tenant })['email']!;

  it('are the same for a value within a tenant, however it is written, and others in another tenant and under another key', () => {
    expect(one('acme', 'Jane@Example.org')).toBe(one('acme', 'jane@example.org'));
    expect(one('acme', 'jane@example.org')).not.toBe(one('other', 'jane@example.org'));
    expect(ok({ email: 'jane@example.org' }, { key: Buffer.alloc(32, 8) })['email']).not.toBe(
      one('acme', 'jane@example.org'),
    );
  });

  it('are longer where two values of one event would have the same', () => {
    const emails = Array.from({ length: 1500 }, (_, i) => `u${i}@example.org`);
    const after = ok({ emails })['emails'] as string[];
    expect(new Set(after).size).toBe(emails.length);
    expect(after.some((text) => /:[0-9a-f]{8}\]$/.test(text))).toBe(true);
    expect(after.filter((text) => /:[0-9a-f]{4}\]$/.test(text)).length).toBeGreaterThan(1000);
  });
});

describe('what travels beside an event', () => {
  it('gets the pseudonyms of the event, and is searched for what the event knows, the other way round too', () => {
    const result = redact(
      { author: { name: 'Ingrid Lindqvist' }, text: 'from ada@example.org' },
      {
        ...OPTIONS,
        attributes: { subject: 'ask Ingrid Lindqvist', orderingkey: 'ada@example.org', id: 'ec26c3e', sequence: 7 },
      },
    );
    expect(result).toMatchObject({ ok: true });
    const { value, attributes, findings } = result as Extract<typeof result, { ok: true }>;
    const { author, text } = value as { author: { name: string }; text: string };
    expect(attributes).toEqual({
      subject: `ask ${author.name}`,
      orderingkey: text.replace('from ', ''),
      id: 'ec26c3e',
      sequence: 7,
    });
    expect(findings.map(({ path }) => path)).toContain('#attributes/subject');
  });

  it('is not what an allow-list of fields is about', () => {
    const policies = parsePolicies(
      'version: 1\npolicies: [{ name: x, mode: allow_list, fields: [{ path: id, action: keep }] }]',
    );
    const result = redact({ id: '1' }, { ...OPTIONS, policies, attributes: { subject: 'ada@example.org' } });
    expect(result).toMatchObject({ ok: true, attributes: { subject: expect.stringMatching(/^\[EMAIL:/) } });
  });
});

describe('an event beyond a limit is refused, with a code and nothing else', () => {
  const nested = (depth: number): Json => {
    let value: Json = 'jane@example.org';
    for (let i = 0; i < depth; i++) value = [value];
    return value;
  };
  const wrapped = (times: number): string => {
    let text = 'mail jane.doe@example.org about this';
    for (let i = 0; i < times; i++) text = Buffer.from(text).toString('base64');
    return text;
  };

  it.each<[string, unknown, Partial<RedactOptions>]>([
    ['too_deep', nested(65), {}],
    ['too_deep', nested(200_000), { limits: { nodes: 1e6 } }],
    ['too_deep', JSON.stringify(nested(64)), {}],
    ['too_many_nodes', Array(100_001).fill(0), {}],
    ['too_large', ['aaaa aaaa', 'bbbb bbbb'], { limits: { chars: 12 } }],
    ['text_too_large', 'a'.repeat(11), { limits: { textChars: 10 } }],
    ['too_many_findings', ['a1@example.org', 'b2@example.org'], { limits: { findings: 1 } }],
    ['too_many_encodings', wrapped(6), {}],
    ['not_json', { when: new Date(0) }, {}],
    ['not_json', { value: Number.NaN }, {}],
    ['not_json', { value: undefined }, {}],
    ['not_json', 10n, {}],
    [
      'no_policy',
      {},
      { policies: parsePolicies('version: 1\npolicies: [{ name: x, source: github }]'), source: 'gitlab' },
    ],
    ['internal', { email: 'jane@example.org' }, { key: Buffer.alloc(3) }],
  ])('%s', (reason, event, options) => {
    const result = redact(event as Json, { ...OPTIONS, ...options });
    expect(result).toEqual({ ok: false, reason });
  });

  it('and passes at the limit', () => {
    expect(refusal(nested(64))).toBe('passed');
    expect(refusal('a'.repeat(10), { limits: { textChars: 10 } })).toBe('passed');
    expect(refusal(wrapped(3))).toBe('passed');
  });
});

describe('policies', () => {
  const policies = parsePolicies(`
version: 1
policies:
  - name: hr
    source: hr-*
    topic: [person.created, person.changed]
    mode: allow_list
    fields:
      - { path: id, action: keep }
      - { path: person.*.grade, action: redact }
      - { path: person.**, action: scan }
      - { name: notes, action: drop }
  - name: rest
    pseudonym_length: 8
    fields:
      - { name: login, action: pseudonymise, type: USER }
      - { path: 'raw.**', action: keep }
    detectors: { person: off, email: redact }
`);
  const hr = { policies, source: 'hr-eu', topic: 'person.created' };

  it('are chosen by source and topic, the first that fits', () => {
    const result = redact({ id: 'x' }, { ...OPTIONS, ...hr });
    expect(result).toMatchObject({ ok: true, policy: 'hr' });
    expect(redact({ id: 'x' }, { ...OPTIONS, ...hr, topic: 'other' })).toMatchObject({ ok: true, policy: 'rest' });
  });

  it('with an allow-list pass what they name, leave out what they drop, and refuse the rest', () => {
    const event = { id: 'x', person: { a: { grade: 'E13', note: 'mail jane@example.org' } }, notes: ['private'] };
    expect(ok(event, hr)).toEqual({
      id: 'x',
      person: { a: { grade: '[TEXT]', note: expect.stringMatching(/^mail \[EMAIL:[0-9a-f]{4}\]$/) } },
    });
    expect(refusal({ ...event, extra: 1 }, hr)).toBe('unlisted_field');
  });

  it('set what detectors do, and keep fields but for credentials known by their form', () => {
    const token = `ghp_${'aB3dE6gH9j'.repeat(4).slice(0, 36)}`;
    const after = ok(
      { text: 'Ask Ingrid Lindqvist, jane@example.org', login: 'octocat', raw: { mail: `jane@example.net ${token}` } },
      { policies, source: 'x' },
    );
    expect(after).toEqual({
      text: 'Ask Ingrid Lindqvist, [EMAIL]',
      login: expect.stringMatching(/^\[USER:[0-9a-f]{8}\]$/),
      raw: { mail: expect.stringMatching(/^jane@example\.net \[SECRET:[0-9a-f]{8}\]$/) },
    });
  });
});

describe('what a policy says of a detector', () => {
  const samples: [detector: string, text: string][] = [
    ['secret_structure', 'postgres://app:s3cr3t@db/x'],
    ['secret_prefix', 'it was AKIAQ3EGRIPAL4NWSWQP here'],
    ['labelled', 'DB_PASSWORD=hunter2 next'],
    ['email', 'mail jane@example.org'],
    ['iban', 'to GB82WEST12345698765432 now'],
    ['card', 'with 4111111111111111 now'],
    ['national_id', 'ssn 078-05-1121 there'],
    ['ip', 'from 203.0.113.9 again'],
    ['mac', 'at 00:1B:44:11:3A:B7 now'],
    ['phone', 'call 0477 11 28 98 now'],
    ['birth_date', 'born on 12 March 1984 there'],
    ['address', 'my zip code is 66298 now'],
    ['person', 'approved by Ingrid Lindqvist now'],
  ];

  it.each(samples)('%s: redact takes the pseudonym away, off leaves the text', (detector, text) => {
    const set = (action: string): Json =>
      ok(
        { text },
        { policies: parsePolicies(`version: 1\npolicies: [{ name: x, detectors: { ${detector}: ${action} } }]`) },
      )['text']!;
    expect(set('pseudonymise')).toMatch(/\[[A-Z_]+:[0-9a-f]{4}\]/);
    expect(set('redact')).toMatch(/\[[A-Z_]+\]/);
    expect(set('off')).toBe(text);
  });

  it('is tested here for every detector that there is', () => {
    expect(samples.map(([name]) => name)).toEqual(DETECTOR_NAMES);
  });
});

describe('a policy for credentials only', () => {
  it('cuts them by name, by mark and by label, and leaves everything about persons', () => {
    const kept = {
      author: { name: 'Ada Curtain', email: 'ada@theatre.example' },
      phone: 5551234567,
      cardNumber: 4111111111111111,
      total: 4111111111111111,
      text: 'Call Ada Curtain at +44 20 7946 0958, name: Ben Limelight',
    };
    const secret = ['ghp', 'a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8'].join('_');
    const cut = { password: 'hunter2', api_key: 'abcdef', note: `use ${secret}`, line: 'password: correct-horse-9' };
    const after = ok({ ...kept, ...cut }, { policies: [SECRETS_ONLY_POLICY] });
    expect(after).toMatchObject(kept);
    for (const name of Object.keys(cut)) expect(after[name]).toMatch(/\[SECRET:/);
  });
});

describe('a model-based detector', () => {
  const signal = new AbortController().signal;

  it('adds what rules do not find', async () => {
    const model = {
      name: 'm',
      detect: async (texts: readonly string[]) =>
        texts.map((text) => (text.includes('qwertz') ? [{ start: 4, end: 10, type: 'PERSON' as const }] : [])),
    };
    const result = await redactWithModel({ text: 'ask qwertz first' }, OPTIONS, model, signal);
    expect(result).toMatchObject({
      ok: true,
      value: { text: expect.stringMatching(/^ask \[PERSON:[0-9a-f]{4}\] first$/) },
      findings: [{ detector: 'model.m' }],
    });
  });

  it.each([
    ['rejects', async () => Promise.reject(new Error('jane@example.org'))],
    ['answers for other texts', async () => []],
    ['answers spans outside of the text', async () => [[{ start: 0, end: 999, type: 'PERSON' as const }]]],
  ])('that %s makes the event refused', async (_, detect) => {
    expect(await redactWithModel({ text: 'ask qwertz first' }, OPTIONS, { name: 'm', detect }, signal)).toEqual({
      ok: false,
      reason: 'model_failed',
    });
  });
});
