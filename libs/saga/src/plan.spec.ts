import { describe, expect, it } from '@jest/globals';
import {
  decide,
  evolveAll,
  initialState,
  outstanding,
  plan,
  readDefinitions,
  sagaMermaid,
  sagaText,
  type SagaInput,
} from './index.js';

const { definitions, problems } = readDefinitions([
  {
    path: 'create.yaml',
    text: `id: services.create
version: 2
description: Creates a service.
input: { type: object, properties: { name: { type: string }, public: { type: boolean } } }
steps:
  - name: repository
    action: git.create
    args: { name: "\${{ input.name }}" }
    compensation: { action: git.delete, args: { id: "\${{ output.id }}" } }
  - parallel:
      - { name: register, action: catalog.register, args: { of: "\${{ steps.repository.output.id }}" } }
      - { name: site, action: dns.add, when: input.public, compensation: { action: dns.remove } }
  - { name: agree, approval: "Enable \${{ input.name }}?", approvers: [sre] }
  - { name: rest, saga: services.enable, input: { id: "\${{ steps.repository.output.id }}" } }
output: { id: "\${{ steps.repository.output.id }}" }
`,
  },
  {
    path: 'enable.yaml',
    text: `id: services.enable
version: 1
description: Enables a service.
input: { type: object, properties: { id: { type: string } } }
steps:
  - { name: flag, action: flags.set, args: { id: "\${{ input.id }}" } }
`,
  },
]);
const definition = definitions.get('services.create')!;
const outputs = { repository: { id: 'r1' } };

describe('a plan', () => {
  it('says which steps would run, in which order, with which arguments', () => {
    expect(problems).toEqual([]);
    expect(plan(definition, { name: 'web', public: false }, { outputs })).toEqual({
      steps: [
        { do: 'act', step: 'repository', action: 'git.create', args: { name: 'web' }, ordering_key: 'dry-run' },
        {
          do: 'act',
          step: 'register',
          action: 'catalog.register',
          args: { of: 'r1' },
          ordering_key: 'dry-run/register',
        },
        { do: 'skip', step: 'site' },
        { do: 'ask', step: 'agree', prompt: 'Enable web?', approvers: ['sre'] },
        { do: 'act', step: 'rest/flag', action: 'flags.set', args: { id: 'r1' }, ordering_key: 'dry-run' },
      ],
      end: 'succeeded',
      output: { id: 'r1' },
    });
  });

  it('says what would be undone, and with which arguments, if a step failed', () => {
    const { steps, end, reason } = plan(definition, { name: 'web', public: true }, { outputs, failing: 'rest/flag' });
    expect(end).toBe('compensated');
    expect(reason).toMatchObject({ kind: 'step_failed', step: 'rest/flag' });
    expect(steps.slice(-2)).toEqual([
      { do: 'undo', step: 'site', action: 'dns.remove', args: {}, ordering_key: 'dry-run/site' },
      { do: 'undo', step: 'repository', action: 'git.delete', args: { id: 'r1' }, ordering_key: 'dry-run' },
    ]);
  });

  it('shows where an expression would not fit what steps return', () => {
    const { end, steps } = plan(definition, { name: 'web', public: true }, { outputs: {} });
    expect(end).toBe('halted');
    expect(steps.at(-1)).toMatchObject({ do: 'fail', step: 'repository', error: { code: 'expression_failed' } });
  });
});

describe('a graph', () => {
  it('of a definition has every step with what it does, what undoes it and when', () => {
    expect(sagaText(definition)).toBe(`services.create version 2
1. repository: git.create, undone by git.delete
2. side by side
   branch 1
     1. register: catalog.register
   branch 2
     1. site: dns.add, undone by dns.remove, when input.public
3. agree: approval by sre
4. rest: saga services.enable
   1. flag: flags.set`);
    expect(sagaMermaid(definition)).toBe(`flowchart TD
  start((start))
  s_repository["repository: git.create, undone by git.delete"]
  start --> s_repository
  s_register["register: catalog.register"]
  s_repository --> s_register
  s_site["site: dns.add, undone by dns.remove, when input.public"]
  s_repository --> s_site
  s_agree{{"agree: approval by sre"}}
  s_register --> s_agree
  s_site --> s_agree
  subgraph s_rest ["rest: saga services.enable"]
    s_rest__flag["flag: flags.set"]
    s_agree --> s_rest__flag
  end
  done((done))
  s_rest__flag --> done
`);
  });

  it('of a running saga shows how far it has come', () => {
    const at = '2026-01-01T00:00:00.000Z';
    let state = initialState();
    const tell = (input: SagaInput) => (state = evolveAll(state, decide(state, input)));
    tell({
      kind: 'start',
      at,
      saga_id: 's',
      tenant_id: 't',
      user_id: 'u',
      definition,
      input: { name: 'w', public: true },
    });
    const [first] = outstanding(state);
    if (first?.kind !== 'command') throw new Error('nothing is out');
    tell({
      kind: 'outcome',
      at,
      correlation_id: first.correlation_id,
      status: 'succeeded',
      result: { structuredContent: { id: 'r' } },
    });
    expect(sagaText(definition, state).split('\n').slice(0, 5)).toEqual([
      'services.create version 2: running',
      '1. repository: git.create, undone by git.delete [succeeded]',
      '2. side by side',
      '   branch 1',
      '     1. register: catalog.register [running]',
    ]);
    expect(sagaMermaid(definition, state)).toContain('undone by git.delete [succeeded]"]:::succeeded');
    expect(sagaMermaid(definition, state)).toContain('[running]"]:::running');
  });
});
