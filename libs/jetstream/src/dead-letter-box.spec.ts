import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { CallboardError, LIMITS, parseEnvelope, type CommandEnvelope } from '@callboard/envelope';
import { startTestNats, testCommand, waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { AckedPublisher } from './acked-publisher.js';
import { CommandClient } from './command-client.js';
import { DeadLetterBox, redriveAll, redrivenCommand, type KeptLetter, type LetterFilter } from './dead-letter-box.js';
import { DeadLetterPublisher } from './dead-letters.js';
import { Halts } from './halts.js';
import { OutcomePublisher } from './outcome-publisher.js';
import { STREAM } from './topology.js';
import { subjectOf } from './spec/commands.js';

let nats: TestNats;
let sre: NatsConnection;
let jsm: JetStreamManager;
let publisher: AckedPublisher;
let box: DeadLetterBox;
let client: CommandClient;

beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 2 } });
  sre = await nats.connect('sre');
  jsm = await jetstreamManager(sre);
  publisher = new AckedPublisher(await nats.connect('action-runner'));
  const operator = await nats.connect('operator');
  box = await DeadLetterBox.open(operator);
  client = await CommandClient.start(operator, { instance: 'operator', acceptTimeoutMs: 10_000 });
});
afterEach(async () => {
  for (const letter of await found()) await box.discard(letter);
});
afterAll(async () => {
  client.close();
  publisher.close();
  await nats.dispose();
});

let sequence = 0;
/** Gives up on a message as a runner does. */
async function giveUp(message: CommandEnvelope | string, reason = 'attempts_exhausted', ended = true): Promise<void> {
  const command = typeof message === 'string' ? testCommand('unreadable') : message;
  const subject = `cmd.1.${subjectOf(command).slice('cmd.'.length)}`;
  const last_error = { code: 'action_failed', message: 'no', retryable: true };
  const letter = { reason, attempts: 3, last_error, stream: STREAM.commands, subject, sequence: ++sequence };
  const data = typeof message === 'string' ? message : JSON.stringify(message);
  await new DeadLetterPublisher(publisher).publish(letter, Buffer.from(data));
  const ending = { status: 'dead_lettered', attempts: 3 } as const;
  if (ended) await new OutcomePublisher(publisher, 'runner').publish(command, ending);
}

