/** The commands of `docs/events.md`, run as they stand there against a real stack whose sources are those of the page. */
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '@callboard/nats-server';
import {
  bash,
  describeWith,
  missing,
  startStack,
  startTestIssuer,
  stepsOf,
  type Program,
  type TestIssuer,
  type TestStack,
} from '@callboard/testing';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { codeBlocks, inRepository, readPage } from './pages.js';

const page = await readPage('docs/events.md');
const steps = stepsOf(page);
const TOOLS: Program[] = ['bash', 'curl', 'jq', 'openssl'].map((name) => ({
  name,
  probe: [name, name === 'openssl' ? 'version' : '--version'],
}));
const SECRET = 'the secret of the page';

describeWith(TOOLS, 'docs/events.md', () => {
  let folder: string;
  let issuer: TestIssuer;
  let stack: TestStack;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-events-'));
    await symlink(fileURLToPath(inRepository('node_modules')), join(folder, 'node_modules'));
    await writeFile(join(folder, 'sources.yaml'), codeBlocks(page, 'yaml')[0]!);
    await writeFile(join(folder, 'billing-secret'), `whsec_${Buffer.alloc(24, 7).toString('base64')}\n`);
    issuer = await startTestIssuer({ user: 'jane', claims: {}, scopes: ['events.publish'] });
    const port = await freePort();
    const urls = `public_url: https://callboard.example\ningest_url: http://127.0.0.1:${port}`;
    await writeFile(join(folder, 'access.yaml'), `${urls}\nissuers: [{ issuer: '${issuer.url}', tenant: acme }]\n`);
    const [sources, access] = [join(folder, 'sources.yaml'), join(folder, 'access.yaml')];
    await writeFile(join(folder, 'stack.yaml'), JSON.stringify({ sources, access, ingest_port: port }));
    stack = await startStack({
      dataDir: join(folder, '.callboard'),
      args: ['--config', join(folder, 'stack.yaml')],
      env: { CI_TOKEN: 'a-token-of-the-page', GITHUB_SECRET: SECRET, GITHUB_SECRET_OF_NEXT_YEAR: 'another' },
    });
    const { ingest_url: INGEST_URL, token: INGEST_TOKEN } = stack.ready;
    const { clientId: CLIENT_ID, clientSecret: CLIENT_SECRET } = issuer.machine;
    const client = { ISSUER: issuer.url, CLIENT_ID, CLIENT_SECRET };
    env = { ...process.env, ...client, INGEST_URL, INGEST_TOKEN, GITHUB_SECRET: SECRET };
  });
  afterAll(async () => {
    await stack.stop();
    await issuer.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('has an example of every form', () => {
    expect(steps).toHaveLength(5);
  });

  it.each(steps.map((step, i) => [`${i + 1}: ${step.heading}`, step] as const))(
    'block %s',
    async (_, { commands, expected }) => {
      const { code, printed } = await bash(commands, folder, env);
      expect([code, missing(expected, printed), printed]).toEqual([0, undefined, printed]);
      expect(expected).not.toEqual([]);
    },
  );
});
