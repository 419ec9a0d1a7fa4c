/** `callboard redact`, as a program: lines in, lines out. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Ran } from './spec-callboard.js';

const CLI = fileURLToPath(new URL('./main.js', import.meta.url));
const KEY = 'a key of a test, long enough';

function redact(
  input: string | Buffer,
  args: string[] = [],
  env: NodeJS.ProcessEnv = { CALLBOARD_REDACTION_KEY: KEY },
): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [CLI, 'redact', ...args],
      { env: { ...process.env, ...env }, maxBuffer: 1e8 },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
    child.stdin!.end(input);
  });
}

let folder: string;
const file = async (name: string, text: string): Promise<string> => {
  await writeFile(join(folder, name), text);
  return join(folder, name);
};
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-redact-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('callboard redact', () => {
  it('redacts line by line, keeps the order, passes over empty lines', async () => {
    const { code, stdout, stderr } = await redact(
      '{"email":"jane@example.org","id":1}\n\n{"id":2}\r\n"jane@example.org"',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [first, second, third] = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(first).toEqual({ email: expect.stringMatching(/^\[EMAIL:[0-9a-f]{4}\]$/), id: 1 });
    expect(second).toEqual({ id: 2 });
    expect(third).toBe((first as { email: string }).email);
  });

  it('does not pass a line through that it cannot redact, says which and why, and ends with 1', async () => {
    const { code, stdout, stderr } = await redact(
      `{"id":1}\n{"email":"jane@example.org"\n${'['.repeat(100)}${']'.repeat(100)}\n{"id":4}\n`,
    );
    expect(code).toBe(1);
    expect(stdout).toBe('{"id":1}\n{"id":4}\n');
    const lines = stderr.trimEnd().split('\n');
    expect(lines.slice(0, 2).map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({ line: 2, refused: 'not_json' }),
      expect.objectContaining({ line: 3, refused: 'too_deep' }),
    ]);
    expect(lines[2]).toBe('callboard: 2 of 4 lines were not passed through.');
    expect(stderr).not.toContain('jane');
  });

  it('refuses a line beyond the limit, and goes on with the next', async () => {
    const long = Buffer.alloc(40 * 1024 * 1024, 'a');
    const input = Buffer.concat([Buffer.from('{"id":1}\n"'), long, Buffer.from('"\n{"id":3}\n"'), long]);
    const { code, stdout, stderr } = await redact(input);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '{"id":1}\n{"id":3}\n' });
    const refused = stderr.trimEnd().split('\n').slice(0, 2);
    expect(refused.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({ line: 2, refused: 'too_large' }),
      expect.objectContaining({ line: 4, refused: 'too_large' }),
    ]);
  });

  it('reads bytes that are no UTF-8 as unknown characters, and separators of Unicode as part of a line', async () => {
    const input = Buffer.concat([
      Buffer.from('{"a":"x'),
      Buffer.from([0xff, 0xc3]),
      Buffer.from('","b":"one\u2028two, jane@example.org"}\n'),
    ]);
    const { code, stdout } = await redact(input);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      a: 'x\ufffd\ufffd',
      b: expect.stringMatching(/^one\u2028two, \[EMAIL:[0-9a-f]{4}\]$/),
    });
  });

  it('writes findings to standard error on request, without the values', async () => {
    const { stdout, stderr } = await redact('{"a":{"text":"mail jane@example.org"}}\n', ['--findings']);
    expect(JSON.parse(stderr)).toEqual({
      line: 1,
      policy: 'built-in',
      path: '/a/text',
      type: 'EMAIL',
      detector: 'email',
      action: 'pseudonymise',
      length: 16,
    });
    expect(stdout + stderr).not.toContain('jane');
  });

  it('gives the same pseudonyms for the same key, from a file or the environment, and others for another tenant', async () => {
    const line = '{"email":"jane@example.org"}\n';
    const keyFile = await file('key', `${KEY}\n`);
    const [one, two, other, random] = await Promise.all([
      redact(line),
      redact(line, ['--key-file', keyFile], { CALLBOARD_REDACTION_KEY: '' }),
      redact(line, ['--tenant', 'other']),
      redact(line, [], { CALLBOARD_REDACTION_KEY: '' }),
    ]);
    expect(two!.stdout).toBe(one!.stdout);
    expect(other!.stdout).not.toBe(one!.stdout);
    expect(random!.code).toBe(0);
  });

  it('follows a policy, chosen by source and topic', async () => {
    const policy = await file(
      'policy.yaml',
      'version: 1\npolicies:\n  - name: github\n    source: github\n    fields: [{ name: login, action: redact, type: USER }]\n',
    );
    const line = '{"login":"octocat"}\n';
    expect((await redact(line, ['--policy', policy, '--source', 'github'])).stdout).toBe('{"login":"[USER]"}\n');
    const refused = await redact(line, ['--policy', policy, '--source', 'gitlab']);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('"refused":"no_policy"');
  });

  it('names what is wrong with a policy, a key or a file before it reads a line', async () => {
    const policy = await file('wrong.yaml', 'version: 1\npolicies:\n  - name: x\n    mode: strict\n');
    const line = '{"email":"jane@example.org"}\n';
    expect(await redact(line, ['--policy', policy])).toEqual({
      code: 1,
      stdout: '',
      stderr: `callboard: ${policy}: line 4: policies[0].mode must be one of detect, allow_list\n`,
    });
    expect((await redact(line, ['--policy', join(folder, 'none.yaml')])).stderr).toMatch(
      /none\.yaml cannot be read: ENOENT\n$/,
    );
    expect((await redact(line, [], { CALLBOARD_REDACTION_KEY: 'short' })).stderr).toMatch(
      /CALLBOARD_REDACTION_KEY is too short.*openssl rand/,
    );
  });
});
