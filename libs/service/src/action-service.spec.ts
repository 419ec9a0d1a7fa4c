/** Both sides of the protocol of services: ours serves, the runner's sends, a real nats-server between them. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  ActionError,
  ActionSet,
  Catalog,
  defineAction,
  type ActionContext,
  type ActionDefinition,
} from '@callboard/actions';
import { NatsServices } from '@callboard/adapters';
import { CallboardError, type InputRequest, type JsonObject } from '@callboard/envelope';
import { BUCKET, KeyValueStore } from '@callboard/jetstream';
import { startTestNats, testCommand, waitFor, type TestNats } from '@callboard/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import { ActionService } from './action-service.js';

const SUBJECT = 'svc.notifications.spec';
const ASK: InputRequest = {
  method: 'elicitation/create',
  params: { message: 'Sure?', requestedSchema: { type: 'object' } },
};

let nats: TestNats;
let registry: KeyValueStore;
let catalog: Catalog;
let services: NatsServices;
let running: ActionService[] = [];
let handler: ActionDefinition['run'];
const faults: unknown[] = [];

const serve = async (place: string, nc?: NatsConnection) => {
  nc ??= await nats.connect('notifier');
  const action = defineAction({
    id: 'stage.cue',
    description: 'For specs.',
    input: z.object({ n: z.number().optional() }),
    attributes: { idempotent: true },
    run: (args, context) => handler(args, context),
  });
  const bound = {
    ...action,
    descriptor: { ...action.descriptor, binding: { kind: 'nats', subject: SUBJECT } as const },
  };
  const service = await ActionService.start(nc, await KeyValueStore.open(nc, BUCKET.actions), {
    service: 'notifier',
    place,
    actions: new ActionSet([bound]),
    subject: SUBJECT,
    maxCommands: 2,
    onError: (error) => faults.push(error),
  });
  running.push(service);
  return service;
};

interface Sent {
  result: Promise<unknown>;
  abort(reason: unknown): void;
}

/** As a runner does, with a caller that answers what it is asked. */
const send = (answers: Record<string, JsonObject> = {}, correlationId = 'c_spec'): Sent => {
  const found = services.find('stage.cue');
  if (found?.kind !== 'here') throw new Error('the action is not announced');
  const stop = new AbortController();
  const command = {
    ...testCommand('key', {}, { tool: 'stage', method: 'cue', correlation_id: correlationId }),
    input_capabilities: ['elicitation'],
  };
  const context = {
    command,
    correlationId,
    idempotencyKey: correlationId,
    attempt: 1,
    fence: 1,
    signal: stop.signal,
    progress: () => undefined,
    ask: (requests: Record<string, InputRequest>) =>
      Promise.resolve(Object.fromEntries(Object.keys(requests).map((key) => [key, answers[key]!]))),
  } as unknown as ActionContext;
  const result = Promise.resolve(found.action.run({}, context));
  result.catch(() => undefined);
  return { result, abort: (reason) => stop.abort(reason) };
};
const instances = () => catalog.announcers('stage.cue');

beforeAll(async () => {
  nats = await startTestNats();
  const nc = await nats.connect('action-runner');
  registry = await KeyValueStore.open(nc, BUCKET.actions);
  catalog = new Catalog(registry, (error) => faults.push(error));
  services = new NatsServices(nc, catalog);
  await catalog.start();
});
beforeEach(async () => {
  await Promise.all(running.map((service) => service.drain(0)));
  running = [];
  faults.length = 0;
  await waitFor(() => instances().size === 0, { what: 'nobody announces' });
});
afterAll(async () => {
  await Promise.all(running.map((service) => service.drain(0)));
  services?.close();
  catalog?.stop();
  await nats?.dispose();
});

const untilAnnounced = (count: number) => waitFor(() => instances().size === count, { what: `${count} instances` });

describe('a service of ours', () => {
  it('asks the caller and is called again with the answers, all of them so far', async () => {
    const rounds: string[][] = [];
    handler = async (_, context) => {
      rounds.push([]);
      for (const key of ['first', 'second']) {
        const answer = await context.ask({ [key]: ASK });
        rounds.at(-1)!.push(`${key} ${String(answer[key]!['action'])}`);
      }
      return { done: true };
    };
    await serve('one');
    await untilAnnounced(1);
    const { result } = send({ first: { action: 'accept' }, second: { action: 'decline' } });
    expect(await result).toEqual({ done: true });
    expect(rounds).toEqual([[], ['first accept'], ['first accept', 'second decline']]);
  });

  it('that asks without end is stopped', async () => {
    let n = 0;
    handler = async (_, context) => String(await context.ask({ [`q${n++}`]: ASK }));
    await serve('one');
    await untilAnnounced(1);
    await expect(send({}).result).rejects.toThrow('it asked more than 16 times');
  });

  it('says when to come again, and that it will not be tried again here', async () => {
    handler = () => {
      throw new ActionError('Full', { code: 'rate_limited', retryable: true, retryAfterMs: 1_500, final: true });
    };
    await serve('one');
    await untilAnnounced(1);
    const full = { code: 'rate_limited', message: 'Full', retryable: true, retryAfterMs: 1_500, final: true };
    await expect(send().result).rejects.toMatchObject(full);
  });

  it('is told that nobody wants it any more, and why', async () => {
    let reason: unknown;
    handler = (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reason = signal.reason;
          reject(signal.reason as Error);
        });
      });
    const service = await serve('one');
    await untilAnnounced(1);
    const sent = send();
    await waitFor(() => service.running === 1, { what: 'it runs' });
    sent.abort(new CallboardError('cancelled'));
    await sent.result.catch(() => undefined);
    await waitFor(() => service.running === 0, { what: 'it has stopped' });
    expect(reason).toMatchObject({ code: 'cancelled' });
  });

  it('runs one attempt of a command at a time: a later one stops the one before', async () => {
    let now = 0;
    let most = 0;
    const stopped: boolean[] = [];
    handler = async (_, { signal }) => {
      most = Math.max(most, ++now);
      if (stopped.length === 0) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      stopped.push(signal.aborted);
      now -= 1;
      return 'done';
    };
    const service = await serve('one');
    await untilAnnounced(1);
    send();
    await waitFor(() => service.running === 1, { what: 'the first runs' });
    expect(await send().result).toBe('done');
    expect({ stopped, most }).toEqual({ stopped: [true, false], most: 1 });
  });

  it('that takes the place of a dead one says so, and what the dead one had is tried again at once', async () => {
    handler = (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('late')));
    const connection = await nats.connect('notifier');
    const first = await serve('stage-1', connection);
    await untilAnnounced(1);
    const [dead] = instances();
    const sent = send();
    await waitFor(() => first.running === 1, { what: 'it runs' });
    // What is left of a killed process is its last heartbeat.
    await connection.close();
    running = [];
    await serve('stage-10');
    expect(catalog.isAlive(dead!)).toBe(true);
    await serve('stage-1');
    await expect(sent.result).rejects.toMatchObject({ retryable: true });
    expect(catalog.isAlive(dead!)).toBe(false);
    await untilAnnounced(2);
    await expect(first.drain(0)).rejects.toThrow();
  });

  it('with too much to do says so, and is asked again', async () => {
    handler = (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('late')));
    const service = await serve('one');
    await untilAnnounced(1);
    send({}, 'c_a');
    send({}, 'c_b');
    await waitFor(() => service.running === 2, { what: 'two run' });
    await expect(send({}, 'c_c').result).rejects.toMatchObject({ code: 'overloaded', retryable: true });
  });
});
