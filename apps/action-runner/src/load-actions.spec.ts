import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { loadActions } from './load-actions.js';

let folder: string;
let module: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-actions-'));
  await symlink(fileURLToPath(new URL('../../../node_modules', import.meta.url)), join(folder, 'node_modules'));
  module = join(folder, 'actions.mjs');
  await writeFile(
    module,
    `import { ActionSet, defineAction } from '@callboard/actions';
const input = { type: 'object' };
const secrets = { plain: 'env:A', token: 'vault:team/ci#token' };
export const actions = new ActionSet([defineAction({ id: 'ci.build', description: '', input, secrets, run: () => '' })]);
`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a module of actions', () => {
  it('whose secrets are in Vault is refused where there is no Vault', async () => {
    const load = (env: NodeJS.ProcessEnv) => loadActions(module, env, () => undefined);
    await expect(load({})).rejects.toThrow(
      'secrets.token of action "ci.build" needs CALLBOARD_VAULT_URL, which is not set',
    );
    const actions = await load({ CALLBOARD_VAULT_URL: 'http://127.0.0.1:1' });
    expect(actions.get('ci.build')?.secrets).toEqual({ plain: 'env:A', token: 'vault:team/ci#token' });
  });
});
