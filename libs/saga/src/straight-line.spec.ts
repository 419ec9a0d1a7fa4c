import { describe, expect, it } from '@jest/globals';
import type { ActionStep, SagaDefinition } from './definition.js';
import {
  COMPENSATION_RETRY,
  decide,
  evolveAll,
  initialState,
  outstanding,
  type SagaFact,
  type SagaInput,
} from './index.js';

const AT = '2026-01-01T00:00:00.000Z';

const step = (name: string, args: unknown): ActionStep => ({
  kind: 'action',
  name,
  action: `demo.${name}`,
  args,
  compensation: {
    action: `demo.un${name}`,
    args: { id: '${{ output.id }}' },
    retry: COMPENSATION_RETRY,
    in_doubt: 'undo',
  },
});

const definition: SagaDefinition = {
  definition_version: '1.0',
  id: 'demo.saga',
  version: 1,
  description: 'Two steps.',
  input_schema: { type: 'object' },
  deadline_ms: 60_000,
  steps: [step('make', { name: '${{ input.name }}' }), step('use', { id: '${{ steps.make.output.id }}' })],
  output: { id: '${{ steps.make.output.id }}' },
};

/** Tells a saga one thing after the other. `next` sees the commands that are out. */
function play(...inputs: ((commands: string[]) => SagaInput)[]) {
  const facts: SagaFact[] = [];
  let state = initialState();
  for (const input of inputs) {
    const commands = outstanding(state).flatMap((effect) => (effect.kind === 'command' ? [effect.correlation_id] : []));
    const news = decide(state, input(commands));
    facts.push(...news);
    state = evolveAll(state, news);
  }
  return { facts, state, effects: outstanding(state) };
}

const start = (): SagaInput => ({
  kind: 'start',
  at: AT,
  saga_id: 'saga-1',
  tenant_id: 't',
  user_id: 'u',
  definition,
  input: { name: 'web' },
});
const ends =
  (status: 'succeeded' | 'failed', result = {}) =>
  ([correlation_id]: string[]): SagaInput => ({
    kind: 'outcome',
    at: AT,
    correlation_id: correlation_id!,
    status,
    result: { structuredContent: result },
  });

describe('a declared saga', () => {
  it('gives each step what earlier steps returned, and ends with its output', () => {
    const { effects } = play(start);
    expect(effects).toMatchObject([
      { kind: 'command', action: { tool: 'demo', method: 'make' }, args: { name: 'web' }, ordering_key: 'saga-1' },
      { kind: 'timer', id: 'deadline', due_at: '2026-01-01T00:01:00.000Z' },
    ]);

    const second = play(start, ends('succeeded', { id: 7 }));
    expect(second.effects[0]).toMatchObject({ action: { method: 'use' }, args: { id: 7 } });

    const { state } = play(start, ends('succeeded', { id: 7 }), ends('succeeded', { id: 8 }));
    expect(state).toMatchObject({ phase: 'succeeded', output: { id: 7 } });
    expect(outstanding(state)).toEqual([]);
  });

  it('undoes what was done when a step fails', () => {
    const failing = play(start, ends('succeeded', { id: 7 }), ends('failed'));
    expect(failing.effects).toMatchObject([
      { kind: 'command', doing: 'undo', action: { tool: 'demo', method: 'unmake' }, args: { id: 7 } },
    ]);
    const { state, facts } = play(start, ends('succeeded', { id: 7 }), ends('failed'), ends('succeeded'));
    expect(state.phase).toBe('compensated');
    expect(facts.map(({ fact }) => fact)).toEqual([
      'saga_started',
      'step_started',
      'step_ended',
      'step_started',
      'step_ended',
      'compensation_started',
      'compensation_ended',
      'saga_ended',
    ]);
  });
});
