/** What is run: sagas of five steps, some of which are to fail at one of them. */
import type { Random } from '../random.js';

export const STEPS = ['s1', 's2', 's3', 's4', 's5'] as const;
export const SAGA_ID = 'faults.saga';

export interface PlannedSaga {
  /** Also the key under which its effects are in the log. */
  name: string;
  /** Before this step it fails; 0: it succeeds. */
  failsAt: number;
  /** Attempts of the first step's neighbour that fail and are made again. */
  flaky: number;
}

export function planSagas(count: number, random: Random): PlannedSaga[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `saga-${i}`,
    failsAt: random.next() < 0.5 ? 0 : 1 + Math.floor(random.next() * STEPS.length),
    flaky: random.next() < 0.3 ? 1 + Math.floor(random.next() * 2) : 0,
  }));
}

/** Each step appends its name to the log, and `-<name>` when it is undone. */
export function definitionFile(): string {
  const steps = STEPS.flatMap((step, i) => [
    {
      name: `check_${step}`,
      when: `input.fails_at == ${i + 1}`,
      action: 'demo.fail',
      args: { id: `\${{ saga.id }}-${step}`, times: 100, retryable: false },
    },
    {
      name: step,
      action: 'demo.append',
      args: { key: '${{ input.name }}', value: step },
      compensation: { action: 'demo.append', args: { key: '${{ input.name }}', value: `-${step}` } },
    },
  ]);
  const flaky = {
    name: 'flaky',
    action: 'demo.fail',
    args: { id: '${{ saga.id }}', times: '${{ input.flaky }}', retryable: true },
  };
  const number = { type: 'integer' };
  // JSON is YAML.
  return JSON.stringify({
    id: SAGA_ID,
    version: 1,
    description: 'Five steps, for the fault test.',
    input: {
      type: 'object',
      properties: { name: { type: 'string' }, fails_at: number, flaky: number },
      required: ['name', 'fails_at', 'flaky'],
    },
    steps: [steps[0], steps[1], flaky, ...steps.slice(2)],
  });
}
