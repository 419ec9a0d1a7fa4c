import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onFileReading, type FileReading } from '@callboard/config';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Policies } from './policies.js';
import { SCHEMA } from './policy-set.js';
import { parsePolicyTests, runPolicyCase, type PolicyCase } from './policy-tests.js';
import { namedToolResource, topicResource } from './resources.js';
import { ACCESS_ACTIONS, OPERATOR_ACTIONS, type Caller, type Question } from './vocabulary.js';

const EXAMPLES = fileURLToPath(new URL('../../../../examples/policies', import.meta.url));
const ada: Caller = { tenantId: 'acme', userId: 'user:default/ada', groups: ['sre'], via: 'static' };
const bob: Caller = { tenantId: 'acme', userId: 'user:default/bob', groups: [], via: 'static' };

let dir: string;
let open: Policies[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'callboard-policies-'));
  open = [];
});
afterEach(async () => {
  for (const policies of open) policies.close();
  await rm(dir, { recursive: true });
});

async function policies(texts: Record<string, string>, events = {}): Promise<Policies> {
  for (const [name, text] of Object.entries(texts)) await writeFile(join(dir, name), text);
  const opened = await Policies.open(dir, events);
  open.push(opened);
  return opened;
}

const call = (principal: Caller, tool: string, more: Partial<Question['circumstances']> = {}): Question => ({
  principal,
  action: 'call',
  resource: namedToolResource(tool),
  circumstances: { server: '/mcp', priority: 'normal', ...more },
});
const permit = (id: string, scope: string, when = '') => `@id("${id}")\npermit (${scope})${when};\n`;
const ANY = 'principal, action, resource';

/** Writes as editors and ConfigMaps do: a reader sees the old text or the new. */
async function replace(name: string, text: string): Promise<void> {
  await writeFile(join(dir, `.${name}`), text);
  await rename(join(dir, `.${name}`), join(dir, name));
}

