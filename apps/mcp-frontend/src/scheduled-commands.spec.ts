import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { defineAction, type ActionDescriptor, type Catalog, type RegisteredAction } from '@callboard/actions';
import { CallboardError, type CommandEnvelope, type ScheduledCommand } from '@callboard/envelope';
import {
  CommandClient,
  DeadLetterBox,
  STREAM,
  Schedules,
  type KeptLetter,
  type Submission,
} from '@callboard/jetstream';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import { ScheduledCommands, type ScheduledCommandsOptions } from './scheduled-commands.js';

let nats: TestNats;
let sreConnection: NatsConnection;
let sre: JetStreamManager;
let schedules: Schedules;
let box: DeadLetterBox;
let client: CommandClient;
const started: ScheduledCommands[] = [];

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 1 } });
  const operator = await nats.connect('operator');
  sreConnection = await nats.connect('sre');
  sre = await jetstreamManager(sreConnection);
  schedules = await Schedules.open(operator);
  box = await DeadLetterBox.open(operator);
  client = await CommandClient.start(await nats.connect('mcp-frontend'), { instance: 'front' });
});
afterEach(() => {
  for (const each of started.splice(0)) each.stop();
});
afterAll(async () => {
  client.close();
  await nats.dispose();
});

const append = defineAction({
  id: 'demo.append',
  description: 'Appends',
  input: z.object({ value: z.string() }),
  run: ({ value }) => value,
});

/** A catalog in which just these actions are registered. */
function catalogOf(...actions: { descriptor: ActionDescriptor }[]): Catalog {
  const registered = actions.map(({ descriptor }): [string, RegisteredAction] => [
    descriptor.id,
    { ...descriptor, service: 'spec', instances: 1 },
  ]);
  return { view: { actions: new Map(registered) } } as unknown as Catalog;
}

interface Replica extends Partial<ScheduledCommandsOptions> {
  catalog?: Catalog;
  commands?: Pick<CommandClient, 'submit'>;
}

async function start({ catalog = catalogOf(append), commands = client, ...options }: Replica = {}) {
  const nc = await nats.connect('mcp-frontend');
  const errors: unknown[] = [];
  const refused: string[] = [];
  started.push(
    await ScheduledCommands.start(nc, catalog, commands as CommandClient, {
      onError: (error) => errors.push(error),
      onRefused: ({ schedule, code }) => refused.push(`${schedule}: ${code}`),
      ...options,
    }),
  );
  return { errors, refused };
}

const scheduled = (value: unknown, more: Partial<ScheduledCommand> = {}): ScheduledCommand => ({
  tenant_id: 'acme',
  user_id: 'user:default/jane',
  tool: 'demo',
  method: 'append',
  args: { value },
  ordering_key: 'k',
  deadline_ms: 60_000,
  priority: 'low',
  ...more,
});
const now = () => ({ at: new Date() });

/** The commands that were stored with a value. */
async function storedWith(value: string): Promise<CommandEnvelope[]> {
  const found: CommandEnvelope[] = [];
  const { state } = await sre.streams.info(STREAM.commands);
  for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
    const envelope = (await sre.streams.getMessage(STREAM.commands, { seq }))?.json<CommandEnvelope>();
    if (envelope?.args['value'] === value) found.push(envelope);
  }
  return found;
}
const arrives = (value: string) => waitFor(async () => (await storedWith(value))[0], { what: `the command ${value}` });

async function lettersOf(schedule: string): Promise<KeptLetter[]> {
  const letters: KeptLetter[] = [];
  for await (const letter of box.find()) if (letter.subject.startsWith(`tick.acme.${schedule}.`)) letters.push(letter);
  return letters;
}
const letterOf = async (schedule: string) => (await lettersOf(schedule))[0];

/** As somebody does who has the stock CLI: whatever it holds. */
async function storeSchedule(name: string, content: string): Promise<void> {
  const header = headers();
  header.set('Nats-Schedule', `@at ${new Date().toISOString()}`);
  header.set('Nats-Schedule-Target', `tick.acme.${name}`);
  await sreConnection.request(`schedule.acme.${name}`, content, { headers: header, timeout: 2_000 });
}

const unacked = async () => {
  const { num_ack_pending, num_pending } = await sre.consumers.info(STREAM.schedules, 'ticks');
  return num_ack_pending + num_pending;
};

