import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { ActionSet } from './action-set.js';
import { ActionError, defineAction, definePrompt, defineResource, inputRequired } from './define-action.js';
import type { ActionContext } from './define-action.js';

const context = {} as ActionContext;
const minimal = { id: 'git.clone', description: 'Clones', input: z.object({ url: z.string() }), run: () => 'done' };

describe('an action', () => {
  it('that says nothing about itself is taken for the most dangerous kind', () => {
    expect(defineAction(minimal).descriptor).toEqual({
      id: 'git.clone',
      description: 'Clones',
      input_schema: {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'object',
        properties: { url: { type: 'string' } },
        required: ['url'],
      },
      attributes: { read_only: false, destructive: true, idempotent: false, open_world: true },
      deadline_ms: 60_000,
      retry: { max_attempts: 1, backoff_ms: 200, max_backoff_ms: 30_000 },
      ordering: 'principal',
      surface: { kind: 'tool' },
    });
  });

  it('that only reads is retried, not ordered, and not destructive', () => {
    const { attributes, retry, ordering } = defineAction({ ...minimal, attributes: { read_only: true } }).descriptor;
    expect(attributes).toEqual({ read_only: true, destructive: false, idempotent: true, open_world: true });
    expect(retry.max_attempts).toBe(5);
    expect(ordering).toBe('none');
  });

  it('that is idempotent is retried and stays ordered', () => {
    const { retry, ordering } = defineAction({ ...minimal, attributes: { idempotent: true } }).descriptor;
    expect(retry.max_attempts).toBe(5);
    expect(ordering).toBe('principal');
  });

  it('keeps what its author decided', () => {
    const { descriptor, secrets } = defineAction({
      ...minimal,
      title: 'Clone',
      deadlineMs: 5,
      retry: { max_attempts: 2 },
      ordering: { argument: 'url' },
      compensation: 'git.remove',
      requiresInput: ['elicitation'],
      longRunning: true,
      output: { type: 'object' },
      secrets: { token: 'vault:team/ci#token' },
    });
    // Where secrets are is nobody's business who reads the registry.
    expect(JSON.stringify(descriptor)).not.toContain('vault');
    expect(secrets).toEqual({ token: 'vault:team/ci#token' });
    expect(descriptor).toMatchObject({
      title: 'Clone',
      deadline_ms: 5,
      retry: { max_attempts: 2, backoff_ms: 200 },
      ordering: { argument: 'url' },
      compensation: 'git.remove',
      requires_input: ['elicitation'],
      long_running: true,
      output_schema: { type: 'object' },
    });
  });

  it.each([
    [{ id: '' }, 'id must be'],
    [{ id: 'a b' }, 'id must be'],
    [{ id: 'x'.repeat(65) }, 'id must be'],
    [{ id: '.clone' }, 'no part of an id is empty'],
    [{ id: 'git.' }, 'no part of an id is empty'],
    [{ id: 'events.poll' }, 'ids that begin with callboard. or events. are reserved'],
    [{ id: 'callboard' }, 'are reserved'],
    [{ deadlineMs: 0 }, 'deadlineMs must be a whole number from 1 to 43200000'],
    [{ deadlineMs: 1.5 }, 'deadlineMs must be'],
    [{ deadlineMs: 43_200_001 }, 'deadlineMs must be'],
    [{ retry: { max_attempts: 0 } }, 'retry.max_attempts must be a whole number, at least 1'],
    [{ retry: { max_attempts: Infinity } }, 'retry.max_attempts'],
    [{ retry: { backoff_ms: -1 } }, 'retry.backoff_ms'],
    [{ retry: { max_backoff_ms: NaN } }, 'retry.max_backoff_ms'],
    [{ input: { type: 'array' } }, 'input must be the schema of an object'],
    [{ input: { type: 'object', properties: { a: { type: 'txt' } } } }, 'input is no JSON Schema'],
    [{ input: { type: 'object', $ref: '#/$defs/missing' } }, 'input is no JSON Schema'],
    [{ output: { type: 'objekt' } }, 'output is no JSON Schema'],
    [{ secrets: { 'a b': 'env:A' } as const }, 'a name in secrets must be 1 to 64 letters'],
    [{ secrets: { token: 'hunter2' as 'env:' } }, 'secrets.token must be env:NAME, file:PATH or vault:PATH#KEY'],
    [{ secrets: { token: 'env:' } as const }, 'secrets.token must be env:NAME'],
    [{ secrets: { token: 'vault:team/ci' } as const }, 'secrets.token must be vault:PATH#KEY'],
  ])('that cannot work is refused when it is defined: %j', (wrong, reason) => {
    const define = () => defineAction({ ...minimal, ...wrong });
    expect(define).toThrow(TypeError);
    expect(define).toThrow(reason);
    expect(define).toThrow((wrong as { id?: string }).id ?? 'git.clone');
  });

  it('gets its arguments with the defaults and transforms of its zod schema', async () => {
    const action = defineAction({
      ...minimal,
      input: z.object({ text: z.string().transform((text) => text.length), times: z.number().default(2) }),
      run: ({ text, times }) => `${text}x${times}`,
    });
    expect(await action.run({ text: 'four' }, context)).toBe('4x2');
  });

  it('is not run, and not retried, with what its zod schema refuses; the refusal does not repeat the value', async () => {
    const input = z.object({ text: z.string().refine((text) => text !== 'hunter2', 'hunter2 is taken') });
    const action = defineAction({ ...minimal, input });
    const refused = (async () => action.run({ text: 'hunter2' }, context))();
    await expect(refused).rejects.toMatchObject({ name: 'ActionError', code: 'invalid_arguments', retryable: false });
    await expect(refused).rejects.not.toThrow('hunter2');
  });

  it('may fail on purpose, and is then not tried again unless it says so', () => {
    expect(new ActionError('no')).toMatchObject({ code: 'action_failed', retryable: false, message: 'no' });
    expect(new ActionError('later', { code: 'busy', retryable: true })).toMatchObject({
      code: 'busy',
      retryable: true,
    });
  });

  it('may ask its caller', () => {
    expect(inputRequired({ requestState: 's' })).toEqual({ resultType: 'input_required', requestState: 's' });
  });
});

