import { describe, expect, it } from '@jest/globals';
import { check } from './checker.js';
import { idempotencyKeyOf, type Call, type Effect, type History, type Kill } from './history.js';
import { renderFindings, renderKey } from './report.js';

type Draft = {
  -readonly [Member in keyof History]: History[Member] extends readonly (infer T)[] ? T[] : History[Member];
};

const KEYS = ['alpha', 'beta'];
const VALUES = 4;
/** Value v of a key is called at `at(v)`, takes effect 10 ms later, and is answered 20 ms later. */
const at = (value: number) => 1_000_000 + value * 1_000;
const correlationOf = (key: string, value: number) => `i_${key}_${value}`;

/** A history without a fault; each test breaks it in one place. */
function flawless(): Draft {
  const history: Draft = {
    expected: { keys: KEYS, valuesPerKey: VALUES },
    calls: [],
    kills: [],
    effects: [],
    unreadableLines: [],
    commands: [],
    outcomes: [],
    consumers: [{ name: 'partition-0', pending: 0, ackPending: 0 }],
  };
  for (let value = 0; value < VALUES; value++) {
    for (const key of KEYS) {
      const correlationId = correlationOf(key, value);
      const idempotencyKey = idempotencyKeyOf(key, value);
      const sequence = history.commands.length + 1;
      const answer = { kind: 'succeeded', correlationId, replayed: false, text: '' } as const;
      const attempt = { client: 'http-1', url: 'one', sentAt: at(value), answeredAt: at(value) + 20, answer };
      history.calls.push({ key, value, idempotencyKey, attempts: [attempt] });
      history.commands.push({ sequence, storedAt: at(value) + 5, correlationId, idempotencyKey, orderingKey: key });
      history.effects.push({ line: sequence, key, value, correlationId, attempt: 1, at: at(value) + 10 });
      history.outcomes.push({
        sequence,
        storedAt: at(value) + 15,
        correlationId,
        status: 'succeeded',
        attempts: 1,
        writtenBy: 'action-runner-1',
      });
    }
  }
  return history;
}

const rules = (history: History) => check(history).findings.map(({ rule, key }) => (key ? `${rule} ${key}` : rule));
const effectIndex = (history: Draft, key: string, value: number) =>
  history.effects.findIndex((effect) => effect.key === key && effect.value === value);
const callOf = (history: Draft, key: string, value: number): Call =>
  history.calls.find((call) => call.key === key && call.value === value)!;

/** Alpha's value 1 stands a second time in the log, 500 ms after the first. */
function withSecondLine(change: Partial<Effect> = {}, kills: Kill[] = []): Draft {
  const history = flawless();
  const index = effectIndex(history, 'alpha', 1);
  const first = history.effects[index]!;
  history.effects.splice(index + 1, 0, { ...first, line: 99, attempt: 2, at: first.at + 500, ...change });
  history.kills.push(...kills);
  return history;
}
const killed = (process: string, afterFirstMs: number, replacedAfterMs?: number): Kill => ({
  at: at(1) + 10 + afterFirstMs,
  process,
  pid: 4711,
  ...(replacedAfterMs !== undefined && { replacedAt: at(1) + 10 + replacedAfterMs }),
});

describe('a history without a fault', () => {
  it('has no finding', () => {
    expect(check(flawless())).toEqual({ findings: [], explained: [] });
  });

  it('may have attempts that were lost or refused for now, when the same command answers in the end', () => {
    const history = flawless();
    const [last] = callOf(history, 'alpha', 2).attempts;
    callOf(history, 'alpha', 2).attempts.unshift(
      { ...last!, answer: { kind: 'lost', reason: 'ECONNRESET' } },
      { ...last!, answer: { kind: 'later', code: 'unavailable', correlationId: correlationOf('alpha', 2) } },
      { ...last!, answer: { kind: 'later', code: 'overloaded' } },
    );
    expect(rules(history)).toEqual([]);
  });
});

