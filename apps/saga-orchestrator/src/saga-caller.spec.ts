import { describe, expect, it } from '@jest/globals';
import { ENVELOPE_VERSION, type CommandEnvelope, type Progress } from '@callboard/envelope';
import { initialState, type SagaFact, type SagaState } from '@callboard/saga';
import { SagaCaller, type CallerChannels } from './saga-caller.js';

const COMMAND: CommandEnvelope = {
  envelope_version: ENVELOPE_VERSION,
  correlation_id: 'saga-1',
  tenant_id: 'default',
  user_id: 'user:default/jane',
  tool: 'stage',
  method: 'open',
  args: {},
  ordering_key: 'saga-1',
  deadline_ms: 60_000,
  priority: 'normal',
  accept_partials: false,
  accept_async: false,
  issued_at: '2026-01-01T00:00:00.000Z',
  deadline_at: '2026-01-01T00:01:00.000Z',
};

describe('a caller of a saga that runs for longer than a moment', () => {
  it('that does not want to hear is not told of what ends it: its outcome says so', async () => {
    expect(await told({ accept_partials: false })).toEqual(['light: succeeded']);
  });

  it('that wants to hear is told of every step', async () => {
    expect(await told({ accept_partials: true })).toEqual(['light: succeeded', 'speak: succeeded']);
  });
});

async function told(wants: Pick<CommandEnvelope, 'accept_partials'>): Promise<string[]> {
  const said: string[] = [];
  const channels = {
    commands: {
      watch: () => ({ outcome: new Promise(() => undefined), release: () => undefined }),
      outcomes: { publish: () => Promise.resolve('written') },
    },
    progress: { publish: (_: CommandEnvelope, { message }: Progress & { message: string }) => void said.push(message) },
  } as unknown as CallerChannels;
  const caller = new SagaCaller({ ...COMMAND, ...wants }, channels, true, () => undefined);
  const running: SagaState = { ...initialState(), phase: 'running', started_at: COMMAND.issued_at };
  const ended: SagaState = { ...running, phase: 'succeeded' };
  caller.tell([succeeded('light')], running);
  caller.tell([succeeded('speak')], ended);
  await caller.end(ended);
  return said;
}

function succeeded(step: string): SagaFact {
  return { fact: 'step_ended', step, status: 'succeeded' } as SagaFact;
}
