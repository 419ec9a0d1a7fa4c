import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SourcesError, openSources, parseSources } from './sources.js';

const PATH = '/etc/callboard/sources.yaml';
const KEY = Buffer.alloc(32, 7).toString('base64');
const env = { A: 'hunter2-a-0123456789', B: 'hunter2-b-0123456789', SHORT: 'hunter2', KEY: `whsec_${KEY}` };
const parse = (text: string) => parseSources(text, PATH, env);

describe('a sources file', () => {
  it('has defaults for everything but what only its author knows', async () => {
    const sources = await parse(`
sources:
  - { name: ci, type: cloudevents, token: { env: A } }
  - { name: hub, type: webhook, scheme: github, secret: { env: B } }
  - { name: catalog, type: backstage_bus, base_url: 'https://backstage.example.com/api/events/', token: { env: A }, topics: [entities] }
`);
    const base = { tenantId: 'default', topics: ['*'], key: [] };
    expect(sources).toEqual([
      { type: 'cloudevents', name: 'ci', ...base, tokens: ['hunter2-a-0123456789'] },
      {
        type: 'webhook',
        name: 'hub',
        ...base,
        scheme: 'github',
        secrets: [Buffer.from('hunter2-b-0123456789')],
        maxAgeMs: 300_000,
      },
      {
        type: 'backstage_bus',
        name: 'catalog',
        tenantId: 'default',
        baseUrl: 'https://backstage.example.com/api/events',
        token: 'hunter2-a-0123456789',
        topics: ['entities'],
        subscriptionId: 'callboard',
      },
    ]);
  });

  it('may say everything', async () => {
    const [ci, std] = await parse(`
sources:
  - name: ci
    tenant: acme
    type: cloudevents
    token: [{ env: A }, { env: B }]
    topics: [com.example.build, 'com.example.deploy.*']
    key: [/a/b, /c]
  - { name: std, type: webhook, scheme: standard-webhooks, secret: { env: KEY }, max_age_s: 60, key: /a }
`);
    expect(ci).toMatchObject({
      tenantId: 'acme',
      tokens: ['hunter2-a-0123456789', 'hunter2-b-0123456789'],
      key: ['/a/b', '/c'],
    });
    expect(std).toMatchObject({ secrets: [Buffer.alloc(32, 7)], maxAgeMs: 60_000, key: ['/a'] });
  });

  describe('with a secret in a file', () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'callboard-sources-'));
      await writeFile(join(folder, 'token'), 'hunter2-in-a-file-of-its-own\n');
      await writeFile(join(folder, 'empty'), '\n');
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));
    const read = (file: string) =>
      parseSources(
        `sources: [{ name: a, type: cloudevents, token: { file: ${file} } }]`,
        join(folder, 'sources.yaml'),
        {},
      );

    it('finds it beside the sources file, without the line break at its end', async () => {
      expect(await read('token')).toMatchObject([{ tokens: ['hunter2-in-a-file-of-its-own'] }]);
    });

    it('is refused when the file is empty or not there', async () => {
      await expect(read('empty')).rejects.toThrow('sources[0].token.file names a file that is empty');
      await expect(read('none')).rejects.toThrow('sources[0].token.file names a file that cannot be read');
    });
  });

  const one = (more: string) => `sources: [{ name: a, ${more} }]`;
  const hook = (more: string) => one(`type: webhook, scheme: github, secret: { env: A }, ${more}`);
  it.each([
    ['sources: [', 'line 1: '],
    ['', 'the file must have sources'],
    ['source: []', 'the file must have sources'],
    ['sources: 1', 'sources must be array'],
    [one('type: kafka'), 'sources[0].type must be one of cloudevents, webhook, backstage_bus'],
    [one('token: { env: A }'), 'sources[0] must have type'],
    [one('type: cloudevents'), 'sources[0] must have a token, or access: who may send'],
    [one('type: cloudevents, access: { scopes: [] }'), 'sources[0].access.scopes must NOT have fewer than 1 items'],
    [one('type: cloudevents, access: { scopes: ["a b"] }'), 'sources[0].access.scopes[0] must match'],
    [one('type: cloudevents, access: { users: [] }'), 'sources[0].access.users must NOT have fewer than 1 items'],
    [hook('access: {}'), 'has a key access that is not known'],
    [one('type: cloudevents, token: hunter2'), 'sources[0].token must be object'],
    [one('type: cloudevents, token: []'), 'sources[0].token must NOT have fewer than 1 items'],
    [one('type: cloudevents, token: {}'), 'sources[0].token must have one of env, file and vault: where the secret is'],
    [one('type: cloudevents, token: { env: A, file: b }'), 'sources[0].token must have one of env, file and vault'],
    [
      one('type: cloudevents, token: { value: hunter2 }'),
      'has a key value that is not known; known keys: env, file, vault',
    ],
    [one('type: cloudevents, token: { env: SHORT }'), 'sources[0].token must lead to 16 characters or more'],
    [
      one('type: cloudevents, token: { env: NOT_SET }'),
      'sources[0].token.env names an environment variable that is not set',
    ],
    [one('type: cloudevents, token: [{ env: A }, { env: NOT_SET }]'), 'sources[0].token[1].env names an environment'],
    [
      one('type: cloudevents, token: { env: A }, secret: { env: A }'),
      'has a key secret that is not known; known keys: name',
    ],
    [one('type: cloudevents, token: { env: A }, topics: ["*.b"]'), 'sources[0].topics[0] must match'],
    [one('type: cloudevents, token: { env: A }, key: a.b'), 'sources[0].key must match'],
    [one('type: webhook, secret: { env: A }'), 'sources[0] must have scheme'],
    [
      one('type: webhook, scheme: gitlab, secret: { env: A }'),
      'sources[0].scheme must be one of github, standard-webhooks',
    ],
    [hook('max_age_s: 60'), 'sources[0].max_age_s cannot be kept: GitHub signs no time; remove it'],
    [
      one('type: webhook, scheme: standard-webhooks, secret: { env: A }'),
      'sources[0].secret must lead to "whsec_" and 24 to 64 bytes in base64',
    ],
    [one('type: backstage_bus, token: { env: A }, topics: [a], base_url: b'), 'base_url must be an http or https URL'],
    [
      one('type: backstage_bus, token: { env: A }, topics: [], base_url: http://b'),
      'topics must NOT have fewer than 1',
    ],
    [
      'sources: [{ name: backstage, type: cloudevents, token: { env: A } }]',
      "sources[0].name is the name of the events of Backstage's plug-in",
    ],
    [
      'sources: [{ name: callboard, type: cloudevents, token: { env: A } }]',
      'sources[0].name is the name of the events of Callboard itself',
    ],
    ['sources: [{ name: A B, type: cloudevents, token: { env: A } }]', 'sources[0].name must match'],
    [
      'sources:\n  - { name: a, type: cloudevents, token: { env: A } }\n  - { name: a, type: cloudevents, token: { env: A } }',
      'line 3: sources[1].name is the name of another source already',
    ],
  ])(
    'that cannot be used is refused with the file, the line, the place and what belongs there: %s',
    async (text, message) => {
      const parsing = parse(text);
      await expect(parsing).rejects.toThrow(SourcesError);
      await expect(parsing).rejects.toThrow(/^\/etc\/callboard\/sources\.yaml: line \d+: /);
      await expect(parsing).rejects.toThrow(message);
      await expect(parsing).rejects.not.toThrow('hunter2');
    },
  );

  it('that uses an alias over and over is refused', async () => {
    const levels = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(', ')}]`);
    await expect(parse(['l0: &l0 [1]', ...levels].join('\n'))).rejects.toThrow('uses too many aliases');
  });
});

describe('the sources of a process', () => {
  it('are local alone, where there is a token and no file', async () => {
    const sources = await openSources({ sources: '', ingestToken: 'a-token-of-its-own' }, {});
    expect(sources).toMatchObject([{ name: 'local', type: 'cloudevents', tenantId: 'default' }]);
  });

  it('are never none', async () => {
    await expect(openSources({ sources: '', ingestToken: '' }, {})).rejects.toThrow('set CALLBOARD_SOURCES or');
  });

  it('are those of several files, none of which may have a name of another', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'callboard-sources-'));
    const write = async (file: string, name: string) => {
      const path = join(folder, file);
      await writeFile(path, JSON.stringify({ sources: [{ name, type: 'cloudevents', token: { env: 'T' } }] }));
      return path;
    };
    const [one, two, again] = [await write('1', 'one'), await write('2', 'two'), await write('3', 'one')];
    const names = async (sources: string) =>
      (await openSources({ sources, ingestToken: '' }, { T: 'hunter2-0123456789' })).map((s) => s.name);
    expect(await names(`${one}, ${two}`)).toEqual(['one', 'two']);
    await expect(names(`${one},${again}`)).rejects.toThrow('have a source one');
    await rm(folder, { recursive: true });
  });

  it('are an error that names the file when that cannot be read', async () => {
    await expect(openSources({ sources: '/not/there.yaml', ingestToken: '' }, {})).rejects.toThrow('/not/there.yaml');
  });
});
