/** The adapter files that the documentation shows, read as they stand there. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { SecretTexts } from '@callboard/config';
import { describe, expect, it } from '@jest/globals';
import type { JsonObject } from '@callboard/envelope';
import { parseAdapterFile } from './adapter-file.js';
import { remoteAction } from './remote/remote-action.js';

const inRepository = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const callbacks = { url: 'http://127.0.0.1/results', key: Buffer.alloc(32) };
const deps = { callbacks } as unknown as Parameters<typeof remoteAction>[1];

/** Every variable is set. */
const env = new Proxy({}, { get: () => 'secret' });

async function used(text: string): Promise<JsonObject[]> {
  const file = parseAdapterFile(text, 'adapters.yaml', env);
  for (const action of file.actions) remoteAction(action, deps, 'adapters.yaml', new SecretTexts('.', undefined));
  return [...file.actions, ...file.mcp_servers, ...file.backstages] as unknown as JsonObject[];
}

describe('an adapter file', () => {
  it('that docs/adapters.md shows can be used', async () => {
    const page = await readFile(inRepository('docs/adapters.md'), 'utf8');
    const shown = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text!);
    const all = (await Promise.all(shown.map(used))).flat();
    expect(all.map(({ id, name }) => id ?? name).sort()).toEqual([
      'backstage',
      'files',
      'git.clone',
      'room.book',
      'ticket.open',
      'tickets',
    ]);
  });

  it('that is an example can be used', async () => {
    const example = await readFile(inRepository('examples/event-driven-ansible/adapters.yaml'), 'utf8');
    expect(await used(example)).toHaveLength(2);
  });
});