describe('what policies say', () => {
  it('is no to what operators do where none that permits names it', async () => {
    const redrive = { principal: ada, action: 'redrive', resource: namedToolResource('git.push') } as const;
    const readAudit = { principal: ada, action: 'read_audit', resource: { type: 'Tenant', id: 'acme' } } as const;
    const circumstances = { server: '/mcp' };
    const named = 'action in [Callboard::Action::"call", Callboard::Action::"redrive"]';
    const texts = {
      'all.cedar': permit('all', ANY),
      // To look at the action in a condition is not to name it.
      'when.cedar': permit('when', ANY, ' when { action == Callboard::Action::"read_audit" }'),
      'sre.cedar': permit('sre', `principal, ${named}, resource`, ' when { principal.groups.contains("sre") }'),
    };
    const { decide } = bound(await policies(texts));
    const nobody = { allowed: false, policies: [], failed: [] };
    expect(decide({ ...readAudit, circumstances })).toEqual(nobody);
    expect(decide({ ...redrive, principal: bob, circumstances })).toEqual(nobody);
    expect(decide({ ...redrive, circumstances })).toEqual({ allowed: true, policies: ['sre'], failed: [] });
    await writeFile(join(dir, 'no.cedar'), `@id("no")\nforbid (${ANY}) when { principal.user like "*ada" };\n`);
    expect(bound(await policies({})).decide({ ...redrive, circumstances })).toEqual({ ...nobody, policies: ['no'] });
  });

  it('is no where none permits, and names no policy', async () => {
    const { decide } = bound(
      await policies({ 'a.cedar': permit('reads', 'principal, action == Callboard::Action::"read_events", resource') }),
    );
    expect(decide(call(ada, 'git.push'))).toEqual({ allowed: false, policies: [], failed: [] });
  });

  it('is no where one forbids, whatever permits, and names those that do', async () => {
    const text =
      permit('all', ANY) + '@id("not-git")\nforbid (principal, action, resource == Callboard::Tool::"git.push");';
    const { decide } = bound(await policies({ 'a.cedar': text }));
    expect(decide(call(ada, 'git.push'))).toEqual({ allowed: false, policies: ['not-git'], failed: [] });
    expect(decide(call(ada, 'git.pull'))).toEqual({ allowed: true, policies: ['all'], failed: [] });
  });

  it('is no where one cannot be evaluated', async () => {
    const overflow = ' when { context.time.hour * 9223372036854775807 * 2 >= 0 && true }';
    const text = permit('all', ANY) + permit('overflows', ANY, overflow);
    const { decide } = bound(await policies({ 'a.cedar': text }));
    const at = new Date('2026-01-05T03:00:00Z');
    expect(decide(call(ada, 'git.push'), at)).toEqual({ allowed: false, policies: ['all'], failed: ['overflows'] });
  });

  it('tells a group of one tenant from that of another', async () => {
    const text = permit('sre', 'principal in Callboard::Group::"acme/sre", action, resource');
    const { decide } = bound(await policies({ 'a.cedar': text }));
    expect(decide(call(ada, 'git.push')).allowed).toBe(true);
    expect(decide(call({ ...ada, tenantId: 'evil' }, 'git.push')).allowed).toBe(false);
    expect(decide(call({ ...ada, tenantId: 'evil', groups: ['acme/sre', 'sre'] }, 'git.push')).allowed).toBe(false);
  });

  it('is different for two users where a policy looks at who they are, and with time where it looks at that', async () => {
    const text =
      permit('ada', 'principal == Callboard::User::"acme/user:default/ada", action, resource') +
      permit('at-night', 'principal, action == Callboard::Action::"call", resource', ' when { context.time.hour < 6 }');
    const { decide } = bound(await policies({ 'a.cedar': text }));
    const [night, noon] = [new Date('2026-01-05T03:00:00Z'), new Date('2026-01-05T12:00:00Z')];
    expect(decide(call(ada, 'a.b'), noon).allowed).toBe(true);
    expect(decide(call(bob, 'a.b'), noon).allowed).toBe(false);
    expect(decide(call(bob, 'a.b'), night).allowed).toBe(true);
    expect(decide(call(bob, 'a.b'), noon).allowed).toBe(false);
  });

  it.each([
    ['compares it', ' when { resource.id like "*" && principal == principal }'],
    ['looks at its name', ' when { principal.user == "user:default/ada" }'],
    ['looks at its name in part', ' when { principal.user like "*ada" }'],
  ])('is remembered for each user where a policy %s', async (_, when) => {
    const opened = await policies({
      'a.cedar': permit('p', 'principal, action == Callboard::Action::"call", resource', when),
    });
    const twin = { ...ada, userId: 'user:default/other' };
    expect(opened.shapeOf(ada, ['call'])).not.toBe(opened.shapeOf(twin, ['call']));
    expect(opened.shapeOf(ada, ['subscribe'])).toBe(opened.shapeOf(twin, ['subscribe']));
  });

  it('is remembered for all users of a shape where no policy looks at who they are', async () => {
    const text = permit(
      'p',
      'principal is Callboard::User, action, resource',
      ' when { principal.groups.contains("sre") || (principal has client && principal.client == "x") }',
    );
    const opened = await policies({ 'a.cedar': text });
    expect(opened.shapeOf(ada, ['call'])).toBe(opened.shapeOf({ ...ada, userId: 'user:default/other' }, ['call']));
    expect(opened.shapeOf(ada, ['call'])).not.toBe(opened.shapeOf(bob, ['call']));
    expect(opened.shapeOf(ada, ['call'])).not.toBe(opened.shapeOf({ ...ada, scopes: [] }, ['call']));
    expect(opened.shapeOf(ada, ['call'])).not.toBe(opened.shapeOf({ ...ada, tenantId: 'other' }, ['call']));
  });
});

