/** The examples of `docs/writing-actions.md`, run as they stand there. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { ActionError, ActionSet, checkArguments, type ActionContext } from '@callboard/actions';
import { codeBlocks, readPage } from './pages.js';

describe('docs/writing-actions.md', () => {
  let folder: string;
  const sets: ActionSet[] = [];

  beforeAll(async () => {
    // Below this folder, so that the examples find the packages as a module of the repository does.
    folder = await mkdtemp(join(fileURLToPath(new URL('.', import.meta.url)), 'examples-'));
    for (const [i, code] of codeBlocks(await readPage('docs/writing-actions.md'), 'js').entries()) {
      const file = join(folder, `example-${i}.mjs`);
      await writeFile(file, code);
      sets.push(((await import(pathToFileURL(file).href)) as { actions: ActionSet }).actions);
    }
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('has modules that export an action set, as the runner wants them', () => {
    expect(sets).toHaveLength(5);
    for (const set of sets) expect(set).toBeInstanceOf(ActionSet);
  });

  it('opens one ticket however many attempts are made, and shows it', async () => {
    const context = { idempotencyKey: 'i_1' } as ActionContext;
    const args = { queue: 'network', summary: 'The link is down' };
    const open = sets[0]!.get('ticket.open')!;
    checkArguments(open.descriptor, args);
    expect(await open.run(args, context)).toBe('opened ticket 1 in network');
    expect(await open.run(args, context)).toBe('opened ticket 1 in network');

    const show = sets[0]!.get('ticket.show')!;
    expect(await show.run({ number: 1 }, context)).toEqual({ number: 1, ...args });
    expect(() => show.run({ number: 2 }, context)).toThrow(ActionError);
  });

  it('asks before it removes, and removes nothing without a yes', async () => {
    const remove = actionOf('ticket.remove');
    const answering = (confirm?: object) =>
      remove.run({ number: 1 }, { inputResponses: { ...(confirm && { confirm }) } } as unknown as ActionContext);
    expect(await answering()).toMatchObject({ resultType: 'input_required' });
    expect(await answering({ action: 'decline' })).toBe('nothing was removed');
    expect(await answering({ action: 'accept', content: { sure: true } })).toBe('removed ticket 1');
  });

  it('finds the letter that it has sent, and only that', async () => {
    const send = actionOf('letter.send');
    const context = (correlationId: string) => ({ correlationId, attempt: 1 }) as ActionContext;
    const args = { to: 'jane', text: 'hello' };
    expect(send.reconcile!(args, context('c_1'))).toBe('not_done');
    expect(await send.run(args, context('c_1'))).toBe('sent to jane');
    expect(send.reconcile!(args, context('c_1'))).toEqual({ result: 'sent to jane' });
    expect(send.reconcile!(args, context('c_2'))).toBe('not_done');
  });

  it('reads the secret that it names, and sends it to its far side', async () => {
    const far = jest.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response('build 7'));
    const context = { secret: async (name: string) => `secret ${name}` } as unknown as ActionContext;
    const build = actionOf('ci.build');
    expect(build.secrets).toEqual({ token: 'file:/run/secrets/ci-token' });
    expect(await build.run({ branch: 'main' }, context)).toEqual({ build: 'build 7' });
    expect(far.mock.calls[0]![1]!.headers).toEqual({ Authorization: 'Bearer secret token' });
    far.mockRestore();
  });

  it.each([
    ['accept', '1.2 is out to all'],
    ['decline', '1.2 stays with a few'],
  ])('asks half-way, and obeys a %s', async (action, result) => {
    const steps: unknown[] = [];
    const context = {
      progress: (n: number) => steps.push(n),
      ask: (requests: object) => {
        steps.push(Object.keys(requests));
        return Promise.resolve({ go: { action } });
      },
    } as unknown as ActionContext;
    expect(await actionOf('release.roll_out').run({ version: '1.2' }, context)).toBe(result);
    expect(steps).toEqual([1, ['go']]);
  });

  const actionOf = (id: string) => sets.flatMap((set) => set.get(id) ?? [])[0]!;
});
