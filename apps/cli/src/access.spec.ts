/** `callboard access`, as a program. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { callboard } from './spec-callboard.js';

const EXAMPLES = fileURLToPath(new URL('../../../examples/policies', import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-cli-access-'));
});
afterAll(() => rm(folder, { recursive: true }));

const explain = (...args: string[]) => callboard('access', 'explain', '--policies', EXAMPLES, ...args);

describe('callboard access test', () => {
  it('passes the example policies, and says how many cases there are', async () => {
    const ran = await callboard('access', 'test', join(EXAMPLES, 'tests.yaml'));
    expect(ran).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d\d cases, all as expected\.\n$/) });
  });

  it('fails with every case that is not as expected', async () => {
    const all = join(folder, 'all.cedar');
    await writeFile(all, '@id("all") permit (principal, action, resource);');
    const ran = await callboard('access', 'test', '--policies', all, join(EXAMPLES, 'tests.yaml'));
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/Nobody deploys on a Friday evening +expected deny, came allow by all/);
    expect(ran.stderr).toMatch(/\d+ of \d+ cases are not as expected/);
  });

  it('says where a file of cases is wrong', async () => {
    const file = join(folder, 'tests.yaml');
    await writeFile(
      file,
      'principals: { ada: { user: ada } }\ncases:\n  - { name: a, principal: ada, action: call, expect: deny }\n',
    );
    const ran = await callboard('access', 'test', '--policies', EXAMPLES, file);
    expect([ran.code, ran.stderr]).toEqual([
      1,
      `callboard: ${file}: line 3: cases[0].resource must have a tool: call is about one\n`,
    ]);
  });
});

describe('callboard access explain', () => {
  it('names the policies that decide', async () => {
    const ada = ['--principal', 'acme/user:default/ada', '--group', 'group:default/platform'];
    const friday = [...ada, '--action', 'call', '--resource', 'argo.sync', '--at', '2026-01-09T17:00:00Z'];
    expect(await explain(...friday)).toMatchObject({ code: 0, stdout: 'deny\nby no-deployments-at-the-weekend\n' });
    const { stdout } = await explain(...friday.slice(0, -1), '2026-01-07T10:00:00Z', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ decision: 'allow', policies: ['platform-deploys'], failed: [] });
  });

  it('says that nothing permits what nothing permits', async () => {
    const ran = await explain('--principal', 'acme/bob', '--action', 'broadcast');
    expect(ran.stdout).toBe('deny\nno policy permits it, and what no policy permits is denied\n');
  });

  it('says that what operators do must be named', async () => {
    const ran = await callboard('access', 'explain', '--principal', 'acme/bob', '--action', 'read_audit');
    const why = 'no policy permits it by its name, Action::"read_audit", and what no policy permits is denied';
    expect(ran.stdout).toBe(`deny\n${why}\n`);
  });

  it('says what is wrong with policies, with file and line', async () => {
    const broken = join(folder, 'broken.cedar');
    await writeFile(broken, '@id("a")\npermit (principal, action, resource) when { principal.age > 3 };');
    const asked = ['--principal', 'acme/bob', '--action', 'broadcast'];
    const ran = await callboard('access', 'explain', '--policies', broken, ...asked);
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining(`${broken}: line 2: `)]);
  });
});
