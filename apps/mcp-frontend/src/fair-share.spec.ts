import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { CallboardError } from '@callboard/envelope';
import type { UnderWayLimit } from './under-way-limit.js';
import { CALLS_MS, FairShare, LONGEST_LINE_MS } from './fair-share.js';

/** A command whose acceptance and end the spec brings about. */
class SpecCommand {
  state: 'in line' | 'started' | 'accepted' | CallboardError = 'in line';
  leave: (() => void) | undefined;
  accept!: () => Promise<void>;
  refuse!: () => Promise<void>;
  end!: () => Promise<void>;
}

let turns: FairShare;
let accepted: jest.Mock<UnderWayLimit['accepted']>;
/** Names of commands, as they started. */
let started: string[];
let waited: number[];

function call(tenant: string, name: string, deadlineMs = 3_600_000): SpecCommand {
  const command = new SpecCommand();
  const start = () => {
    command.state = 'started';
    started.push(name);
    return new Promise<{ outcome: Promise<void> }>((resolve, reject) => {
      command.accept = async () => {
        resolve({ outcome: new Promise((end) => (command.end = () => settled(end()))) });
        await settled();
        command.state = 'accepted';
      };
      command.refuse = () => settled(reject(new Error('refused by the stream')));
    });
  };
  const waiter = { deadlineAt: Date.now() + deadlineMs, onLine: (leave: () => void) => (command.leave = leave) };
  turns.take(tenant, start, waiter).catch((error: CallboardError) => (command.state = error));
  return command;
}

const calls = (tenant: string, count: number) =>
  Array.from({ length: count }, (_, n) => call(tenant, `${tenant} ${n + 1}`));

async function settled(_?: void): Promise<void> {
  await jest.advanceTimersByTimeAsync(0);
}

async function acceptAndEnd(...commands: SpecCommand[]): Promise<void> {
  for (const command of commands) {
    await command.accept();
    await command.end();
  }
}

beforeEach(() => {
  jest.useFakeTimers();
  accepted = jest.fn();
  turns = new FairShare({ underWay: { value: 4, accepted }, linePerTenant: 5 }, () => Date.now());
  [started, waited] = [[], []];
  turns.onWaited = (ms) => waited.push(ms);
});
afterEach(() => void jest.useRealTimers());

describe('a tenant that calls alone', () => {
  it('has everything started as it comes, however much it is', () => {
    calls('flood', 100);
    expect([started.length, turns.underWay, turns.inLine]).toEqual([100, 100, 0]);
  });

  it('is alone again a minute after the last call of another', () => {
    calls('quiet', 1);
    jest.advanceTimersByTime(CALLS_MS);
    expect(calls('flood', 5).map(({ state }) => state)).toContain('in line');
    jest.advanceTimersByTime(CALLS_MS + 1);
    expect(calls('flood', 100).map(({ state }) => state)).toEqual(Array(100).fill('started'));
  });
});

describe('once several tenants call', () => {
  it('as many commands are under way as the limit says, and the rest is in line', async () => {
    const [quiet] = calls('quiet', 1);
    const flood = calls('flood', 8);
    expect(started).toEqual(['quiet 1', 'flood 1', 'flood 2', 'flood 3']);
    expect([turns.underWay, turns.inLine, [...turns.inLineByTenant()]]).toEqual([4, 5, [['flood', 5]]]);
    jest.advanceTimersByTime(3);
    await flood[2]!.accept();
    expect(accepted.mock.calls).toEqual([[3, 3, true]]);
    await acceptAndEnd(quiet!, flood[0]!);
    expect(started.slice(4)).toEqual(['flood 4', 'flood 5']);
    expect([turns.underWay, turns.inLine]).toEqual([4, 3]);
  });

  it('a tenant that has less than its share under way starts at once, whatever the others have', () => {
    calls('flood', 100);
    const quiet = calls('quiet', 3);
    expect(quiet.map(({ state }) => state)).toEqual(['started', 'started', 'in line']);
  });

  it('what a tenant brings starts in the order in which it came', async () => {
    calls('quiet', 1);
    const flood = calls('flood', 8);
    for (const command of flood.slice(0, 5)) await acceptAndEnd(command);
    const last = call('flood', 'flood 9');
    for (const command of [...flood.slice(5), last]) await acceptAndEnd(command);
    expect(started).toEqual(['quiet 1', ...Array.from({ length: 9 }, (_, n) => `flood ${n + 1}`)]);
  });

  it('tenants take turns, however long their lines are', async () => {
    const first = [...calls('a', 1), ...calls('b', 1), ...calls('c', 1), ...calls('d', 1)];
    const lines = ['a', 'b', 'c', 'd'].map((tenant) => ({
      tenant,
      commands: Array.from({ length: tenant === 'a' ? 4 : 2 }, (_, n) => call(tenant, `${tenant} in line ${n + 1}`)),
    }));
    started = [];
    // Nobody is owed more than the one that each has: the end of each lets the next in turn start.
    const running = [...first];
    while (turns.inLine > 0) {
      await acceptAndEnd(running.shift()!);
      running.push(
        ...lines.flatMap(({ commands }) => commands.filter((c) => c.state === 'started' && !running.includes(c))),
      );
    }
    const round = (n: number, tenants: string) => [...tenants].map((tenant) => `${tenant} in line ${n}`);
    expect(started).toEqual([...round(1, 'abcd'), ...round(2, 'abcd'), ...round(3, 'a'), ...round(4, 'a')]);
  });

  it('each of more tenants than there are places has one place', () => {
    const tenants = Array.from({ length: 10 }, (_, n) => `tenant ${n}`);
    for (const tenant of tenants) calls(tenant, 2);
    expect([turns.underWay, turns.inLine]).toEqual([12, 8]);
    expect(new Set(started.map((name) => name.slice(0, -2))).size).toBe(10);
  });

  it('nobody starves beside tenants that always have more', async () => {
    const busy = ['a', 'b', 'c', 'd'];
    const running = busy.flatMap((tenant) => calls(tenant, 4));
    const patient = call('e', 'e 1');
    const second = call('e', 'e 2');
    expect([patient.state, second.state]).toEqual(['started', 'in line']);
    await acceptAndEnd(patient);
    expect(second.state).toBe('started');
    expect(running.filter(({ state }) => state === 'in line').length).toBeGreaterThan(0);
  });

  it('what was accepted before, elsewhere, does not wait, and counts', () => {
    calls('quiet', 1);
    calls('flood', 3);
    void turns.takeAtOnce('flood', () => new Promise<{ outcome: Promise<void> }>(() => started.push('taken over')));
    expect([started.at(-1), turns.underWay]).toEqual(['taken over', 5]);
  });
});

