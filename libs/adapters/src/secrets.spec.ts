/** Secrets of far sides: read for each attempt, sent, and told to nobody. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SecretTexts } from '@callboard/config';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parseAdapterFile } from './adapter-file.js';
import { remoteAction } from './remote/remote-action.js';
import { specContext } from './spec-context.js';

let folder: string;
let farSide: Server;
let status = 200;
const heard: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-secrets-'));
  farSide = createServer((request, response) => {
    const said = String(request.headers.authorization);
    heard.push(said);
    // One that tells all it knows.
    const body = JSON.stringify(status === 200 ? { said } : { title: said });
    response.writeHead(status, { 'content-type': 'application/problem+json' }).end(body);
  });
  await new Promise<void>((resolve) => farSide.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  await new Promise((resolve) => farSide.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

function action() {
  const path = join(folder, 'adapters.yaml');
  const { port } = farSide.address() as AddressInfo;
  const text = `
actions:
  - id: far.echo
    description: tells what it was sent
    input: { type: object }
    http:
      url: http://127.0.0.1:${port}/
      answer: response
      headers: { Authorization: 'Bearer \${file:token}' }
`;
  const [config] = parseAdapterFile(text, path, {}).actions;
  const deps = {
    askForToken: () => Promise.resolve(undefined),
    callbacks: undefined,
    handovers: () => Promise.reject(new Error('none')) as never,
  };
  return remoteAction(config!, deps, path, new SecretTexts(folder, undefined));
}

describe('a secret in the header of a far side', () => {
  it('is the one of now at each attempt, and is not in the result', async () => {
    const { run } = action();
    for (const secret of ['first-secret', 'second-secret']) {
      await writeFile(join(folder, 'token'), `${secret}\n`);
      const result = await run({}, specContext().context);
      expect(heard.at(-1)).toBe(`Bearer ${secret}`);
      expect(JSON.stringify(result)).toContain('Bearer [secret]');
      expect(JSON.stringify(result)).not.toContain(secret);
    }
  });

  it('is not in the error with which it is refused', async () => {
    await writeFile(join(folder, 'token'), 'third-secret\n');
    status = 400;
    const failing = action().run({}, specContext().context);
    await expect(failing).rejects.toThrow('answered 400: Bearer [secret]');
    status = 200;
  });

  it('that is not there now is no attempt of the far side, and may be tried again', async () => {
    await rm(join(folder, 'token'));
    const before = heard.length;
    const failing = action().run({}, specContext().context);
    await expect(failing).rejects.toMatchObject({
      retryable: true,
      message: expect.stringMatching(/^A secret for 127.* cannot be had now$/),
    });
    expect(heard).toHaveLength(before);
  });
});