describe('policies that are not valid', () => {
  it.each<[string, Record<string, string>, RegExp]>([
    [
      'with a mistake in their syntax',
      { 'a.cedar': '\npermit (principal, action resource);' },
      /a\.cedar: line 2: unexpected token/,
    ],
    [
      'with a word that the schema does not have',
      {
        'a.cedar': `// é\n\n${permit('p', 'principal, action == Callboard::Action::"call", resource', '\nwhen { resource.redonly }')}`,
      },
      /a\.cedar: line 5: .*`redonly`.* \(did you mean `read_only`\?\)/,
    ],
    [
      'for an action that there is not',
      { 'a.cedar': permit('p', 'principal, action == Callboard::Action::"fly", resource') },
      /a\.cedar: line 2: .*fly/,
    ],
    [
      'without an id',
      { 'a.cedar': `${permit('p', ANY)}\npermit (${ANY});` },
      /a\.cedar: line 4: a policy must have an id/,
    ],
    [
      'of which one of many is wrong',
      { 'a.cedar': [...Array(12).keys()].map((i) => permit(`p${i}`, ANY)).join('') + `permit (${ANY});` },
      /a\.cedar: line 25: a policy must have an id/,
    ],
    [
      'with one id twice',
      { 'a.cedar': permit('p', ANY), 'b.cedar': permit('p', ANY) },
      /b\.cedar: line 1: @id\("p"\) is the id of another policy/,
    ],
    [
      'that are templates',
      { 'a.cedar': '@id("t")\npermit (principal == ?principal, action, resource);' },
      /a\.cedar: has a template/,
    ],
    ['that are not there', { 'a.txt': '' }, /holds no \*\.cedar file/],
    [
      'with a set that is none',
      { 'a.cedar': permit('p', ANY), 'sets.yaml': 'toolsets:\n  x: git.*' },
      /sets\.yaml: line 2: toolsets\.x must be array/,
    ],
    [
      'with a group without its tenant',
      { 'a.cedar': permit('p', ANY), 'sets.yaml': 'groups:\n  sre: [acme/all]' },
      /sets\.yaml: line 2/,
    ],
  ])('%s do not start', async (_, texts, message) => {
    await expect(policies(texts)).rejects.toThrow(message);
  });
});

describe('policies that change', () => {
  it('are in force at once for everybody, also where an answer was remembered', async () => {
    const heard = news();
    const opened = await policies({ 'a.cedar': permit('all', ANY) }, heard.events);
    expect(opened.decide(call(ada, 'git.push')).allowed).toBe(true);
    await replace('a.cedar', permit('none', 'principal, action == Callboard::Action::"notify", resource'));
    expect(await heard.next()).toEqual(['changed', ['none']]);
    expect(opened.decide(call(ada, 'git.push')).allowed).toBe(false);
  });

  it('to something that is not valid leave those before in force, and say so until they are mended', async () => {
    const heard = news();
    const opened = await policies({ 'a.cedar': permit('all', ANY) }, heard.events);
    const recorded: FileReading[] = [];
    onFileReading((reading) => recorded.push(reading));
    const { digest } = opened;
    await replace('a.cedar', 'permit (principal');
    expect(await heard.next()).toEqual(['broken', [expect.stringContaining('a.cedar: line 1')]]);
    expect(opened.broken).toBe(true);
    expect(opened.decide(call(ada, 'git.push')).allowed).toBe(true);
    await rm(join(dir, 'a.cedar'));
    expect(await heard.next()).toEqual(['broken', [expect.stringContaining('holds no *.cedar file')]]);
    expect(opened.decide(call(bob, 'git.push')).allowed).toBe(true);
    await replace('a.cedar', permit('mended', ANY));
    expect(await heard.next()).toEqual(['changed', ['mended']]);
    expect(opened.broken).toBe(false);
    const of = recorded.filter(({ file }) => file === dir);
    expect(of.map(({ what }) => what)).toEqual(['read', 'refused', 'refused', 'reloaded']);
    expect(of.map((reading) => reading.digest)).toEqual([digest, expect.any(String), undefined, opened.digest]);
    expect(new Set(of.map((reading) => reading.digest)).size).toBe(4);
  });
});