describe('a command', () => {
  it('that was refused, or was never accepted, makes room', async () => {
    calls('quiet', 1);
    const flood = calls('flood', 4);
    await flood[0]!.refuse();
    expect(flood.map(({ state }) => state)).toEqual([
      expect.objectContaining({ message: 'refused by the stream' }),
      'started',
      'started',
      'started',
    ]);
  });

  it('that takes its time makes room when twice the time of its acceptance has passed again', async () => {
    calls('quiet', 1);
    const flood = calls('flood', 4);
    jest.advanceTimersByTime(100);
    await flood[0]!.accept();
    await jest.advanceTimersByTimeAsync(199);
    expect(flood[3]!.state).toBe('in line');
    await jest.advanceTimersByTimeAsync(1);
    expect(flood[3]!.state).toBe('started');
    // Its end makes no more room.
    await flood[0]!.end();
    expect(turns.underWay).toBe(4);
  });

  it('in line is one of a limited number, and another is told when to come again', () => {
    const refused: string[] = [];
    turns.onRefusal = (tenant) => refused.push(tenant);
    calls('quiet', 1);
    calls('flood', 8);
    const late = call('flood', 'late');
    return Promise.resolve().then(() => {
      expect(late.state).toMatchObject({ code: 'overloaded', details: { retryAfterMs: 1_000 } });
      expect([refused, turns.inLine]).toEqual([['flood'], 5]);
      expect(call('quiet', 'quiet 2').state).toBe('started');
    });
  });

  it('whose caller leaves the line does not start, and those behind it move up', async () => {
    calls('quiet', 1);
    const flood = calls('flood', 6);
    flood[3]!.leave!();
    await settled();
    expect(flood[3]!.state).toMatchObject({ code: 'cancelled' });
    expect(turns.inLine).toBe(2);
    await acceptAndEnd(flood[0]!);
    expect(started.at(-1)).toBe('flood 5');
    // Who has started is not in line any more.
    flood[4]!.leave!();
    await settled();
    expect([flood[4]!.state, turns.underWay, turns.inLine]).toEqual(['started', 4, 1]);
  });

  it('whose deadline comes in line does not start', async () => {
    calls('quiet', 1);
    calls('flood', 3);
    const hurried = call('flood', 'hurried', 50);
    await jest.advanceTimersByTimeAsync(50);
    expect(hurried.state).toMatchObject({ code: 'deadline_exceeded' });
    expect([turns.inLine, started]).toEqual([0, ['quiet 1', 'flood 1', 'flood 2', 'flood 3']]);
  });

  it('whose line does not move is told when to come again', async () => {
    calls('quiet', 1);
    const flood = calls('flood', 4);
    await jest.advanceTimersByTimeAsync(LONGEST_LINE_MS);
    expect(flood[3]!.state).toMatchObject({ code: 'overloaded', details: { retryAfterMs: 1_000 } });
    expect([turns.inLine, turns.underWay]).toEqual([0, 4]);
  });

  it('that had to wait is told of by how long it did', async () => {
    calls('quiet', 1);
    const flood = calls('flood', 4);
    jest.advanceTimersByTime(30);
    await acceptAndEnd(flood[0]!);
    expect(waited).toEqual([30]);
  });
});
