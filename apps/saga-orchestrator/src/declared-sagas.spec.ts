import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { readRawEvents, startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { audit, SpecCaller, SpecOrchestrator, SpecRunner, TENANT, action, definition, undoable } from './spec-sagas.js';

let nats: TestNats;
let runner: SpecRunner;
let caller: SpecCaller;
let orchestrators: SpecOrchestrator[];

beforeAll(async () => {
  nats = await startTestNats();
  runner = await SpecRunner.start(nats);
  caller = await SpecCaller.start(nats);
});
afterAll(async () => {
  caller.commands.close();
  await runner.stop();
  await nats.dispose();
});
beforeEach(() => {
  orchestrators = [];
  runner.ran.length = 0;
  audit.facts.length = 0;
  runner.acts = () => Promise.resolve();
});
afterEach(async () => {
  for (const each of orchestrators) await each.stop();
});

const run = async (...definitions: Parameters<typeof definition>) => {
  const orchestrator = await SpecOrchestrator.start(nats, [definition(...definitions)]);
  orchestrators.push(orchestrator);
  return orchestrator;
};
/** What was told of a saga, in its order: the types of its events, and what each says. */
const told = async (sagaId: string) => {
  const nc = await nats.connect('pii-filter');
  const events = (await readRawEvents(nc)).filter(({ key }) => key === sagaId);
  await nc.close();
  return events.map(({ source, topic, data }) => {
    const { saga_id: id, ...more } = JSON.parse(Buffer.from(data).toString()) as { saga_id: string };
    return { source, topic, id, ...more };
  });
};
const steps = () => runner.ran.map(({ what }) => what);

describe('a declared saga', () => {
  it('runs its steps one after the other, and its call ends with its output', async () => {
    runner.acts = ({ method }) => Promise.resolve({ from: method });
    await run([undoable('dress'), undoable('light'), action('speak')], {
      output: { last: '${{ steps.speak.output.from }}' },
    });
    const { outcome, correlationId } = await caller.begin();
    expect(await outcome).toMatchObject({ status: 'succeeded', result: { structuredContent: { last: 'speak' } } });
    expect(steps()).toEqual(['dress', 'light', 'speak']);
    expect((await caller.journal.read(TENANT, correlationId)).state.phase).toBe('succeeded');
  });

  it('undoes what it had done, the last first, when a step fails', async () => {
    runner.acts = ({ method }) => (method === 'speak' ? Promise.reject(new Error('hoarse')) : Promise.resolve());
    await run([undoable('dress'), undoable('light'), action('speak')]);
    const { outcome } = await caller.begin();
    expect(await outcome).toMatchObject({ status: 'failed', error: { code: 'saga_compensated' } });
    expect(audit.told.filter((told) => told.startsWith('saga'))).toEqual(['saga started', 'saga compensated']);
    expect(steps()).toEqual(['dress', 'light', 'speak', 'unlight', 'undress']);
  });

  it('is aborted when its call is cancelled', async () => {
    runner.acts = ({ method }) => (method === 'light' ? new Promise(() => undefined) : Promise.resolve());
    await run([undoable('dress'), undoable('light'), action('speak')]);
    const { outcome, command, correlationId } = await caller.begin();
    await waitFor(() => steps().includes('light'), { what: 'the second step' });
    await caller.commands.cancel(command);
    expect(await outcome).toMatchObject({ status: 'cancelled' });
    await caller.until(correlationId, 'a saga that is undone', ({ state }) => state.phase === 'compensated');
    expect(steps()).toEqual(['dress', 'light', 'unlight', 'undress']);
  });

  it('that is not defined here ends as unknown', async () => {
    await run([action('dress')]);
    const { outcome } = await caller.begin({}, { method: 'other' });
    expect(await outcome).toMatchObject({ status: 'failed', error: { code: 'unknown_action' } });
  });
});

describe('an orchestrator that dies', () => {
  it('leaves its sagas to the next, and none of their steps is run twice', async () => {
    let go: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (go = resolve));
    runner.acts = async ({ method }) => void (method === 'light' && (await held));
    const first = await SpecOrchestrator.start(nats, [
      definition([undoable('dress'), undoable('light'), action('speak')]),
    ]);
    const begun = await Promise.all(Array.from({ length: 20 }, () => caller.begin()));
    await waitFor(() => steps().filter((step) => step === 'light').length === 20, { what: 'twenty second steps' });
    await first.die();
    go();
    await run([undoable('dress'), undoable('light'), action('speak')]);
    const outcomes = await Promise.all(begun.map(({ outcome }) => outcome));
    expect(outcomes.map(({ status }) => status)).toEqual(Array(20).fill('succeeded'));
    expect(runner.ran).toHaveLength(60);
  });

  it('before its saga began leaves that to the next', async () => {
    const { outcome } = await caller.begin();
    await run([action('dress')]);
    expect((await outcome).status).toBe('succeeded');
  });
});

describe('a saga that cannot be undone', () => {
  it('is halted until an operator decides', async () => {
    let broken = true;
    runner.acts = ({ method }) =>
      method === 'speak' || (method === 'undress' && broken) ? Promise.reject(new Error('no')) : Promise.resolve();
    await run([undoable('dress'), action('speak')]);
    const { outcome, correlationId } = await caller.begin();
    await caller.until(correlationId, 'a halted saga', ({ state }) => state.phase === 'halted');
    broken = false;
    const at = new Date().toISOString();
    await caller.journal.tell(TENANT, correlationId, () => [{ kind: 'operator', verb: 'retry', at, by: 'sre' }], 5_000);
    expect(await outcome).toMatchObject({ error: { code: 'saga_compensated' } });
  });
});

describe('the events of a saga', () => {
  const named = { source: 'callboard', definition: 'stage.play', version: 1 };

  it('tell that it began and how it ended, before its caller hears, and nothing of what is in it', async () => {
    runner.acts = ({ method }) => (method === 'speak' ? Promise.reject(new Error('hoarse')) : Promise.resolve());
    await run([undoable('dress'), action('speak')]);
    const { outcome, correlationId: id } = await caller.begin({ secret: 'of nobody' });
    await outcome;
    expect(await told(id)).toEqual([
      { ...named, topic: 'saga.started', id },
      { ...named, topic: 'saga.ended', id, ending: 'compensated' },
    ]);
  });

  it('are told once, whoever takes it over, also that it is halted', async () => {
    runner.acts = ({ method }) => (method === 'light' ? Promise.resolve() : Promise.reject(new Error('no')));
    const stage = [undoable('light'), action('speak')];
    const first = await SpecOrchestrator.start(nats, [definition(stage)]);
    const { correlationId: id } = await caller.begin();
    await caller.until(id, 'a halted saga', ({ state }) => state.phase === 'halted');
    await first.die();
    await run(stage);
    await waitFor(() => orchestrators[0]!.is.halted === 1, { what: 'the saga at the next owner' });
    const halted = { ...named, topic: 'saga.halted', id, step: 'light', code: 'action_failed' };
    await waitFor(async () => (await told(id)).length === 2, { what: 'both events' });
    expect(await told(id)).toEqual([{ ...named, topic: 'saga.started', id }, halted]);
  });
});