describe('a side effect', () => {
  it('that is lost is found', () => {
    const history = flawless();
    history.effects.splice(effectIndex(history, 'beta', 3), 1);
    expect(rules(history)).toEqual(['effect lost beta']);
  });

  it('that comes before an earlier one of its key is found', () => {
    const history = flawless();
    const [moved] = history.effects.splice(effectIndex(history, 'alpha', 2), 1);
    history.effects.splice(effectIndex(history, 'alpha', 1), 0, moved!);
    expect(rules(history)).toContain('effect out of order alpha');
    expect(rules(history)).not.toContain('effect out of order beta');
  });

  it('that happens again after a later one of its key is found, kill or no kill', () => {
    const history = flawless();
    const again = history.effects[effectIndex(history, 'alpha', 0)]!;
    history.effects.push({ ...again, line: 99, attempt: 2, at: at(3) });
    history.kills.push(killed('action-runner', 100));
    expect(rules(history)).toEqual(['effect doubled alpha']);
  });

  it('that nobody called is found', () => {
    const history = flawless();
    const effect = history.effects[0]!;
    history.effects.push({ ...effect, value: VALUES }, { ...effect, value: 0.5 }, { ...effect, key: 'gamma' });
    expect(rules(history)).toEqual(['effect unknown alpha', 'effect unknown alpha', 'effect unknown']);
  });

  it('of another command than the stored one is found', () => {
    const history = flawless();
    history.effects[effectIndex(history, 'beta', 0)]!.correlationId = 'i_other';
    expect(rules(history)).toEqual(['other correlation id beta']);
  });

  it('whose line cannot be read is found', () => {
    expect(rules({ ...flawless(), unreadableLines: [7] })).toEqual(['log unreadable']);
  });
});

describe('a second line for one value', () => {
  it('is explained by a runner that was killed between the two', () => {
    const { findings, explained } = check(withSecondLine({}, [killed('action-runner', 3)]));
    expect(findings).toEqual([]);
    expect(explained).toHaveLength(1);
    expect(explained[0]).toMatchObject({
      first: { value: 1, attempt: 1 },
      second: { attempt: 2 },
      kill: { pid: 4711 },
    });
  });

  it('is explained by a nats-server that was away when the effect happened', () => {
    expect(rules(withSecondLine({}, [killed('nats-server', -300, 200)]))).toEqual([]);
  });

  it('is not explained when nobody was killed', () => {
    expect(rules(withSecondLine())).toEqual(['duplicate unexplained alpha']);
  });

  it.each([
    ['a runner before the first line', killed('action-runner', -100, 50)],
    ['a runner after the second line', killed('action-runner', 600)],
    ['a front end in between', killed('mcp-frontend', 100)],
    ['a nats-server that had long been replaced', killed('nats-server', -9_000, -8_000)],
    ['a nats-server after the second line', killed('nats-server', 600)],
  ])('is not explained by a kill of %s', (_, kill) => {
    expect(rules(withSecondLine({}, [kill]))).toEqual(['duplicate unexplained alpha']);
  });

  it('is not explained when its attempt is not a higher one', () => {
    expect(rules(withSecondLine({ attempt: 1 }, [killed('action-runner', 3)]))).toEqual([
      'duplicate unexplained alpha',
    ]);
  });

  it('is not explained when it belongs to another command', () => {
    const history = withSecondLine({ correlationId: 'i_other' }, [killed('action-runner', 3)]);
    expect(rules(history)).toContain('duplicate unexplained alpha');
  });

  it('may be followed by a third, when there was a kill between each two', () => {
    const history = withSecondLine({}, [killed('action-runner', 3), killed('action-runner', 700)]);
    const second = history.effects[effectIndex(history, 'alpha', 1) + 1]!;
    history.effects.splice(effectIndex(history, 'alpha', 1) + 2, 0, { ...second, attempt: 3, at: second.at + 500 });
    expect(check(history)).toMatchObject({ findings: [], explained: [{}, {}] });
    history.kills.pop();
    expect(rules(history)).toEqual(['duplicate unexplained alpha']);
  });
});