async function found(filter: LetterFilter = {}): Promise<KeptLetter[]> {
  const letters: KeptLetter[] = [];
  for await (const letter of box.find(filter)) letters.push(letter);
  return letters;
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const idsOf = (letters: KeptLetter[]) => letters.map(({ about }) => about.correlation_id);

async function stored(correlationId: string) {
  const subject = `cmd.*.*.*.*.*.${correlationId}`;
  const { state } = await jsm.streams.info(STREAM.commands, { subjects_filter: subject });
  const message = (await jsm.streams.getMessage(STREAM.commands, { last_by_subj: subject }))!;
  const count = Object.values(state.subjects ?? {}).reduce((sum, each) => sum + each, 0);
  return { count, sequence: message.seq, envelope: message.json<CommandEnvelope>() };
}

describe('dead letters', () => {
  it('are found by tenant, action, key, reason and time, oldest first', async () => {
    const from = Date.now();
    const jane = testCommand('k1');
    const other = testCommand('k2', {}, { tenant_id: 'umbrella', method: 'fail' });
    for (const command of [jane, other]) await giveUp(command);
    await giveUp('{', 'invalid_request');
    const [first, second, third] = await found();
    expect([first, second].map((letter) => letter!.about)).toEqual([
      { tenant_id: 'acme', action: 'demo.append', ordering_key: 'k1', correlation_id: jane.correlation_id },
      { tenant_id: 'umbrella', action: 'demo.fail', ordering_key: 'k2', correlation_id: other.correlation_id },
    ]);
    expect(third).toMatchObject({ reason: 'invalid_request', message: '{', about: { action: 'demo.append' } });
    const cases: [LetterFilter, KeptLetter[]][] = [
      [{ tenant: 'umbrella' }, [second!]],
      [{ action: 'demo.append' }, [first!, third!]],
      [{ key: 'k1' }, [first!]],
      [{ reason: 'invalid_request' }, [third!]],
      [{ since: from }, [first!, second!, third!]],
      [{ until: from }, []],
      [{ letters: [second!.letter, 4_711] }, [second!]],
    ];
    for (const [filter, expected] of cases) expect([filter, await found(filter)]).toEqual([filter, expected]);
  });

  it('are not redriven before the command that gave up has ended', async () => {
    const command = testCommand('k');
    await giveUp(command, 'attempts_exhausted', false);
    const [letter] = await found();
    await expect(box.redrive(letter!, client)).rejects.toMatchObject({ code: 'unavailable' });
    expect(await found()).toHaveLength(1);
    await new OutcomePublisher(publisher, 'runner').publish(command, { status: 'dead_lettered', attempts: 3 });
    expect(await box.redrive(letter!, client)).toMatchObject({ redrive_of: command.correlation_id });
  });

  it('are redriven as a new command of the same key, which knows where it comes from, and are gone then', async () => {
    // Its caller as well: policies decide about it again.
    const caller = { via: 'jwt', server: '/mcp/ops', client_id: 'assistant', scopes: ['read'] };
    const more = { caller, groups: ['group:default/platform'], idempotency_key: 'order-1', deadline_ms: 5_000 };
    const command = { ...testCommand('k', { n: 1 }), ...more };
    await giveUp({ ...command, issued_at: '2026-01-01T00:00:00.000Z', deadline_at: '2026-01-01T00:00:05.000Z' });
    const [letter] = await found();
    const redriven = await box.redrive(letter!, client);
    expect(redriven).toEqual({
      letter: letter!.letter,
      redrive_of: command.correlation_id,
      correlation_id: expect.stringMatching(/^r_[A-Za-z0-9_-]{43}$/),
      before: false,
    });
    const { envelope } = await stored(redriven.correlation_id);
    const { idempotency_key: _gone, ...same } = command;
    expect(envelope).toEqual({
      ...same,
      correlation_id: redriven.correlation_id,
      redrive_of: command.correlation_id,
      lineage: [command.correlation_id],
      issued_at: expect.any(String),
      deadline_at: expect.any(String),
    });
    expect({ ...parseEnvelope(Buffer.from(JSON.stringify(envelope))) }).toEqual(envelope);
    expect(Date.parse(envelope.deadline_at) - Date.parse(envelope.issued_at)).toBe(5_000);
    expect(Math.abs(Date.parse(envelope.issued_at) - Date.now())).toBeLessThan(10_000);
    // Its deadline holds, though nobody waits.
    const record = { kind: 'open', accepted: { deadline_at: envelope.deadline_at } };
    expect(await client.find('acme', redriven.correlation_id)).toMatchObject(record);
    expect(await found()).toEqual([]);
  });

  it('are one command when the redrive is cut off before the letter is gone, and when two redrive at once', async () => {
    const command = testCommand('k');
    await giveUp(command);
    const [letter] = await found();
    (await client.submit(redrivenCommand(letter!, Date.now() - 1_000))).release();

    const [one, other] = await Promise.all([box.redrive(letter!, client), box.redrive(letter!, client)]);
    expect(one).toMatchObject({ before: true, redrive_of: command.correlation_id });
    expect(other).toEqual(one);
    expect((await stored(one.correlation_id)).count).toBe(1);
    expect(await found()).toEqual([]);
  });

  it('name every command before them, and the first of all when those are many', async () => {
    let command = testCommand('k');
    const ids = [command.correlation_id];
    for (let i = 0; i < LIMITS.lineage + 5; i++) {
      command = redrivenCommand({ command, letter: i + 1 } as KeptLetter, Date.now());
      ids.push(command.correlation_id);
    }
    expect(new Set(ids).size).toBe(ids.length);
    expect(command.lineage).toEqual([ids[0], ...ids.slice(-LIMITS.lineage, -1)]);
    expect(command.redrive_of).toBe(ids.at(-2));
    expect({ ...parseEnvelope(Buffer.from(JSON.stringify(command))) }).toEqual(command);
  });

  it('keep the order of their key when many are redriven, and the later ones stay when one cannot be', async () => {
    const commands = Array.from({ length: 60 }, (_, i) => testCommand(`k${i % 3}`, { n: i }));
    for (const command of commands) await giveUp(command);
    const refused = commands[31]!;
    /** A client to which one command is one too many. */
    const choosy = {
      lookup: (tenantId: string, correlationId: string) => client.lookup(tenantId, correlationId),
      submit: (envelope: CommandEnvelope) =>
        envelope.redrive_of === refused.correlation_id
          ? Promise.reject(new CallboardError('overloaded'))
          : client.submit(envelope),
    } as CommandClient;

    const fared = await all(redriveAll(box, choosy, box.find()));
    const kept = commands.filter((command, i) => i >= 31 && command.ordering_key === refused.ordering_key);
    expect(idsOf(await found())).toEqual(kept.map(({ correlation_id }) => correlation_id));
    expect(fared).toHaveLength(commands.length);
    expect(fared.filter((each) => 'error' in each)).toHaveLength(1);
    expect(fared.filter((each) => 'left' in each)).toHaveLength(kept.length - 1);
    for (const key of ['k0', 'k1', 'k2']) {
      const own = fared.flatMap((each) => ('correlation_id' in each ? [each.correlation_id] : []));
      const placed = await Promise.all(own.map(stored));
      const ofKey = placed.filter(({ envelope }) => envelope.ordering_key === key);
      ofKey.sort((a, b) => a.sequence - b.sequence);
      const numbers = ofKey.map(({ envelope }) => envelope.args['n'] as number);
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    }
  });

  it('that come while all are redriven are left for the next time', async () => {
    await giveUp(testCommand('k'));
    const failsAgain = {
      submit: async (envelope: CommandEnvelope) => {
        await giveUp(envelope);
        return client.submit(envelope);
      },
    } as CommandClient;
    expect(await all(redriveAll(box, failsAgain, box.find()))).toHaveLength(1);
    expect(await found()).toHaveLength(1);
  });

  it('are redriven no faster than asked', async () => {
    for (let i = 0; i < 6; i++) await giveUp(testCommand(`k${i}`));
    const from = performance.now();
    expect(await all(redriveAll(box, client, box.find(), 10))).toHaveLength(6);
    expect(performance.now() - from).toBeGreaterThanOrEqual(500);
  });

  it('of what was no command can be discarded, and nothing else', async () => {
    await giveUp('{"not": "an envelope"}', 'invalid_request');
    const [letter] = await found();
    expect(await all(redriveAll(box, client, box.find()))).toEqual([
      { letter: letter!.letter, error: new RangeError('the letter holds no command') },
    ]);
    expect(await found()).toHaveLength(1);
    await box.discard(letter!);
    await box.discard(letter!);
    expect(await found()).toEqual([]);
  });

  it('whose command halted its key decide about the key: the redriven command goes first, a discarded one lets it go on', async () => {
    const runner = await nats.connect('action-runner');
    const halts = await Halts.open(runner);
    const halt = (command: CommandEnvelope) => ({
      correlation_id: command.correlation_id,
      action: 'demo.append',
      at: 'now',
    });
    const [redriven, discarded, older, newer] = ['a.b', 'b', 'c', 'c'].map((key) => testCommand(key));
    for (const command of [redriven, discarded, older]) await giveUp(command!);
    for (const command of [redriven, discarded, newer]) await halts.halt('acme', command!.ordering_key, halt(command!));

    const [first, second, third] = await found();
    const { correlation_id } = await box.redrive(first!, client);
    await box.discard(second!);
    await box.discard(third!);
    await waitFor(() => !halts.get('acme', 'b'), { what: 'the key goes on' });
    expect(halts.get('acme', 'a.b')).toEqual({ ...halt(redriven!), resume_with: correlation_id });
    // Another command's halt is another letter's business.
    expect(halts.get('acme', 'c')).toEqual(halt(newer!));
    halts.close();
  });

  it('are all that an operator may delete', async () => {
    (await client.submit(testCommand('k'))).release();
    for (const { config } of nats.topology.streams.filter(({ config }) => config.name !== STREAM.deadLetters)) {
      const subject = `$JS.API.STREAM.MSG.DELETE.${config.name}`;
      await expect(sre.request(subject, JSON.stringify({ seq: 1 }), { timeout: 2_000 })).rejects.toThrow(
        /permissions/i,
      );
    }
    for (const operation of ['PURGE', 'DELETE', 'UPDATE']) {
      const subject = `$JS.API.STREAM.${operation}.${STREAM.deadLetters}`;
      await expect(sre.request(subject, '', { timeout: 2_000 })).rejects.toThrow(/permissions/i);
    }
  });
});
