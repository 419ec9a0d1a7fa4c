/** The actions of a real Backstage as ours: listed, called, refused, changed. Its plug-in `stagecraft` does what a spec needs. */
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { ActionContext, ActionDefinition } from '@callboard/actions';
import { metrics, type Logger } from '@callboard/telemetry';
import { BACKSTAGE, describeWith, waitFor } from '@callboard/testing';
import { parse, stringify } from 'yaml';
import { openAdapters, type AdapterDependencies, type Adapters } from '../adapters.js';
import { specContext } from '../spec-context.js';
import type { BackstageSite } from './site.js';
import { SERVICE_TOKEN, startSpecBackstage, type SpecBackstage } from './spec-backstage.js';
import { CallersToken, type ServiceToken } from './tokens.js';

describeWith([BACKSTAGE], 'the actions of a Backstage', () => {
  let spec: SpecBackstage;
  let adapters: Adapters | undefined;
  let logged: { level: string; fields: Record<string, unknown>; text: string }[];
  let kept: Map<string, Uint8Array>;
  const taken: string[] = [];

  const log = Object.fromEntries(
    ['debug', 'info', 'warn', 'error'].map((level) => [
      level,
      (fields: Record<string, unknown>, text: string) => logged.push({ level, fields, text }),
    ]),
  ) as unknown as Logger;
  const env = {
    BACKSTAGE_TOKEN: SERVICE_TOKEN,
    WRONG_TOKEN: 'no-token-of-theirs',
    NARROW_TOKEN: 'spec-narrow-token-77aa',
  };
  const lastSeen = () => ({
    get: (key: string) => Promise.resolve(kept.get(key)),
    put: (key: string, value: Uint8Array) => Promise.resolve(kept.set(key, value)),
  });
  const deps = {
    env,
    log,
    lastSeen,
    onTaken: (id: string) => void taken.push(id),
  } as Partial<AdapterDependencies> as AdapterDependencies;

  beforeAll(async () => {
    spec = await startSpecBackstage();
  });
  afterAll(() => spec?.dispose(), 60_000);
  afterEach(async () => {
    await adapters?.close();
    adapters = undefined;
  });

  async function open(more: object = {}, others: Partial<AdapterDependencies> = {}): Promise<Adapters> {
    await adapters?.close();
    logged = [];
    kept ??= new Map();
    adapters = await openAdapters(await spec.adapterFile(more), { ...deps, ...others });
    await adapters.start();
    return adapters;
  }

  const ids = () => [...adapters!.actions].map(({ descriptor }) => descriptor.id);
  function action(name: string): ActionDefinition {
    const found = adapters!.actions.get(`spec.${name}`);
    if (!found) throw new Error(`no action spec.${name} among ${ids().join(', ')}`);
    return found;
  }
  const run = async (name: string, args: object, overrides: Partial<ActionContext> = {}) =>
    action(name).run(args as never, specContext(overrides).context);

  describe('as they are listed', () => {
    it('are actions with the schemas and the attributes that Backstage gives them', async () => {
      await open();
      expect(ids()).toEqual(expect.arrayContaining(['spec.catalog.query-catalog-entities', 'spec.stagecraft.look']));
      const { descriptor } = action('catalog.query-catalog-entities');
      expect(descriptor).toMatchObject({
        title: 'Query Catalog Entities',
        description: expect.stringContaining('predicate filters'),
        attributes: { read_only: true, destructive: false, idempotent: true, open_world: false },
        ordering: 'none',
        input_schema: { type: 'object', properties: { limit: { type: 'integer' } } },
        output_schema: { type: 'object', required: ['items', 'totalItems', 'hasMoreEntities'] },
      });
      expect(JSON.stringify(descriptor)).not.toContain('draft-07');
      expect(action('stagecraft.light').descriptor.attributes).toMatchObject({ destructive: false, idempotent: true });
      expect(action('stagecraft.strike').descriptor).toMatchObject({
        attributes: { read_only: false, destructive: true, idempotent: false },
        ordering: 'principal',
      });
      expect(await metrics.metrics()).toContain(
        `callboard_backstage_actions{backstage="spec",state="mirrored"} ${ids().length}`,
      );
    });

    it('that cannot be ours are left out, each with a line of log, and take no other with them', async () => {
      await open();
      const told = logged.filter(({ text }) => text === 'an action of a Backstage is left out');
      expect(Object.fromEntries(told.map(({ fields }) => [fields['action'], fields['why']]))).toEqual({
        'stagecraft:fly loft!': expect.stringContaining('id must be 1 to 64 letters'),
        'stagecraft:rope': expect.stringContaining('input is no JSON Schema'),
        'stagecraft:safe': 'it wants secrets, and the adapter file gives it none',
      });
    });

    it('under a name that another has are left out, and told', async () => {
      const path = await spec.adapterFile();
      const { backstages } = parse(await readFile(path, 'utf8')) as { backstages: object[] };
      const own = {
        id: 'spec.stagecraft.bow',
        description: 'Bows',
        input: { type: 'object' },
        http: { url: spec.backstage.url, answer: 'response' },
      };
      await writeFile(path, stringify({ actions: [own], backstages }));
      adapters = await openAdapters(path, deps);
      await adapters.start();
      expect(taken).toEqual(['spec.stagecraft.bow']);
      expect(action('stagecraft.bow').descriptor.description).toBe('Bows');
    });

    it('are those that the adapter file includes, with what it decides about single ones', async () => {
      await open({
        namespace: 'stage',
        include: ['stagecraft:*', 'catalog:get-*'],
        exclude: ['*:fail*'],
        actions: {
          'stagecraft:strike': {
            title: 'Strike!',
            attributes: { idempotent: true },
            deadline_ms: 5_000,
            ordering: 'none',
          },
          'stagecraft:encore': { title: 'More' },
        },
      });
      expect(
        ids()
          .filter((id) => id.startsWith('stage.catalog.'))
          .sort(),
      ).toEqual(['stage.catalog.get-catalog-entity', 'stage.catalog.get-catalog-model-description']);
      expect(ids()).not.toContain('stage.stagecraft.fail');
      expect(adapters!.actions.get('stage.stagecraft.strike')!.descriptor).toMatchObject({
        title: 'Strike!',
        attributes: { idempotent: true },
        deadline_ms: 5_000,
        ordering: 'none',
      });
      expect(logged.map(({ fields }) => [fields['action'], fields['why']])).toContainEqual([
        'stagecraft:encore',
        'the adapter file decides about it, and Backstage has none such',
      ]);
    });
  });

  describe('as they are called', () => {
    it('find and read entities of the catalog', async () => {
      await open();
      const query = {
        query: { kind: 'Component' },
        fields: ['metadata.name'],
        orderFields: { field: 'metadata.name', order: 'asc' },
      };
      expect(await run('catalog.query-catalog-entities', query)).toMatchObject({
        structuredContent: {
          items: [{ metadata: { name: 'light-board' } }, { metadata: { name: 'ticket-desk' } }],
          totalItems: 2,
        },
      });
      const desk = (await run('catalog.get-catalog-entity', { kind: 'Component', name: 'ticket-desk' })) as {
        content: { text: string }[];
        structuredContent: object;
      };
      expect(desk.structuredContent).toMatchObject({
        metadata: { name: 'ticket-desk' },
        spec: { owner: 'stagehands' },
      });
      expect(JSON.parse(desk.content[0]!.text)).toEqual(desk.structuredContent);
    });

    it('are read as resources of the catalog, where the adapter file says so', async () => {
      await open({ entities: 'catalog' });
      const resource = adapters!.actions.get('resource.spec-entity')!;
      expect(resource.descriptor.surface).toMatchObject({ uri_template: 'catalog://{kind}/{namespace}/{name}' });
      const read = async (kind: string, namespace: string, name: string) => {
        const uri = `catalog://${kind}/${namespace}/${name}`;
        return resource.run({ uri, kind, namespace, name } as never, specContext().context);
      };
      const { contents } = (await read('component', 'default', 'ticket-desk')) as { contents: { text: string }[] };
      expect(JSON.parse(contents[0]!.text)).toMatchObject({ kind: 'Component', metadata: { name: 'ticket-desk' } });
      await expect(read('component', 'default', 'nobody')).rejects.toMatchObject({
        code: 'not_found',
        retryable: false,
      });
      await expect(read('component', '..', 'x')).rejects.toMatchObject({ code: 'invalid_arguments' });
      await expect(read('component', 'default', '../../by-query')).rejects.toMatchObject({ code: 'not_found' });
    });

    it('give their output as it is, whatever it looks like', async () => {
      await open();
      const output = { content: 'velvet' };
      expect(await run('stagecraft.curtain', {})).toEqual({
        content: [{ type: 'text', text: JSON.stringify(output) }],
        structuredContent: output,
      });
      expect(await run('stagecraft.bow', {})).toEqual({ content: [] });
    });

    it('get secrets from the adapter file, where they want some', async () => {
      await open({ actions: { 'stagecraft:safe': { secrets: { combination: '${BACKSTAGE_TOKEN}' } } } });
      const { structuredContent } = (await run('stagecraft.safe', {})) as { structuredContent: { opened: string } };
      expect(structuredContent.opened).toMatch(/^[0-9a-f]{64}$/);
    });

    it('are called with the token of the caller where there is one, and as a service otherwise', async () => {
      const tokens: Record<string, string> = { 'user:default/ada': await spec.signIn('ada') };
      const backstageTokens = () => ({
        tokenFor: (caller?: { userId: string }) => Promise.resolve(tokens[caller?.userId ?? ''] ?? SERVICE_TOKEN),
      });
      await open({}, { backstageTokens });
      expect(await run('stagecraft.who-am-i', {}, { userId: 'user:default/ada' })).toMatchObject({
        structuredContent: { type: 'user', name: 'user:default/ada' },
      });
      expect(await run('stagecraft.who-am-i', {}, { userId: 'machine' })).toMatchObject({
        structuredContent: { type: 'service', name: 'callboard-action-runner' },
      });
    });

    it('are called with the token that the front end has of the caller, never with another in its place', async () => {
      const ada = await spec.signIn('ada');
      let lent: string | undefined = ada;
      const backstageTokens = (site: BackstageSite, service: ServiceToken) =>
        new CallersToken(site, service, () => Promise.resolve(lent));
      const who = (more: object) => run('stagecraft.who-am-i', {}, more);
      const asUser = { userId: 'user:default/ada', command: { caller_token: true } } as object;
      await open({}, { backstageTokens });
      expect(await who(asUser)).toMatchObject({ structuredContent: { type: 'user', name: 'user:default/ada' } });
      expect(await who({ userId: 'machine' })).toMatchObject({ structuredContent: { type: 'service' } });
      // The front end has died, or the token has run out.
      lent = undefined;
      await expect(who(asUser)).rejects.toMatchObject({ code: 'unauthorized', retryable: false });
      // A token that another Backstage has made.
      const [header, , signature] = ada.split('.');
      const claims = Buffer.from(JSON.stringify({ iss: 'https://elsewhere.example/api/auth' })).toString('base64url');
      lent = [header, claims, signature].join('.');
      expect(await who(asUser)).toMatchObject({ structuredContent: { type: 'service' } });

      await open({ caller_tokens: 'required' }, { backstageTokens });
      await expect(who({ userId: 'machine' })).rejects.toMatchObject({ code: 'unauthorized' });
      await expect(who(asUser)).rejects.toMatchObject({ code: 'unauthorized' });
      lent = ada;
      expect(await who(asUser)).toMatchObject({ structuredContent: { type: 'user' } });

      // The service's own is read for each attempt where it lies in a file.
      const tokenFile = `${await spec.adapterFile()}.token`;
      await writeFile(tokenFile, SERVICE_TOKEN);
      await open({ caller_tokens: 'off', token: `\${file:${tokenFile}}` }, { backstageTokens });
      expect(await who(asUser)).toMatchObject({ structuredContent: { type: 'service' } });
      await writeFile(tokenFile, 'no-token-of-theirs');
      await expect(who(asUser)).rejects.toMatchObject({ code: 'unauthorized' });
    });

    it('that are hidden from a caller are not found by that caller, and stay for the others', async () => {
      const ada = await spec.signIn('ada');
      const tokenFor = (caller?: { userId: string }) =>
        Promise.resolve(caller?.userId === 'user:default/ada' ? ada : SERVICE_TOKEN);
      await open({}, { backstageTokens: () => ({ tokenFor }) });
      const hidden = run('stagecraft.trapdoor', {}, { userId: 'user:default/ada' });
      await expect(hidden).rejects.toMatchObject({ code: 'not_found', retryable: false });
      // A 404 makes the adapter look again.
      const looks = async () =>
        Number(
          /listings_total\{backstage="spec",plugin="stagecraft",result="made"\} (\d+)/.exec(
            await metrics.metrics(),
          )![1],
        );
      const before = await looks();
      await waitFor(async () => (await looks()) > before, { what: 'another look' });
      expect(await run('stagecraft.trapdoor', {}, { userId: 'machine' })).toMatchObject({ structuredContent: {} });
    });

    it('wait for a token that cannot be had now, and say nothing of why', async () => {
      const tokenFor = (caller?: unknown) =>
        caller ? Promise.reject(new Error(`no exchange for ${SERVICE_TOKEN}`)) : Promise.resolve(SERVICE_TOKEN);
      await open({}, { backstageTokens: () => ({ tokenFor }) });
      const failed = run('stagecraft.strike', { what: 'never' });
      await expect(failed).rejects.toMatchObject({
        message: 'There is no token for Backstage spec now',
        retryable: true,
      });
      await failed.catch((error: Error) =>
        expect(JSON.stringify([error, String(error.cause)])).not.toContain(SERVICE_TOKEN),
      );
      expect(spec.effects()).not.toContain('strike never');
    });
  });

  describe('that fail', () => {
    const answers = async (name: string, args: object, attempt = 1) =>
      run(name, args, { attempt }).then(
        () => undefined,
        ({ code, message, retryable }: { code: string; message: string; retryable: boolean }) => ({
          code,
          message,
          retryable,
        }),
      );

    it.each([
      ['InputError', 'invalid_arguments'],
      ['AuthenticationError', 'unauthorized'],
      ['NotAllowedError', 'forbidden'],
      ['NotFoundError', 'not_found'],
      ['ConflictError', 'conflict'],
      ['NotImplementedError', 'action_failed'],
    ])('with %s end as %s, with its message, and are not tried again', async (error, code) => {
      await open();
      const message = `of the house\n    at Object.<anonymous> (/srv/secret.js:1:1)`;
      const ending = { code, message: 'Backstage spec: of the house', retryable: false };
      expect(await answers('stagecraft.fail', { error, message })).toEqual(ending);
      expect(await answers('stagecraft.fail-reading', { error, message })).toEqual(ending);
    });

    it('because Backstage is not ready are tried again, whatever they do', async () => {
      await open();
      const args = { error: 'ServiceUnavailableError', message: 'The house is closed' };
      const ending = { code: 'action_failed', message: 'Backstage spec: The house is closed', retryable: true };
      expect(await answers('stagecraft.fail', args)).toEqual(ending);
      expect(await answers('stagecraft.fail-reading', args)).toEqual(ending);
    });

    it('for no reason that is told are tried again a few times where that is harmless, and are in doubt otherwise', async () => {
      await open();
      const args = { error: 'Error', message: `SELECT ${SERVICE_TOKEN}` };
      const message = 'Backstage spec answered 500';
      expect(await answers('stagecraft.fail', args)).toEqual({ code: 'in_doubt', message, retryable: false });
      expect(await answers('stagecraft.fail-reading', args, 4)).toEqual({
        code: 'action_failed',
        message,
        retryable: true,
      });
      expect(await answers('stagecraft.fail-reading', args, 5)).toEqual({
        code: 'action_failed',
        message,
        retryable: false,
      });
    });

    it('have their message bounded', async () => {
      await open();
      const ending = await answers('stagecraft.fail', { error: 'InputError', message: 'x'.repeat(50_000) });
      expect(ending!.message.length).toBeLessThan(1_100);
    });

    it('because of what they were given, or gave, end without another attempt', async () => {
      await open();
      expect(await answers('stagecraft.look', { what: 7 })).toEqual({
        code: 'invalid_arguments',
        message: 'Backstage spec: Invalid input to action "stagecraft:look"',
        retryable: false,
      });
      expect(await answers('stagecraft.look', { what: 'x'.repeat(200_000) })).toMatchObject({
        code: 'payload_too_large',
        retryable: false,
      });
      // It has acted: this is not the caller's mistake.
      expect(await answers('stagecraft.miscount', {})).toMatchObject({
        code: 'action_failed',
        message: 'Backstage spec: Invalid output from action "stagecraft:miscount"',
        retryable: false,
      });
    });

    it('because the token is none, or reaches another plug-in only, say so, and nothing is listed', async () => {
      await open();
      await open({ token: '${WRONG_TOKEN}' });
      expect(ids()).toContain('spec.stagecraft.strike');
      expect(await answers('stagecraft.strike', { what: 'no' })).toMatchObject({
        code: 'unauthorized',
        retryable: false,
      });
      kept = new Map();
      await open({ token: '${NARROW_TOKEN}' });
      expect(ids()).toEqual([]);
      expect(logged).toContainEqual({
        level: 'warn',
        fields: { backstage: 'spec', plugin: 'stagecraft', err: expect.objectContaining({ code: 'forbidden' }) },
        text: 'the actions of a Backstage cannot be listed; trying again',
      });
    });
  });

  describe('while Backstage changes', () => {
    it('follow it: they appear, vanish and take other arguments, without a restart', async () => {
      await open();
      expect(action('stagecraft.cue').descriptor.input_schema).toMatchObject({ required: ['number'] });
      await spec.configure({ edition: 2, exclude: ['stagecraft:light'] });
      await waitFor(() => !ids().includes('spec.stagecraft.light'), { what: 'the action gone' });
      expect(action('stagecraft.cue').descriptor.input_schema).toMatchObject({ required: ['number', 'side'] });
      await spec.configure();
      await waitFor(() => ids().includes('spec.stagecraft.light'), { what: 'the action back' });
      const told = logged
        .filter(({ text }) => text === 'the actions of a Backstage have changed')
        .map(({ fields }) => fields);
      expect(told).toContainEqual({
        backstage: 'spec',
        added: [],
        changed: ['spec.stagecraft.cue'],
        gone: ['spec.stagecraft.light'],
      });
    });

    it('stay while it is down, even for a runner that starts then, and a call has done nothing', async () => {
      await open();
      const before = ids();
      await spec.backstage.kill();
      await open();
      expect(ids().sort()).toEqual(before.sort());
      await expect(run('stagecraft.strike', { what: 'down' })).rejects.toMatchObject({
        message: 'Backstage spec cannot be reached',
        retryable: true,
      });
      kept = new Map();
      await open();
      expect(ids()).toEqual([]);
      await spec.backstage.start();
      await waitFor(() => ids().length === before.length, { what: 'the actions' });
      expect(spec.effects()).not.toContain('strike down');
    });

    it('are not there for a while as it starts, and a call then has done nothing and fails for nobody', async () => {
      await open();
      await spec.backstage.kill();
      const started = spec.backstage.start();
      const said = new Set<string>();
      const done = await waitFor(
        () =>
          run('stagecraft.look', { what: 'early' }).catch((error: { retryable: boolean; message: string }) => {
            said.add(`${error.message}: ${error.retryable ? 'again' : 'over'}`);
          }),
        { what: 'the action' },
      );
      await started;
      expect(done).toMatchObject({ structuredContent: { done: 'early' } });
      expect([...said].filter((text) => !text.endsWith(': again'))).toEqual([]);
    });

    it('that it ends in the middle of may be tried again where that is harmless, and are in doubt otherwise', async () => {
      await open();
      for (const [name, ending] of [
        ['look', { code: 'action_failed', retryable: true }],
        ['strike', { code: 'in_doubt', retryable: false }],
      ] as const) {
        const running = run(`stagecraft.${name}`, { what: 'cut', ms: 60_000 });
        running.catch(() => undefined);
        await waitFor(() => spec.effects().includes(`${name} cut`), { what: 'the action' });
        await spec.backstage.kill();
        await expect(running).rejects.toMatchObject({ name: 'ActionError', ...ending });
        await spec.backstage.start();
      }
    });

    it('wait as long as it says when it has had too many requests', async () => {
      await open();
      const rateLimit = { window: '1h', incomingRequestLimit: 30, ipAllowList: [] };
      await spec.backstage.kill();
      await spec.configure({ backend: { rateLimit } });
      await spec.backstage.start();
      const limited = await waitFor(
        () =>
          run('stagecraft.strike', { what: 'much' }).then(
            () => undefined,
            (error: { retryAfterMs?: number }) => error,
          ),
        { what: 'a refusal' },
      );
      expect(limited).toMatchObject({ retryable: true, message: 'Backstage spec answered 429' });
      expect(limited.retryAfterMs).toBeGreaterThan(3_000_000);
      await spec.backstage.kill();
      await spec.configure();
      await spec.backstage.start();
    });

    it('end at once when their command does', async () => {
      await open();
      const attempt = specContext();
      const running = action('stagecraft.strike').run({ what: 'abort', ms: 60_000 } as never, attempt.context);
      await waitFor(() => spec.effects().includes('strike abort'), { what: 'the action' });
      attempt.abort(new Error('cancelled'));
      await expect(running).rejects.toThrow('cancelled');
    });
  });
});
