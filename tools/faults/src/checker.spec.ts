import { describe, expect, it } from '@jest/globals';
import { FATAL } from './actions.js';
import { check } from './checker.js';
import {
  idempotencyKeyOf,
  type Call,
  type Cancel,
  type History,
  type Kill,
  type Line,
  type StoredCommand,
  type StoredOutcome,
} from './history.js';
import type { Plan, Work } from './plan.js';
import { renderFindings, renderKey } from './report.js';

type Draft = {
  -readonly [Member in keyof History]: History[Member] extends readonly (infer T)[] ? T[] : History[Member];
};

const KEYS = ['alpha', 'beta'];
const VALUES = 4;
/** Value v of a key is called at `at(v)`, stored 5 ms later, begins after 8 and acts after 10, has its outcome after 15 and its answer after 20. */
const at = (value: number) => 1_000_000 + value * 1_000;
const correlationOf = (key: string, value: number) => `i_${key}_${value}`;
const WORK: Work = { ms: 0, fail: 0, fatal: false, broken: false, deaf: false };
const PLAN: Plan = { action: 'step', work: WORK, priority: 'normal', deadlineMs: 600_000 };

/** A history without a fault; each test breaks it in one place. */
function flawless(): Draft {
  const history: Draft = {
    calls: [],
    cancels: [],
    redrives: [],
    kills: [],
    lines: [],
    unreadableLines: [],
    commands: [],
    outcomes: [],
    letters: [],
    partitions: [{ partition: 0, pending: 0, unfinished: 0 }],
  };
  for (let value = 0; value < VALUES; value++) {
    for (const key of KEYS) {
      const correlationId = correlationOf(key, value);
      const idempotencyKey = idempotencyKeyOf(key, value);
      const sequence = history.commands.length + 1;
      const answer = { kind: 'succeeded', correlationId, replayed: false, text: `${key}:${value}` } as const;
      const attempt = { client: 'http-1', url: 'one', sentAt: at(value), answeredAt: at(value) + 20, answer };
      history.calls.push({ key, value, idempotencyKey, plan: PLAN, attempts: [attempt] });
      history.commands.push({
        sequence,
        storedAt: at(value) + 5,
        correlationId,
        idempotencyKey,
        orderingKey: key,
        action: 'step',
        key,
        value,
        work: WORK,
        priority: 'normal',
        deadlineAt: at(value) + 600_000,
      });
      const line = { line: 2 * sequence, key, value, correlationId, attempt: 1 };
      history.lines.push({ ...line, line: 2 * sequence - 1, event: 'began', at: at(value) + 8 });
      history.lines.push({ ...line, event: 'acted', at: at(value) + 10 });
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

const verdictOf = (history: History) => check(history).findings.map(({ rule, key }) => (key ? `${rule} ${key}` : rule));
const callOf = (history: Draft, key: string, value: number): Call =>
  history.calls.find((call) => call.key === key && call.value === value)!;
const commandOf = (history: Draft, key: string, value: number): StoredCommand =>
  history.commands.find((command) => command.correlationId === correlationOf(key, value))!;
const outcomeOf = (history: Draft, key: string, value: number): StoredOutcome =>
  history.outcomes.find((outcome) => outcome.correlationId === correlationOf(key, value))!;
const linesOf = (history: Draft, key: string, value: number, event?: Line['event']): Line[] =>
  history.lines.filter((line) => line.key === key && line.value === value && (!event || line.event === event));

/** Writes the log anew, in the order of time. */
function rewriteLog(history: Draft): void {
  history.lines.sort((a, b) => a.at - b.at || a.line - b.line);
  history.lines.forEach((line, index) => (line.line = index + 1));
}

/** Alpha's value 1 gets another plan, another ending, and its caller that answer. */
function ends(
  history: Draft,
  plan: Partial<Omit<Plan, 'work'>> & { work?: Partial<Work> },
  outcome: Partial<StoredOutcome>,
): Draft {
  const call = callOf(history, 'alpha', 1);
  const work = { ...WORK, ...plan.work };
  call.plan = { ...PLAN, ...plan, work };
  Object.assign(commandOf(history, 'alpha', 1), { action: call.plan.action, work });
  const stored = Object.assign(outcomeOf(history, 'alpha', 1), outcome);
  if (stored.status !== 'succeeded') {
    const { correlationId, code = 'none' } = stored;
    call.attempts[0]!.answer = { kind: 'refused', code, message: '', correlationId };
  }
  return history;
}

/** Leaves only lines of alpha's value 1 that `keep` says. */
function keepLines(history: Draft, keep: (line: Line) => boolean): Draft {
  const own = linesOf(history, 'alpha', 1);
  history.lines = history.lines.filter((line) => !own.includes(line) || keep(line));
  return history;
}

/** Alpha's value 1 begins again, 300 ms after it first began, and its outcome comes after that. */
function withSecondAttempt(history: Draft, events: Line['event'][] = ['began', 'acted'], attempt = 2): Draft {
  const [began] = linesOf(history, 'alpha', 1, 'began');
  for (const [index, event] of events.entries()) {
    history.lines.push({ ...began!, event, attempt, at: began!.at + 300 + index });
  }
  Object.assign(outcomeOf(history, 'alpha', 1), { storedAt: at(1) + 400, attempts: attempt });
  callOf(history, 'alpha', 1).attempts[0]!.answeredAt = at(1) + 420;
  rewriteLog(history);
  return history;
}

/** So many milliseconds after alpha's value 1 began. */
const killed = (process: string, afterMs: number, replacedAfterMs?: number): Kill => ({
  at: at(1) + 8 + afterMs,
  process,
  pid: 4711,
  ...(replacedAfterMs !== undefined && { replacedAt: at(1) + 8 + replacedAfterMs }),
});
const with_ = (history: Draft, more: Partial<Draft>): Draft => Object.assign(history, more);

describe('a history without a fault', () => {
  it('has no finding', () => {
    expect(check(flawless())).toEqual({ findings: [], explained: [] });
  });

  it('may have attempts that were lost or refused for now, when the same command answers in the end', () => {
    const history = flawless();
    const { attempts } = callOf(history, 'alpha', 1);
    const [answered] = attempts;
    attempts.unshift(
      { ...answered!, answer: { kind: 'lost', reason: 'ECONNRESET' } },
      { ...answered!, answer: { kind: 'later', code: 'unavailable' } },
      { ...answered!, answer: { kind: 'later', code: 'unavailable', correlationId: correlationOf('alpha', 1) } },
    );
    expect(verdictOf(history)).toEqual([]);
  });
});

describe('a call', () => {
  it('that was never answered is found', () => {
    const history = flawless();
    callOf(history, 'alpha', 3).attempts[0]!.answer = { kind: 'lost', reason: 'ECONNRESET' };
    expect(verdictOf(history)).toEqual(['unanswered alpha']);
  });

  it('that was put off and never answered is found', () => {
    const history = flawless();
    callOf(history, 'alpha', 3).attempts[0]!.answer = { kind: 'later', code: 'overloaded' };
    expect(verdictOf(history)).toEqual(['unanswered alpha']);
  });

  it.each([
    ['a failure where a success is stored', { kind: 'refused', code: 'cancelled', message: '' } as const],
    [
      'the result of another call',
      { kind: 'succeeded', correlationId: correlationOf('alpha', 3), replayed: false, text: 'beta:3' } as const,
    ],
  ])('that was told %s is found', (_, answer) => {
    const history = flawless();
    callOf(history, 'alpha', 3).attempts[0]!.answer = answer;
    expect(verdictOf(history)).toEqual(['other answer alpha']);
  });

  it('whose answer names another command, or none, is found', () => {
    const history = flawless();
    const succeeded = { kind: 'succeeded', replayed: false } as const;
    callOf(history, 'alpha', 0).attempts[0]!.answer = { ...succeeded, correlationId: 'i_other', text: 'alpha:0' };
    callOf(history, 'beta', 0).attempts[0]!.answer = { ...succeeded, correlationId: undefined, text: 'beta:0' };
    expect(verdictOf(history)).toEqual(['other correlation id alpha', 'other correlation id beta']);
  });
});

describe('a stored command', () => {
  it('that is missing although its call was answered is found, with everything that is left of it', () => {
    const history = flawless();
    history.commands.shift();
    expect(verdictOf(history)).toEqual(['command missing alpha', 'outcome unknown', 'begun unknown', 'begun unknown']);
  });

  it('that is stored twice is found', () => {
    const history = flawless();
    history.commands.push({ ...commandOf(history, 'beta', 3), sequence: 99 });
    expect(verdictOf(history)).toEqual(['command doubled beta']);
  });

  it('that is stored before one of its key that was answered before is found', () => {
    const history = flawless();
    commandOf(history, 'beta', 3).sequence = 0;
    expect(verdictOf(history)).toContain('command out of order beta');
  });

  it('may be stored before one of its key that was called at the same time', () => {
    const history = flawless();
    const [first, second] = [commandOf(history, 'beta', 2), commandOf(history, 'beta', 3)];
    callOf(history, 'beta', 2).attempts[0]!.answeredAt = at(3) + 50;
    [first.sequence, second.sequence] = [second.sequence, first.sequence];
    for (const line of linesOf(history, 'beta', 3)) line.at -= 1_500;
    outcomeOf(history, 'beta', 3).storedAt -= 1_500;
    rewriteLog(history);
    expect(verdictOf(history)).toEqual([]);
  });

  it('that nobody called is found', () => {
    const history = flawless();
    history.commands.push({ ...history.commands[0]!, correlationId: 'c_stray', idempotencyKey: '', sequence: 99 });
    history.outcomes.push({ ...history.outcomes[0]!, correlationId: 'c_stray', sequence: 99 });
    expect(verdictOf(history)).toContain('command unknown');
  });
});

describe('an outcome', () => {
  it('that is missing is found', () => {
    const history = flawless();
    history.outcomes.pop();
    expect(verdictOf(history)).toEqual(['outcome missing beta']);
  });

  it('that is there twice is found', () => {
    const history = flawless();
    history.outcomes.push({ ...history.outcomes[0]!, sequence: 99 });
    expect(verdictOf(history)).toEqual(['outcome doubled alpha']);
  });

  it('is found when it is a success without an effect', () => {
    expect(verdictOf(keepLines(flawless(), ({ event }) => event === 'began'))).toEqual(['effect lost alpha']);
  });

  it.each([
    ['a failure that was not planned', {}, { status: 'failed', code: 'action_failed' } as const],
    ['a success of what must fail', { work: { fatal: true } }, {}],
    ['a success of what is broken', { work: { broken: true } }, {}],
    ['cancelled without a cancel', {}, { status: 'cancelled', code: 'cancelled' } as const],
    ['a dead letter with attempts left', {}, { status: 'dead_lettered', code: 'dead_lettered' } as const],
  ])('is found when it is %s', (_, plan, outcome) => {
    expect(verdictOf(ends(flawless(), plan, outcome))).toContain('outcome unexpected alpha');
  });

  it('is as planned when it is a failure for good', () => {
    const history = ends(flawless(), { work: { fatal: true } }, { status: 'failed', code: FATAL });
    expect(verdictOf(keepLines(history, ({ event }) => event === 'began'))).toEqual([]);
  });

  it('must not come with an effect when it is a failure for good', () => {
    const history = ends(flawless(), { work: { fatal: true } }, { status: 'failed', code: FATAL });
    expect(verdictOf(history)).toEqual(['effect unexpected alpha']);
  });
});

describe('an attempt more', () => {
  it('is as planned when the one before was meant to fail', () => {
    const history = withSecondAttempt(ends(flawless(), { work: { fail: 1 } }, {}));
    const first = linesOf(history, 'alpha', 1, 'acted')[0]!;
    expect(verdictOf(keepLines(history, (line) => line !== first))).toEqual([]);
  });

  it('is found when nobody was killed', () => {
    expect(verdictOf(withSecondAttempt(flawless()))).toEqual(['attempt unexplained alpha', 'effect doubled alpha']);
  });

  it('is explained by a runner that was killed between the two', () => {
    const { findings, explained } = check(
      with_(withSecondAttempt(flawless()), { kills: [killed('action-runner', 4)] }),
    );
    expect(findings).toEqual([]);
    expect(explained).toMatchObject([{ first: { attempt: 1 }, second: { attempt: 2 }, kill: { pid: 4711 } }]);
  });

  it('is explained by a nats-server that was away when the first acted', () => {
    const kills = [killed('nats-server', -300, 200)];
    expect(verdictOf(with_(withSecondAttempt(flawless()), { kills }))).toEqual([]);
  });

  it('is explained by a node of a cluster that was replaced some seconds before, while leaders were elected', () => {
    const kills = [{ ...killed('nats-server', -9_000, -8_000), node: true as const }];
    expect(verdictOf(with_(withSecondAttempt(flawless()), { kills }))).toEqual([]);
  });

  it.each([
    ['a runner before the first', killed('action-runner', -100, 50)],
    ['a runner after the second', killed('action-runner', 600)],
    ['a front end in between', killed('mcp-frontend', 100)],
    ['a nats-server that had long been replaced', killed('nats-server', -9_000, -8_000)],
    ['a nats-server after the second', killed('nats-server', 600)],
  ])('is not explained by a kill of %s', (_, kill) => {
    expect(verdictOf(with_(withSecondAttempt(flawless()), { kills: [kill] }))).toContain('attempt unexplained alpha');
  });

  it('is found when it is not numbered upwards', () => {
    const history = with_(withSecondAttempt(flawless(), ['began', 'acted'], 1), {
      kills: [killed('action-runner', 4)],
    });
    expect(verdictOf(history)).toEqual(['attempt unexplained alpha']);
  });

  it('is found when the outcome counts fewer or, without a kill, more', () => {
    const fewer = ends(withSecondAttempt(flawless(), ['began']), { work: { fail: 1 } }, { attempts: 1 });
    expect(verdictOf(fewer)).toContain('attempts miscounted alpha');
    const more = ends(flawless(), {}, { attempts: 2 });
    expect(verdictOf(more)).toEqual(['attempts miscounted alpha']);
    expect(verdictOf(with_(more, { kills: [killed('action-runner', -2)] }))).toEqual([]);
  });

  it('is found when it is more than the policy and the kills allow', () => {
    const history = ends(flawless(), { work: { fail: 9 } }, {});
    for (const attempt of [2, 3, 4]) withSecondAttempt(history, ['began'], attempt);
    expect(verdictOf(history)).toContain('attempts miscounted alpha');
  });
});

describe('what must not be repeated', () => {
  const careful = (action: 'once' | 'told') => ends(flawless(), { action }, {});
  const kills = [killed('action-runner', 4)];

  it('is found when it acts twice, kill or no kill', () => {
    const history = withSecondAttempt(careful('told'));
    expect(verdictOf(with_(history, { kills }))).toEqual(['effect doubled alpha']);
  });

  it('may begin again after a kill when it can tell that it has not acted', () => {
    const history = withSecondAttempt(careful('told'));
    const first = linesOf(history, 'alpha', 1, 'acted')[0]!;
    expect(
      verdictOf(
        with_(
          keepLines(history, (line) => line !== first),
          { kills },
        ),
      ),
    ).toEqual([]);
  });

  it('is found when it begins again and cannot tell', () => {
    const history = withSecondAttempt(careful('once'));
    const first = linesOf(history, 'alpha', 1, 'acted')[0]!;
    expect(
      verdictOf(
        with_(
          keepLines(history, (line) => line !== first),
          { kills },
        ),
      ),
    ).toEqual(['attempt unexplained alpha']);
  });

  it('may end in doubt when a runner was killed, and only then', () => {
    const history = ends(careful('once'), { action: 'once' }, { status: 'failed', code: 'in_doubt' });
    expect(verdictOf(with_(history, { kills }))).toEqual([]);
    expect(verdictOf(with_(history, { kills: [] }))).toEqual(['in doubt without a kill alpha']);
    expect(verdictOf(with_(history, { kills: [killed('mcp-frontend', 4)] }))).toEqual([
      'in doubt without a kill alpha',
    ]);
    expect(verdictOf(with_(history, { kills: [killed('action-runner', -200)] }))).toEqual([
      'in doubt without a kill alpha',
    ]);
  });

  it.each(['step', 'told'] as const)('is the only thing that may end in doubt: not %s', (action) => {
    const history = ends(flawless(), { action }, { status: 'failed', code: 'in_doubt' });
    expect(verdictOf(with_(history, { kills }))).toEqual(['outcome unexpected alpha']);
  });
});

describe('the order of a key', () => {
  it('is broken by a command that begins before an earlier one, whatever their priority', () => {
    const history = flawless();
    commandOf(history, 'alpha', 2).priority = 'high';
    for (const line of linesOf(history, 'alpha', 2)) line.at = at(1) + 1;
    outcomeOf(history, 'alpha', 2).storedAt = at(1) + 2;
    rewriteLog(history);
    expect(verdictOf(history)).toEqual(['begun out of order alpha', 'begun out of order alpha']);
  });

  it('is broken by a command that begins before the one before it has its outcome', () => {
    const history = flawless();
    outcomeOf(history, 'alpha', 1).storedAt = at(2) + 200;
    expect(verdictOf(history)).toEqual(['begun too early alpha']);
  });

  it('is broken by a command that acts after a later one has begun', () => {
    const history = flawless();
    const [acted] = linesOf(history, 'alpha', 1, 'acted');
    acted!.at = at(2) + 9;
    rewriteLog(history);
    expect(verdictOf(history)).toEqual(['begun out of order alpha']);
  });

  it('is broken by a command that begins while one before it waits for its next attempt', () => {
    const history = ends(flawless(), { work: { fail: 1 } }, {});
    const [began, acted] = linesOf(history, 'alpha', 1);
    history.lines.push({ ...began!, attempt: 2, at: at(2) + 300 });
    Object.assign(acted!, { attempt: 2, at: at(2) + 301 });
    Object.assign(outcomeOf(history, 'alpha', 1), { attempts: 2, storedAt: at(2) + 310 });
    rewriteLog(history);
    expect(verdictOf(history)).toContain('begun too early alpha');
  });
});

describe('a deadline', () => {
  const expires = (deadlineAfterMs: number, outcome: Partial<StoredOutcome>) => {
    const history = ends(flawless(), {}, { status: 'deadline_exceeded', code: 'deadline_exceeded', ...outcome });
    commandOf(history, 'alpha', 1).deadlineAt = at(1) + deadlineAfterMs;
    return keepLines(history, ({ event }) => event === 'began');
  };

  it('ends a command soon after it', () => {
    expect(verdictOf(expires(100, { storedAt: at(1) + 110 }))).toEqual([]);
  });

  it('is found when it ends a command before it', () => {
    expect(verdictOf(expires(100, { storedAt: at(1) + 90 }))).toEqual(['deadline too early alpha']);
  });

  it('is found when what it ends has long passed it', () => {
    const history = expires(100, { storedAt: at(1) + 5_100 });
    for (const value of [2, 3]) keepNothing(history, value);
    expect(verdictOf(history)).toEqual(['deadline too late alpha']);
  });

  it('may wait for a repair', () => {
    const history = expires(100, { storedAt: at(1) + 5_100 });
    for (const value of [2, 3]) keepNothing(history, value);
    expect(verdictOf(with_(history, { kills: [killed('nats-server', 50, 3_000)] }))).toEqual([]);
    expect(verdictOf(with_(history, { kills: [killed('nats-server', -20_000, -15_000)] }))).toEqual([
      'deadline too late alpha',
    ]);
  });

  it('is found when a command begins after it', () => {
    const history = expires(100, { storedAt: at(1) + 310 });
    linesOf(history, 'alpha', 1)[0]!.at = at(1) + 300;
    expect(verdictOf(history)).toEqual(['begun after its deadline alpha']);
  });

  it('is found when a success comes long after it', () => {
    const history = flawless();
    commandOf(history, 'alpha', 3).deadlineAt = at(3) - 5_000;
    expect(verdictOf(history)).toEqual(['begun after its deadline alpha', 'deadline too late alpha']);
  });

  /** A later value of the key takes no part: what is before it took long. */
  function keepNothing(history: Draft, value: number): void {
    history.lines = history.lines.filter((line) => line.key !== 'alpha' || line.value !== value);
    Object.assign(commandOf(history, 'alpha', value), { work: { ...WORK, fatal: true } });
    Object.assign(outcomeOf(history, 'alpha', value), { status: 'failed', code: FATAL, attempts: undefined });
    const { correlationId } = commandOf(history, 'alpha', value);
    callOf(history, 'alpha', value).attempts[0]!.answer = { kind: 'refused', code: FATAL, message: '', correlationId };
  }
});

describe('an outcome that is there', () => {
  it('is found when its command begins after it', () => {
    const history = flawless();
    outcomeOf(history, 'alpha', 3).storedAt = at(3) - 400;
    expect(verdictOf(history)).toEqual(['begun after its outcome alpha']);
  });
});

describe('a cancel', () => {
  const cancelled = (said?: Cancel['said'], outcome: Partial<StoredOutcome> = {}) => {
    const ended = { status: 'cancelled', code: 'cancelled', storedAt: at(1) + 6, ...outcome } as const;
    const history = ends(flawless(), { cancelAfterMs: 0 }, ended);
    delete outcomeOf(history, 'alpha', 1).attempts;
    return with_(history, {
      cancels: [{ correlationId: correlationOf('alpha', 1), askedAt: at(1) + 5, ...(said && { said }) }],
    });
  };

  it('ends what has not begun', () => {
    const history = cancelled({ at: at(1) + 7, result: 'cancelled' });
    expect(verdictOf(keepLines(history, () => false))).toEqual([]);
  });

  it('may meet what has begun, also half-way', () => {
    expect(verdictOf(cancelled({ at: at(1) + 30, result: 'cancelled' }))).toEqual([]);
  });

  it('is ignored when the command begins after it was said to be cancelled', () => {
    const history = cancelled({ at: at(1) + 7, result: 'cancelled' });
    for (const line of linesOf(history, 'alpha', 1)) line.at += 300;
    rewriteLog(history);
    expect(verdictOf(history)).toEqual(['cancel ignored alpha']);
  });

  it('is lost when the command then succeeds all the same', () => {
    const history = with_(flawless(), {
      cancels: [
        {
          correlationId: correlationOf('alpha', 1),
          askedAt: at(1) + 5,
          said: { at: at(1) + 9, result: 'cancelled' },
        },
      ],
    });
    expect(verdictOf(history)).toEqual(['cancel lost alpha']);
  });

  it('is lost when it was said that the command had ended otherwise', () => {
    expect(verdictOf(cancelled({ at: at(1) + 30, result: 'ended' }))).toEqual(['cancel lost alpha']);
  });

  it('that was asked for after the outcome explains nothing', () => {
    const history = cancelled();
    history.cancels[0]!.askedAt = at(1) + 500;
    expect(verdictOf(history)).toEqual(['outcome unexpected alpha']);
  });
});

describe('a dead letter', () => {
  const ID = correlationOf('alpha', 1);
  const SUCCESSOR = 'r_alpha_1';
  const letter = { sequence: 7, correlationId: ID, attempts: 3, reason: 'attempts_exhausted' };

  /** Alpha's value 1 gave up after three attempts. */
  function gaveUp(action: 'step' | 'gate' = 'step'): Draft {
    const attempts = action === 'gate' ? 2 : 3;
    const history = ends(
      flawless(),
      { action, work: { broken: true } },
      {
        status: 'dead_lettered',
        code: 'dead_lettered',
      },
    );
    keepLines(history, ({ event }) => event === 'began');
    for (let attempt = 2; attempt <= attempts; attempt++) {
      const [began] = linesOf(history, 'alpha', 1, 'began');
      history.lines.push({ ...began!, attempt, at: began!.at + attempt });
    }
    Object.assign(outcomeOf(history, 'alpha', 1), { attempts });
    rewriteLog(history);
    return with_(history, { letters: [letter] });
  }

  /** And was redriven `afterMs` after its call, with success. */
  function redriven(history: Draft, afterMs: number, successor = SUCCESSOR): Draft {
    const command = commandOf(history, 'alpha', 1);
    const storedAt = at(1) + afterMs + 5;
    const sequence = 900 + history.commands.length;
    const again = { sequence, correlationId: successor, idempotencyKey: '', storedAt, redriveOf: ID };
    history.commands.push({ ...command, ...again });
    const line = { line: 0, key: 'alpha', value: 1, correlationId: successor, attempt: 1 };
    history.lines.push({ ...line, event: 'began', at: storedAt + 2 }, { ...line, event: 'acted', at: storedAt + 4 });
    history.outcomes.push({
      sequence,
      storedAt: storedAt + 10,
      correlationId: successor,
      status: 'succeeded',
      attempts: 1,
      writtenBy: 'action-runner-1',
    });
    history.redrives.push({ redriveOf: ID, askedAt: at(1) + afterMs, successor });
    rewriteLog(history);
    return history;
  }

  it('is as planned, redriven or not', () => {
    expect(verdictOf(gaveUp())).toEqual([]);
    expect(verdictOf(redriven(gaveUp(), 5_000))).toEqual([]);
  });

  it('is found when it has no letter, or a letter without an envelope', () => {
    expect(verdictOf(with_(gaveUp(), { letters: [] }))).toEqual(['letter missing alpha']);
    const { correlationId: _, ...bare } = letter;
    expect(verdictOf(with_(gaveUp(), { letters: [letter, bare] }))).toEqual(['letter without envelope']);
  });

  it('is found when its command has another outcome, or none', () => {
    expect(verdictOf(with_(flawless(), { letters: [letter] }))).toEqual(['letter without outcome alpha']);
    const history = gaveUp();
    history.outcomes = history.outcomes.filter(({ correlationId }) => correlationId !== ID);
    expect(verdictOf(history)).toContain('letter without outcome');
  });

  it('is found when it gave up too early', () => {
    const history = gaveUp();
    const last = linesOf(history, 'alpha', 1).at(-1);
    keepLines(history, (line) => line !== last);
    outcomeOf(history, 'alpha', 1).attempts = 2;
    expect(verdictOf(history)).toEqual(['attempts miscounted alpha']);
  });

  it('is found when it was redriven as two commands, as none, or by nobody', () => {
    expect(verdictOf(redriven(redriven(gaveUp(), 5_000), 6_000, 'r_other'))).toEqual(['redrive doubled']);
    const lost = redriven(gaveUp(), 5_000);
    lost.redrives[0]!.successor = 'r_gone';
    expect(verdictOf(lost)).toEqual(['redrive lost']);
    expect(verdictOf(with_(redriven(gaveUp(), 5_000), { redrives: [] }))).toEqual(['redrive unknown']);
  });

  it('does not move its key forward: redriven, it comes last', () => {
    const verdict = verdictOf(redriven(gaveUp(), 500));
    expect(verdict).toContain('begun out of order alpha');
    expect(verdict).toContain('begun too early alpha');
  });

  it('that halts its key holds it until it was redriven, and then goes first', () => {
    expect(verdictOf(gaveUp('gate'))).toEqual(['begun in a halted key alpha', 'begun in a halted key alpha']);
    expect(verdictOf(redriven(gaveUp('gate'), 500))).toEqual([]);
    const late = verdictOf(redriven(gaveUp('gate'), 5_000));
    expect(late).toContain('begun in a halted key alpha');
    expect(late).toContain('begun too early alpha');
  });
});

describe('the log', () => {
  it('is found to have lines that nobody can read', () => {
    expect(verdictOf({ ...flawless(), unreadableLines: [7] })).toEqual(['log unreadable']);
  });

  it('is found to have lines of no command, or of another', () => {
    const history = flawless();
    history.lines.push({ ...history.lines[0]!, line: 98, correlationId: 'i_other' });
    history.lines[1]!.value = 3;
    expect(verdictOf(history)).toEqual(['begun unknown alpha', 'begun unknown']);
  });
});

describe('work that is left over', () => {
  it.each([
    ['not handed out', { partition: 3, pending: 2, unfinished: 0 }],
    ['not known to have ended', { partition: 3, pending: 0, unfinished: 1 }],
  ])('and %s is found', (_, partition) => {
    const history = flawless();
    history.partitions.push(partition);
    expect(verdictOf(history)).toEqual(['stuck']);
  });
});

describe('the report', () => {
  it('tells everything about a key in the order of time, and nothing of another', () => {
    const history = flawless();
    history.kills.push(killed('action-runner', 100, 400));
    const story = renderKey('alpha', history).map((line) => line.slice('00:00:00.000 '.length));
    expect(story.slice(6, 14)).toEqual([
      'http-1 calls value 1 at one: step {"ms":0,"fail":0,"fatal":false,"broken":false,"deaf":false}, normal, deadline 600000 ms',
      'COMMANDS 3: value 1 as i_alpha_1',
      'line 5: value 1 began, attempt 1, i_alpha_1',
      'line 6: value 1 acted, attempt 1, i_alpha_1',
      'OUTCOMES 3: i_alpha_1 succeeded after 1 attempts, written by action-runner-1',
      'http-1 has for value 1: the result of i_alpha_1',
      'killed action-runner 4711',
      'replaced action-runner 4711',
    ]);
    expect(story.join()).not.toContain('beta');
  });

  it('adds the history of each key that broke a rule', () => {
    const history = flawless();
    outcomeOf(history, 'beta', 3).attempts = 5;
    const text = renderFindings(check(history).findings, history).join('\n');
    expect(text).toContain('attempts miscounted (beta): i_beta_3, value 3: ');
    expect(text).toContain('history of beta:');
    expect(text).not.toContain('history of alpha:');
  });
});