describe('a call', () => {
  it('that was never answered is found', () => {
    const history = flawless();
    callOf(history, 'alpha', 3).attempts[0]!.answer = { kind: 'lost', reason: 'ECONNRESET' };
    expect(rules(history)).toEqual(['unanswered alpha']);
  });

  it('that was refused is found, with the code', () => {
    const history = flawless();
    callOf(history, 'alpha', 3).attempts[0]!.answer = { kind: 'refused', code: 'internal', message: '' };
    expect(check(history).findings).toEqual([
      { rule: 'unanswered', key: 'alpha', detail: 'value 3: refused with internal' },
    ]);
  });

  it('that was never made is found', () => {
    const history = flawless();
    history.expected = { keys: [...KEYS, 'gamma'], valuesPerKey: VALUES };
    expect(new Set(rules(history))).toEqual(new Set(['unanswered gamma', 'effect lost gamma']));
  });

  it('whose answer names another command, or none, is found', () => {
    const history = flawless();
    const succeeded = { kind: 'succeeded', replayed: false, text: '' } as const;
    callOf(history, 'alpha', 0).attempts[0]!.answer = { ...succeeded, correlationId: 'i_other' };
    callOf(history, 'beta', 0).attempts[0]!.answer = { ...succeeded, correlationId: undefined };
    expect(rules(history)).toEqual(['other correlation id alpha', 'other correlation id beta']);
  });
});

describe('a stored command', () => {
  it('that is missing although its call was answered is found, and so is its orphaned outcome', () => {
    const history = flawless();
    history.commands.shift();
    expect(rules(history)).toEqual(['command missing alpha', 'outcome unknown']);
  });

  it('that is stored twice is found', () => {
    const history = flawless();
    history.commands.push({ ...history.commands[0]!, sequence: 99 });
    expect(rules(history)).toEqual(['command doubled alpha']);
  });

  it('that is stored before an earlier one of its key is found', () => {
    const history = flawless();
    const last = history.commands.find(({ correlationId }) => correlationId === correlationOf('beta', 3))!;
    last.sequence = 0;
    expect(rules(history)).toEqual(['command out of order beta']);
  });

  it('that nobody called is found', () => {
    const history = flawless();
    history.commands.push({ ...history.commands[0]!, correlationId: 'c_stray', idempotencyKey: '', sequence: 99 });
    history.outcomes.push({ ...history.outcomes[0]!, correlationId: 'c_stray', sequence: 99 });
    expect(rules(history)).toEqual(['command unknown']);
  });
});

describe('an outcome', () => {
  it('that is missing is found', () => {
    const history = flawless();
    history.outcomes.pop();
    expect(rules(history)).toEqual(['outcome missing beta']);
  });

  it('that is there twice is found', () => {
    const history = flawless();
    history.outcomes.push({ ...history.outcomes[0]!, sequence: 99 });
    expect(rules(history)).toEqual(['outcome doubled alpha']);
  });

  it('that is not a success is found', () => {
    const history = flawless();
    history.outcomes[0]!.status = 'deadline_exceeded';
    expect(rules(history)).toEqual(['outcome not succeeded alpha']);
  });
});

describe('work that is left over', () => {
  it.each([
    ['not delivered', { name: 'partition-3', pending: 2, ackPending: 0 }],
    ['delivered and not acknowledged', { name: 'partition-3', pending: 0, ackPending: 1 }],
  ])('and %s is found', (_, consumer) => {
    const history = flawless();
    history.consumers.push(consumer);
    expect(rules(history)).toEqual(['stuck']);
  });
});

describe('the report', () => {
  it('tells everything about a key in the order of time, and nothing of another', () => {
    const history = flawless();
    history.kills.push(killed('action-runner', 100, 400));
    const story = renderKey('alpha', history).map((line) => line.slice('00:00:00.000 '.length));
    expect(story.slice(5, 12)).toEqual([
      'http-1 calls value 1 at one',
      'COMMANDS 3: alpha:1 as i_alpha_1',
      'append.log line 3: value 1, attempt 1, i_alpha_1',
      'OUTCOMES 3: i_alpha_1 succeeded after 1 attempts, written by action-runner-1',
      'http-1 has for value 1: the result of i_alpha_1',
      'killed action-runner 4711',
      'replaced action-runner 4711',
    ]);
    expect(story.join()).not.toContain('beta');
  });

  it('adds the history of each key that broke a rule', () => {
    const history = flawless();
    history.effects.splice(effectIndex(history, 'beta', 3), 1);
    const text = renderFindings(check(history).findings, history).join('\n');
    expect(text).toContain('effect lost (beta): value 3 is not in the log');
    expect(text).toContain('history of beta:');
    expect(text).not.toContain('history of alpha:');
  });
});