describe('a tick', () => {
  it('becomes one command, whose deadline counts from now and is on record', async () => {
    await start();
    await start();
    await schedules.create('one', now(), scheduled('one'));
    const command = await arrives('one');
    expect(command).toEqual({
      ...scheduled('one'),
      envelope_version: '1.0',
      correlation_id: expect.stringMatching(/^s_[A-Za-z0-9_-]{43}$/),
      accept_partials: false,
      accept_async: true,
      issued_at: expect.any(String),
      deadline_at: new Date(Date.parse(command.issued_at) + 60_000).toISOString(),
    });
    await waitFor(async () => (await unacked()) === 0, { what: 'the ack of the tick' });
    await expect(client.find('acme', command.correlation_id)).resolves.toMatchObject({ kind: 'open' });
    expect(await storedWith('one')).toHaveLength(1);
  });

  it('that names no ordering key is a key of its own', async () => {
    await start();
    const { ordering_key: _none, ...alone } = scheduled('alone');
    await schedules.create('alone', now(), alone);
    const { ordering_key, correlation_id } = await arrives('alone');
    expect(ordering_key).toBe(correlation_id);
  });

  it('that is delivered again is the same command', async () => {
    let fails = 1;
    /** Dies, as far as the tick is concerned, after the command is stored. */
    const dying = {
      submit: async (envelope: CommandEnvelope): Promise<Submission> => {
        const submission = await client.submit(envelope);
        if (fails-- > 0) throw new Error('killed');
        return submission;
      },
    };
    const { errors } = await start({ commands: dying });
    await schedules.create('again', now(), scheduled('again'));
    await waitFor(() => fails < 0, { what: 'a second delivery' });
    await waitFor(async () => (await unacked()) === 0, { what: 'the ack of the tick' });
    expect(errors).toEqual([new Error('killed')]);
    expect(await storedWith('again')).toHaveLength(1);
  });

  it('waits while commands are refused for want of room', async () => {
    let refusals = 2;
    const full = {
      submit: (envelope: CommandEnvelope): Promise<Submission> =>
        refusals-- > 0
          ? Promise.reject(new CallboardError('overloaded', undefined, { retryAfterMs: 200 }))
          : client.submit(envelope),
    };
    await start({ commands: full });
    await schedules.create('full', now(), scheduled('full'));
    await arrives('full');
    expect(await letterOf('full')).toBeUndefined();
  });

  it('whose action takes other arguments by now becomes a dead letter', async () => {
    const { refused } = await start();
    await schedules.create('wrong', now(), scheduled(7));
    const letter = await waitFor(() => letterOf('wrong'), { what: 'a dead letter' });
    expect(letter).toMatchObject({
      reason: 'invalid_arguments',
      stream: 'SCHEDULES',
      attempts: 0,
      about: { action: 'demo.append' },
    });
    await waitFor(() => refused.includes('wrong: invalid_arguments'), { what: 'a word about it' });
  });

  it('whose action is away waits for it a while, and then becomes a dead letter that can be redriven', async () => {
    const { errors } = await start({ catalog: catalogOf(), missingActionMs: 1_000 });
    await schedules.create('missing', now(), scheduled('missing'));
    const letter = await waitFor(() => letterOf('missing'), { what: 'a dead letter' });
    expect(letter.reason).toBe('unknown_action');
    expect(errors).toEqual([]);
    expect(await storedWith('missing')).toEqual([]);

    const operator = await CommandClient.start(await nats.connect('operator'), { instance: 'operator' });
    const redriven = await box.redrive(letter, operator);
    operator.close();
    expect(await arrives('missing')).toMatchObject({
      correlation_id: redriven.correlation_id,
      lineage: [redriven.redrive_of],
    });
  });

  it.each([
    ['no deadline', { deadline_ms: undefined as unknown as number }],
    ['another tenant', { tenant_id: 'umbrella' }],
    ['no tool', { tool: '' }],
    ['a deadline that is no number', { deadline_ms: 'soon' as unknown as number }],
  ])('that holds %s becomes a dead letter, each tick its own', async (what, wrong) => {
    const name = what.replaceAll(' ', '-');
    await start();
    for (const round of [1, 2]) {
      await storeSchedule(name, JSON.stringify({ ...scheduled(name), ...wrong }));
      await waitFor(async () => (await lettersOf(name)).length === round, { what: `letter ${round}` });
    }
    const letters = await lettersOf(name);
    expect(letters.map(({ reason }) => reason)).toEqual(['invalid_request', 'invalid_request']);
  });
});