describe('the policies that are there without a file', () => {
  it('permit everything but what operators do', async () => {
    const opened = await Policies.open('');
    const cases = parsePolicyTests(await readFile(join(EXAMPLES, 'tests.yaml'), 'utf8'), 'tests.yaml');
    const isOperators = ({ question }: PolicyCase) => (OPERATOR_ACTIONS as readonly string[]).includes(question.action);
    expect(cases.filter((each) => !isOperators(each)).length).toBeGreaterThan(10);
    for (const each of cases) {
      const everything = { allowed: true, policies: ['default-everything-in-ones-tenant'], failed: [] };
      const nothing = { allowed: false, policies: [], failed: [] };
      expect(opened.decide(each.question)).toEqual(isOperators(each) ? nothing : everything);
    }
  });
});

describe('the example policies', () => {
  it('do what their tests say, and every one of them decides in some test', async () => {
    const opened = await Policies.open(EXAMPLES);
    open.push(opened);
    const cases = parsePolicyTests(await readFile(join(EXAMPLES, 'tests.yaml'), 'utf8'), 'tests.yaml');
    expect(cases.map((each) => runPolicyCase(opened, each)).filter(({ ok }) => !ok)).toEqual([]);
    const deciding = new Set(cases.flatMap(({ question, at }) => opened.decide(question, at).policies));
    expect([...deciding].sort()).toEqual([...opened.ids].sort());
  });

  it('fail their tests when one of them is taken away', async () => {
    await mkdir(join(dir, 'less'));
    const text = await readFile(join(EXAMPLES, 'people.cedar'), 'utf8');
    await writeFile(
      join(dir, 'people.cedar'),
      text.replace('principal.via == "anonymous"', 'principal.via == "nobody"'),
    );
    const opened = await Policies.open(join(dir, 'people.cedar'));
    open.push(opened);
    const cases = parsePolicyTests(await readFile(join(EXAMPLES, 'tests.yaml'), 'utf8'), 'tests.yaml');
    const failed = cases.map((each) => runPolicyCase(opened, each)).filter(({ ok }) => !ok);
    expect(failed).toContainEqual({
      name: 'Who came without a token changes nothing',
      ok: false,
      problem: 'expected deny by anonymous-changes-nothing, came deny by no policy',
    });
  });
});

describe('the schema', () => {
  it('has the actions that are asked about, and no others', () => {
    const declared = [...SCHEMA.matchAll(/^ {2}action (\w+)(?: in \[\w+\])? appliesTo/gm)].map(([, name]) => name);
    expect(declared.sort()).toEqual([...ACCESS_ACTIONS].sort());
  });

  it('knows every resource that is asked about', async () => {
    const text = permit(
      'topics',
      'principal, action, resource is Callboard::Topic',
      ' when { resource.source == "a" && resource.topic == "b" }',
    );
    const { decide } = bound(await policies({ 'a.cedar': text }));
    const question: Question = {
      principal: ada,
      action: 'read_events',
      resource: topicResource('a', 'b'),
      circumstances: { server: '/mcp' },
    };
    expect(decide(question).allowed).toBe(true);
  });
});

function bound(opened: Policies) {
  return { decide: (question: Question, at?: Date) => opened.decide(question, at) };
}

/** What policies tell, in order, for who waits for the next of it. */
function news() {
  const told: unknown[] = [];
  const waiting: ((item: unknown) => void)[] = [];
  const tell = (item: unknown) => {
    const next = waiting.shift();
    if (next) next(item);
    else told.push(item);
  };
  return {
    events: {
      changed: (_: string, ids: readonly string[]) => tell(['changed', ids]),
      broken: (problems: readonly string[]) => tell(['broken', problems]),
    },
    next: () => (told.length > 0 ? Promise.resolve(told.shift()) : new Promise((resolve) => waiting.push(resolve))),
  };
}