describe('a resource and a prompt', () => {
  it('are read-only actions with an id of their own', () => {
    const run = () => ({});
    const fixed = defineResource({
      name: 'readme',
      uri: 'file:///readme',
      mimeType: 'text/plain',
      description: '',
      run,
    });
    expect(fixed.descriptor).toMatchObject({
      id: 'resource.readme',
      attributes: { read_only: true },
      surface: { kind: 'resource', uri: 'file:///readme', name: 'readme', mime_type: 'text/plain' },
    });
    const template = defineResource({ name: 'file', uri: 'file:///{path}', description: '', run });
    expect(template.descriptor.surface).toEqual({
      kind: 'resource_template',
      uri_template: 'file:///{path}',
      name: 'file',
    });
    const args = [{ name: 'topic', required: true }, { name: 'tone' }];
    const prompt = definePrompt({ name: 'essay', description: '', arguments: args, run });
    expect(prompt.descriptor).toMatchObject({
      id: 'prompt.essay',
      attributes: { read_only: true },
      ordering: 'none',
      input_schema: { properties: { topic: { type: 'string' }, tone: { type: 'string' } }, required: ['topic'] },
      surface: { kind: 'prompt', name: 'essay', arguments: args },
    });
  });

  it.each(['', 'x'.repeat(65)])('are refused when no command could carry their name: %j', (name) => {
    const run = () => ({});
    expect(() => defineResource({ name, uri: 'x:y', description: '', run })).toThrow(TypeError);
    expect(() => definePrompt({ name, description: '', run })).toThrow(TypeError);
  });
});

describe('an action set', () => {
  const [one, two] = [defineAction(minimal), defineAction({ ...minimal, id: 'git.pull' })];

  it('serves each id once', () => {
    const set = new ActionSet([one, two]);
    expect([...set]).toEqual([one, two]);
    expect(set.get('git.pull')).toBe(two);
    expect(set.get('git.push')).toBeUndefined();
    expect(() => set.add(defineAction(minimal))).toThrow('action "git.clone" is defined twice');
    expect(() => new ActionSet([one, one])).toThrow(TypeError);
  });

  it('tells who listens of every change and of nothing else', () => {
    const set = new ActionSet([one]);
    let changes = 0;
    const stop = set.onChange(() => (changes += 1));
    set.add(two);
    expect(changes).toBe(1);
    expect(set.remove('git.push')).toBe(false);
    expect(() => set.add(two)).toThrow();
    expect(changes).toBe(1);
    expect(set.remove('git.pull')).toBe(true);
    expect(changes).toBe(2);
    stop();
    set.add(two);
    expect(changes).toBe(2);
  });

  it('that includes another does as that does, and keeps what it had itself', () => {
    const part = new ActionSet([two]);
    const set = new ActionSet([one]);
    const taken: string[] = [];
    set.include(part, (id) => taken.push(id));
    expect([...set]).toEqual([one, two]);

    const changed = defineAction({ ...minimal, id: 'git.pull', description: 'Pulls' });
    part.put(changed);
    expect(set.get('git.pull')).toBe(changed);
    part.remove('git.pull');
    expect([...set]).toEqual([one]);

    part.add(defineAction({ ...minimal, description: 'Another' }));
    part.add(two);
    expect(taken).toEqual(['git.clone']);
    expect([...set]).toEqual([one, two]);
    part.remove('git.clone');
    expect(set.get('git.clone')).toBe(one);
    expect(() => new ActionSet([two]).include(part, () => undefined)).toThrow('action "git.pull" is defined twice');
  });
});
