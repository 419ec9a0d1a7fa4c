/** For specs: a real Backstage with the plug-in `stagecraft`, whose actions do what specs need, and an adapter file for it. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBackstage, waitFor, type TestBackstage } from '@callboard/testing';
import { stringify } from 'yaml';

const STAGECRAFT = fileURLToPath(new URL('../../../../tools/backstage/features/stagecraft.cjs', import.meta.url));

/** The token of the adapter, as long as a real one, so that a search for it finds nothing else. */
export const SERVICE_TOKEN = 'spec-service-token-0f8b1c7d';

export interface SpecBackstage {
  readonly backstage: TestBackstage;
  readonly folder: string;
  /** What actions had an effect, in their order: `strike a`. */
  effects(): string[];
  /** Changes its configuration as it runs, or before it is started again. */
  configure(change?: { edition?: 1 | 2; exclude?: string[]; backend?: object }): Promise<void>;
  /** Writes an adapter file with this Backstage in it, and returns its path. */
  adapterFile(more?: object): Promise<string>;
  /** The token of a user who has signed in. */
  signIn(name: string): Promise<string>;
  dispose(): Promise<void>;
}

export async function startSpecBackstage(): Promise<SpecBackstage> {
  const folder = await mkdtemp(join(tmpdir(), 'callboard-backstage-'));
  const config = join(folder, 'app-config.yaml');
  const log = join(folder, 'effects');
  await writeFile(log, '');
  const configure: SpecBackstage['configure'] = async ({ edition = 1, exclude = [], backend = {} } = {}) => {
    const external = { type: 'static', options: { token: '${ADAPTER_TOKEN}', subject: 'callboard-action-runner' } };
    const narrow = { ...external, options: { token: '${NARROW_TOKEN}', subject: 'narrow' } };
    const text = stringify({
      backend: {
        actions: {
          pluginSources: ['catalog', 'stagecraft'],
          ...(exclude.length > 0 && { filter: { exclude: exclude.map((id) => ({ id })) } }),
        },
        auth: { externalAccess: [external, { ...narrow, accessRestrictions: [{ plugin: 'events' }] }] },
        ...backend,
      },
      auth: { providers: { stagedoor: {} } },
      stagecraft: { log, edition },
    });
    // Backstage reads it again when it changes, and must not see the half of it.
    await writeFile(`${config}.new`, text);
    await rename(`${config}.new`, config);
  };
  await configure();
  const env = { ADAPTER_TOKEN: SERVICE_TOKEN, NARROW_TOKEN: 'spec-narrow-token-77aa' };
  const backstage = await startBackstage({ features: [STAGECRAFT], configFiles: [config], env });
  const headers = { authorization: `Bearer ${SERVICE_TOKEN}` };
  const known = async (ref: string) =>
    (await fetch(`${backstage.url}/api/catalog/entities/by-name/${ref}`, { headers })).ok;
  await waitFor(
    async () => (await known('component/default/ticket-desk')) && (await known('component/default/light-board')),
    {
      what: 'the catalog',
    },
  );
  return {
    backstage,
    folder,
    configure,
    effects: () => readFileSync(log, 'utf8').split('\n').filter(Boolean),
    adapterFile: async (more = {}) => {
      const path = join(folder, 'adapters.yaml');
      const site = {
        name: 'spec',
        url: backstage.url,
        token: '${BACKSTAGE_TOKEN}',
        plugins: ['catalog', 'stagecraft'],
      };
      await writeFile(path, stringify({ backstages: [{ ...site, refresh_ms: 1_000, ...more }] }));
      return path;
    },
    signIn: async (name) => {
      const answer = await fetch(`${backstage.url}/api/auth/stagedoor/refresh`, { headers: { 'x-stagedoor': name } });
      const { backstageIdentity } = (await answer.json()) as { backstageIdentity: { token: string } };
      return backstageIdentity.token;
    },
    dispose: async () => {
      await backstage.dispose();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
