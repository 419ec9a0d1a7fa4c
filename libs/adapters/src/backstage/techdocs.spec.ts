/** The pages of TechDocs, read from a real Backstage whose local publisher has a site that was built before. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { LIMITS } from '@callboard/envelope';
import type { Logger } from '@callboard/telemetry';
import { SCAFFOLDER_BACKSTAGE, describeWith, startScaffolder, waitFor, type TestScaffolder } from '@callboard/testing';
import { UriTemplate } from '@modelcontextprotocol/client';
import { stringify } from 'yaml';
import { openAdapters, type AdapterDependencies, type Adapters } from '../adapters.js';
import { specContext } from '../spec-context.js';

const SITE = fileURLToPath(new URL('../../../../tools/backstage-scaffolder/techdocs', import.meta.url));
const SERVICE_TOKEN = 'spec-service-token-5d0c9a41';
const DESK = 'docs://component/default/ticket-desk';

interface Page {
  uri: string;
  mimeType: string;
  text: string;
}

describeWith([SCAFFOLDER_BACKSTAGE], 'the pages of TechDocs', () => {
  let folder: string;
  let scaffolder: TestScaffolder;
  let adapters: Adapters;
  let token: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-techdocs-'));
    const published = join(folder, 'published');
    await cp(SITE, published, { recursive: true });
    const desk = join(published, 'default/component/ticket-desk');
    await writeFile(join(desk, 'large.txt'), 'x'.repeat(LIMITS.outcomeBytes + 1));
    await writeFile(join(desk, 'curtain.png'), Buffer.from([0x89, 0x50, 0x4e, 0x47]));
    await writeFile(join(desk, 'curtain.unknown'), Buffer.alloc(4));
    await writeFile(join(published, 'default/component/secret.txt'), 'not of the desk');
    await writeFile(join(folder, 'outside.txt'), 'not published');
    scaffolder = await startScaffolder({
      templates: {},
      serviceToken: SERVICE_TOKEN,
      config: {
        techdocs: {
          builder: 'external',
          generator: { runIn: 'local' },
          publisher: { type: 'local', local: { publishDirectory: published } },
        },
      },
    });
    const { url } = scaffolder.backstage;
    const headers = { authorization: `Bearer ${SERVICE_TOKEN}` };
    const inCatalog = async () =>
      (await fetch(`${url}/api/catalog/entities/by-name/component/default/ticket-desk`, { headers })).ok;
    await waitFor(inCatalog, { what: 'the catalog' });
    const file = join(folder, 'adapters.yaml');
    const site = { name: 'spec', url, token: '${BACKSTAGE_TOKEN}', plugins: ['catalog'], docs: 'docs' };
    await writeFile(file, stringify({ backstages: [site] }));
    const log = { warn: () => undefined, info: () => undefined } as unknown as Logger;
    adapters = await openAdapters(file, {
      env: { BACKSTAGE_TOKEN: SERVICE_TOKEN },
      log,
      backstageTokens: () => ({ tokenFor: () => Promise.resolve(token) }),
    } as Partial<AdapterDependencies> as AdapterDependencies);
  }, 300_000);
  afterAll(async () => {
    await adapters?.close();
    await scaffolder?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  /** As a front end takes the URI apart. */
  async function read(uri: string, as = SERVICE_TOKEN): Promise<Page> {
    token = as;
    const { descriptor, run } = adapters.actions.get('resource.spec-docs')!;
    const { surface } = descriptor;
    if (surface.kind !== 'resource_template') throw new Error(`a ${surface.kind}`);
    const variables = new UriTemplate(surface.uri_template).match(uri);
    if (!variables) throw new Error(`no match for ${uri}`);
    const { contents } = (await run({ ...variables, uri }, specContext().context)) as { contents: Page[] };
    return contents[0]!;
  }

  it('are resources: each as it was built, by the path that it has on the site', async () => {
    const first = await read(`${DESK}/index.html`);
    expect(first).toMatchObject({ uri: `${DESK}/index.html`, mimeType: 'text/html' });
    expect(first.text).toContain('<h1>Ticket desk</h1>');
    for (const path of ['returns/index.html', 'returns/', 'returns', 'r%65turns']) {
      expect((await read(`${DESK}/${path}`)).text).toContain('<h1>Returns</h1>');
    }
    expect(await read(`${DESK}/techdocs_metadata.json`)).toMatchObject({
      mimeType: 'application/json',
      text: expect.stringContaining('Ticket desk'),
    });
    expect((await read('docs://Component/Default/Ticket-Desk/index.html')).text).toBe(first.text);
  });

  it('are read with the token of the caller, and of nobody else', async () => {
    expect(await read(`${DESK}/index.html`, scaffolder.backstage.userToken('user:default/ada'))).toMatchObject({
      mimeType: 'text/html',
    });
    await expect(read(`${DESK}/index.html`, 'nobody')).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it.each([
    '../secret.txt',
    '%2e%2e/secret.txt',
    '..%2fsecret.txt',
    '..%5csecret.txt',
    '%252e%252e/secret.txt',
    'returns/../../secret.txt',
    '..%2f..%2f..%2f..%2foutside.txt',
    './index.html',
    '/etc/passwd.txt',
    '%2fetc%2fpasswd.txt',
    'returns//index.html',
    'index.html%00.txt',
    '%zz.html',
  ])('refuse a path that leads elsewhere, and ask Backstage for nothing: %s', async (path) => {
    // With a token that Backstage would refuse, had it been asked.
    await expect(read(`${DESK}/${path}`, 'nobody')).rejects.toMatchObject({ code: 'invalid_arguments' });
  });

  it.each(['docs://component/../ticket-desk/x', 'docs://component/default/../x', 'docs://component/%2e%2e/desk/x'])(
    'refuse what names no entity: %s',
    async (uri) => {
      await expect(read(uri, 'nobody')).rejects.toMatchObject({ code: 'invalid_arguments' });
    },
  );

  it.each([`${DESK}/nowhere.html`, `${DESK}/nowhere/`, 'docs://component/default/nobody/index.html'])(
    'that are not there are not found, for good: %s',
    async (uri) => {
      await expect(read(uri)).rejects.toMatchObject({ code: 'not_found', retryable: false });
    },
  );

  it('are texts of bounded size; nothing else is read', async () => {
    await expect(read(`${DESK}/large.txt`)).rejects.toMatchObject({ code: 'payload_too_large' });
    for (const file of ['curtain.png', 'curtain.unknown']) {
      await expect(read(`${DESK}/${file}`)).rejects.toMatchObject({
        code: 'action_failed',
        retryable: false,
        message: 'Only pages and other texts can be read',
      });
    }
  });
});
