/**
 * Faults that are planted in a real stack, and mended: the figures of its processes go to the rules as they are installed, in promtool, and each
 * alert must fire while its fault is there and be clear when it is gone. See `TimeLapse` for the minutes that alerts wait for.
 */
import { readFile, readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { CommandClient } from '@callboard/jetstream';
import { bash, describeWith, isAlive, missing, operatorTools, stepsOf, testCommand, waitFor } from '@callboard/testing';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { ALERTS } from './alerts.js';
import { ASKED_FOR } from './asked-for.js';
import { NATS_METRICS } from './nats-exporter.js';
import { PROMTOOL } from './promtool.js';
import { runbookOf } from './rules.js';
import { MOST_COMMANDS, startFaultyStack, type FaultyStack } from './spec-faulty-stack.js';
import { firedAndCleared, plantFault, type PlantedFault } from './spec-fired.js';
import { TimeLapse, type Scrape } from './spec-time-lapse.js';

const SLOW_MS = 180_000;
const DAY_S = 86_400;
/** Minutes that a fault stays: longer than any of these alerts waits, with the window that it looks back. */
const LONG_ENOUGH = 25;
/** The same of the one that waits for an hour. */
const LONG_ENOUGH_TO_BURN = 70;
/** Keys of those who wait for a far side, one behind the other. */
const VISITORS = 8;
/** Of all calls, those that are refused: more than are promised to be, and too few for a page, which is for six times as many. */
const SLOW_BURN = 0.0055;
/** Who is to be notified: so few that their commands leave room for others of the tenant. */
const USHERS = 30;
/** Nothing that is fetched takes so long. */
const FETCH_MS = 30_000;
/** Planted in `nats-faults.spec.ts`; and how full a volume is, only a kubelet tells. */
const ELSEWHERE = [
  'CallboardNatsNoLeader',
  'CallboardNatsNodeGone',
  'CallboardNatsStorageNearLimit',
  'CallboardVolumeNearlyFull',
];

const inRepository = (path: string) => new URL(`../../../${path}`, import.meta.url);
const tools = await operatorTools();

describeWith([PROMTOOL], 'a real stack', () => {
  let faulty: FaultyStack;
  let lapse: TimeLapse;
  let client: Client;
  const faults: PlantedFault[] = [];
  let saga: string;

  beforeAll(async () => {
    faulty = await startFaultyStack();
    client = new Client({ name: 'spec', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
    const { token, mcp_url: url } = faulty.stack.ready;
    const headers = { authorization: `Bearer ${token}` };
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    // Of the far sides that a stack reaches when it must.
    await client.callTool({ name: 'prompter.prompt', arguments: {} });
    const streams = await streamFigures(faulty);
    lapse = new TimeLapse(async () => new Map([...(await faulty.scrape()), ...(await streams.read())]));
    closing.push(() => streams.close());
    await lapse.minutes(5);
  }, SLOW_MS);
  const closing: (() => Promise<void>)[] = [];
  afterAll(async () => {
    await lapse?.stop();
    for (const close of closing) await close();
    await client?.close();
    await faulty?.stop();
  }, SLOW_MS);

  const call = (name: string, args: Record<string, unknown> = {}, meta: Record<string, unknown> = {}) =>
    client.callTool({ name, arguments: args, _meta: meta }).catch(() => undefined);
  const later = { 'io.callboard/accept_async': true };

  /** Waits for a figure of any process. */
  const figure = (name: string, holds: (value: number) => boolean) =>
    waitFor(() => valuesOf(lapse.latest, name).some(holds), { what: `${name} as expected` });
  /** Waits for a figure of every process that has it. */
  const figures = (name: string, holds: (value: number) => boolean) =>
    waitFor(() => valuesOf(lapse.latest, name).length > 0 && valuesOf(lapse.latest, name).every(holds), {
      what: `${name} as expected everywhere`,
    });

  /** Does this over and over until it is told to stop, at the latest when its test has ended, however that ends. */
  function overAndOver(what: () => Promise<unknown>): () => Promise<void> {
    let stopped = false;
    const running = (async () => {
      while (!stopped) await what();
    })();
    // Whoever stops it hears of it.
    running.catch(() => undefined);
    const stop = () => {
      stopped = true;
      return running;
    };
    going.push(stop);
    return stop;
  }
  const going: (() => Promise<void>)[] = [];
  afterEach(async () => {
    await Promise.allSettled(going.splice(0).map((stop) => stop()));
  }, SLOW_MS);

  const calls = (of: (series: string) => boolean) =>
    sumOf(
      [...lapse.latest]
        .filter(([series]) => series.startsWith('callboard_calls_total{') && of(series))
        .map(([, value]) => value),
    );
  const refusedCalls = () => calls((series) => series.includes('code="overloaded"'));
  let subscriptions = 0;
  /** Only the first is not one too many. */
  const subscribe = () => call('events.subscribe', { name: `spec-${subscriptions++}`, sources: ['spec'] });
  /** Calls, and has a call refused when few enough of all have been. */
  const burn = async () => {
    await Promise.all(Array.from({ length: 8 }, () => call('events.list')));
    const refused = refusedCalls();
    if (refused + 1 <= SLOW_BURN * calls(() => true)) {
      await subscribe();
      await waitFor(() => refusedCalls() > refused, { what: 'a refused call among the figures' });
    }
    await lapse.minutes(2);
  };

  const fault = async (
    alerts: Record<string, Record<string, string>>,
    plant: () => Promise<void>,
    mend: () => Promise<unknown>,
    minutes = LONG_ENOUGH,
  ) => void faults.push(...(await plantFault(lapse, alerts, plant, mend, minutes)));

  it('tells every metric that an alert, a promise or a panel asks for, or the exporter of NATS does', async () => {
    const told = new Set([...NATS_METRICS, ...(await faulty.told())]);
    // Those of what this stack has not: an event bus.
    const elsewhere = /^callboard_bus/;
    expect(ASKED_FOR.filter((name) => !told.has(name) && !elsewhere.test(name))).toEqual([]);
    const sources = await productSources();
    for (const name of ASKED_FOR.filter((each) => elsewhere.test(each))) expect(sources).toContain(`'${name}'`);
  });

  it(
    'has files that cannot be used, far sides that fail, events that cannot be read, a saga that cannot be undone',
    async () => {
      const { files, backstage, collector, stack } = faulty;
      const loops: (() => Promise<void>)[] = [];
      const sent: Promise<unknown>[] = [];
      await fault(
        {
          CallboardPoliciesBroken: { app: 'mcp-frontend' },
          CallboardQuotasBroken: {},
          CallboardFilterPolicyBroken: {},
          CallboardErrorLogged: { app: 'pii-filter' },
          CallboardRetryStorm: {},
          CallboardDeadLetters: { action: 'far.ask' },
          CallboardEventsHeld: { reason: 'unsupported_content' },
          CallboardFilterLags: {},
          CallboardEventsMissed: {},
          CallboardSagasHalted: {},
          CallboardNotificationsFail: {},
          CallboardDownstreamDrift: { server: 'prompter' },
          CallboardTracesLost: {},
          CallboardFilterWorkersLost: { reason: 'filter_crashed' },
          CallboardCertificateExpires: { app: 'notifier', certificate: 'own' },
          CallboardErrorBudgetBurns: { slo: 'calls' },
        },
        async () => {
          await send(stack.ready, 'unreadable', 'text/plain; charset=utf-16', 'what nobody reads');
          await figure('callboard_filter_held_total', (value) => value > 0);
          // While the machine has nothing else to do: the alert is about how many threads are lost within half an hour.
          await send(stack.ready, 'large', 'application/json', LARGE_EVENT);
          // A counter says nothing of what it counted before somebody saw it.
          await figure('callboard_filter_workers_lost_total', (value) => value > 0);
          for (let i = 1; i < LARGE_EVENTS; i++) await send(stack.ready, `large ${i}`, 'application/json', LARGE_EVENT);
          await figure('callboard_filter_oldest_raw_seconds', (value) => value > 1);
          await figure('callboard_filter_workers_lost_total', (value) => value >= 2 * LARGE_EVENTS);
          backstage.status = 503;
          collector.status = 400;
          await faulty.certify('notifier', 6);
          await subscribe();
          loops.push(overAndOver(burn));
          await Promise.all(Object.values(files).map((file) => file.break()));
          let usher = 0;
          for (let i = 0; i < 4; i++) {
            loops.push(overAndOver(() => call('far.ask', {}, { 'io.callboard/ordering_key': `far side ${i}` })));
          }
          loops.push(
            overAndOver(async () => {
              const recipients = { type: 'entity', entityRef: `user:default/usher-${++usher}` };
              // Not waited for: each is asked for again by itself, later and later.
              if (usher < USHERS) sent.push(call('notifications.send', { title: 'Places, please', recipients }, later));
              await lapse.minutes(2);
            }),
          );
          saga = idOf(await call('stage.open', {}, later));
          await call('events.read', { cursor: 'c1_0_0' });
          await figures('callboard_policies_broken', (value) => value === 1);
          await figures('callboard_quotas_broken', (value) => value === 1);
          await figures('callboard_filter_policy_broken', (value) => value === 1);
          await figure('callboard_certificate_expires_seconds', (value) => value < 7 * DAY_S);
          await figure('callboard_sagas_halted', (value) => value === 1);
          await figure('callboard_mcp_server_drift', (value) => value > 0);
          await figure('callboard_notification_retries_total', (value) => value > 5);
          await waitFor(() => refusedCalls() > 0, { what: 'a budget that burns' });
        },
        async () => {
          backstage.status = 200;
          collector.status = 200;
          await Promise.all(loops.map((stop) => stop()));
          await Promise.all(sent);
          await Promise.all(Object.values(files).map((file) => file.mend()));
          await faulty.certify('notifier', 90);
          await faulty.callboard('sagas', 'skip', saga, '--reason', 'closed by hand');
          await figures('callboard_policies_broken', (value) => value === 0);
          await figures('callboard_quotas_broken', (value) => value === 0);
          await figures('callboard_filter_policy_broken', (value) => value === 0);
          await figures('callboard_filter_oldest_raw_seconds', (value) => value === 0);
          await figures('callboard_sagas_halted', (value) => value === 0);
          await figures('callboard_mcp_server_drift', (value) => value === 0);
          await figures('callboard_notifications_running', (value) => value === 0);
          await figures('callboard_certificate_expires_seconds', (value) => value > 89 * DAY_S);
        },
        LONG_ENOUGH_TO_BURN,
      );
    },
    2 * SLOW_MS,
  );

  it(
    'has a far side that is slow, so that more commands come than are done',
    async () => {
      const nc = await faulty.stack.connect('operator');
      const commands = await CommandClient.start(nc, { instance: 'spec', scheduleDeadlinesAfterMs: SLOW_MS });
      closing.push(async () => {
        commands.close();
        await nc.close();
      });
      const endings: Promise<string>[] = [];
      let handed = 0;
      // Handed in by an operator, for no tenant may have so many open.
      const handIn = (count: number) =>
        Promise.all(
          Array.from({ length: count }, async () => {
            const far = { tool: 'far', method: 'wait', deadline_ms: SLOW_MS };
            const { outcome } = await commands.submit(testCommand(`visitor ${handed++ % VISITORS}`, {}, far));
            endings.push(outcome.then(({ status }) => status).catch(String));
          }),
        );
      const buffered = () => sumOf(valuesOf(lapse.latest, 'callboard_commands_buffered'));
      let coming: () => Promise<void>;
      await fault(
        { CallboardBacklogGrows: {} },
        async () => {
          faulty.farSide.delayMs = 2_000;
          await handIn(1_050);
          coming = overAndOver(() => Promise.all([handIn(10), lapse.minutes(1)]));
          await waitFor(() => buffered() > 1_000, { what: 'more than a thousand commands that wait' });
        },
        async () => {
          await coming();
          faulty.farSide.delayMs = 0;
          expect([...new Set(await Promise.all(endings))]).toEqual(['succeeded']);
          await figures('callboard_commands_buffered', (value) => value === 0);
          await figures('callboard_audit_lag_records', (value) => value === 0);
        },
      );
    },
    SLOW_MS,
  );

  it(
    'has a halted key, behind which another command waits',
    async () => {
      const key = { 'io.callboard/ordering_key': 'gate' };
      await fault(
        { CallboardKeysHalted: {}, CallboardCommandsStalled: {} },
        async () => {
          await call('gate.pass', { fail: true }, key);
          await call('gate.pass', {}, { ...key, ...later });
          await figures('callboard_keys_halted', (value) => value === 1);
        },
        async () => {
          const listed = JSON.parse(await faulty.callboard('dlq', 'list', '--action', 'gate.pass', '--json'));
          const [{ letter }] = listed as [{ letter: number }];
          await faulty.callboard('dlq', 'discard', String(letter));
          await figures('callboard_keys_halted', (value) => value === 0);
        },
      );
    },
    SLOW_MS,
  );

  it(
    'has more commands than a tenant may have, and somebody who tries tokens',
    async () => {
      const loops: (() => Promise<void>)[] = [];
      const guess = async () => {
        const headers = { authorization: 'Bearer guessed' };
        const signal = AbortSignal.timeout(FETCH_MS);
        await (await fetch(faulty.stack.ready.mcp_url, { method: 'POST', headers, signal })).text();
      };
      await fault(
        {
          CallboardOverloaded: { limit: 'commands of a tenant' },
          CallboardErrorBudgetBurnsFast: { slo: 'calls' },
          CallboardCredentialsRefused: {},
        },
        async () => {
          loops.push(overAndOver(() => Promise.all([lapse.minutes(1), ...Array.from({ length: 20 }, guess)])));
          for (let i = 0; i < MOST_COMMANDS + 10; i++) {
            loops.push(overAndOver(() => Promise.all([call('demo.sleep', { ms: 2_000 }), lapse.minutes(1)])));
          }
          await figure('callboard_refusals_total', (value) => value > 0);
        },
        async () => {
          await Promise.all(loops.map((stop) => stop()));
          // Or what comes next is refused too.
          await figures('callboard_commands_open', (value) => value === 0);
        },
      );
    },
    SLOW_MS,
  );

  it(
    'has a ledger whose database is away, and an audit stream that is full',
    async () => {
      const { stack, database } = faulty;
      const resize = await auditStream(stack);
      closing.push(() => resize.close());
      await fault(
        {
          CallboardAuditLag: {},
          CallboardCheckpointsStale: {},
          CallboardAuditRefused: {},
          CallboardAuditLost: {},
          CallboardStreamNearLimit: { stream_name: 'AUDIT' },
        },
        async () => {
          await database.kill();
          await call('demo.append', { key: 'stage', value: 'before it is full' });
          await resize.toWhatIsThere();
          await call('demo.append', { key: 'stage', value: 'when it is full' });
          await fetch(stack.ready.mcp_url, {
            method: 'POST',
            headers: { authorization: 'Bearer wrong' },
            signal: AbortSignal.timeout(FETCH_MS),
          });
          await figure('callboard_ledger_checkpoint_age_seconds', (value) => value > 15);
        },
        async () => {
          await resize.back();
          await database.start();
          await figures('callboard_audit_lag_records', (value) => value === 0);
          await figures('callboard_ledger_checkpoint_age_seconds', (value) => value < 2);
        },
      );
    },
    SLOW_MS,
  );

  it(
    'has pages whose commands show what they are about',
    async () => {
      if (typeof tools === 'string') throw new Error(`the commands of the pages cannot be run: ${tools}`);
      const { stack, folder, backstage } = faulty;
      const { metrics, nats_url: url, nats_users: users } = await stack.readReady();
      const letters = JSON.parse(await faulty.callboard('dlq', 'list', '--json')) as { letter: number }[];
      const env = {
        ...process.env,
        PATH: `${dirname(tools.nats)}:${process.env['PATH']}`,
        HOME: folder,
        NATS_URL: url,
        NATS_CREDS: users['sre']!.creds,
        NATS_CA: users['sre']!.tls!.caFile,
        NATS_CERT: users['sre']!.tls!.certFile,
        NATS_KEY: users['sre']!.tls!.keyFile,
        BACKSTAGE_URL: backstage.url,
        LETTER: String(letters[0]!.letter),
        SAGA: saga,
      };
      const pages = await Promise.all(
        ALERTS.map(async (alert) => {
          const [step] = stepsOf(await readFile(inRepository(runbookOf(alert)), 'utf8'));
          const app = /^# \$METRICS is of a process of (\S+)$/m.exec(step!.commands)?.[1];
          const lines = step!.commands.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
          return { alert: alert.name, app, lines, expected: step!.expected };
        }),
      );
      const keyOf = (app: string | undefined, line: string) => (line.includes('METRICS') ? `${app} ${line}` : line);
      // No line needs another one, and many pages have the same: each is run once, of each app.
      const printed = new Map<string, string>();
      const waiting = [
        ...new Map(pages.flatMap(({ app, lines }) => lines.map((line) => [keyOf(app, line), { app, line }] as const))),
      ];
      const work = async () => {
        for (let next = waiting.shift(); next; next = waiting.shift()) {
          const [key, { app, line }] = next;
          const METRICS = app === undefined ? undefined : metrics[app]![0];
          printed.set(key, (await bash(line, folder, { ...env, METRICS })).printed);
        }
      };
      await Promise.all(Array.from({ length: 4 }, work));
      const wrong = pages.flatMap(({ alert, app, lines, expected }) => {
        const all = lines.map((line) => printed.get(keyOf(app, line))).join('');
        const absent = missing(expected, all);
        return expected.length > 0 && absent === undefined ? [] : [{ alert, lines, absent, all }];
      });
      expect(wrong).toEqual([]);
    },
    2 * SLOW_MS,
  );

  it(
    'has no NATS, and then no runners',
    async () => {
      const { stack } = faulty;
      const { processes, supervisor_pid: supervisor } = stack.ready;
      /** While the supervisor stands still it replaces nobody. */
      const frozen = async (pids: number[]) => {
        process.kill(supervisor, 'SIGSTOP');
        for (const pid of pids) process.kill(pid, 'SIGKILL');
        await waitFor(() => !pids.some(isAlive), { what: 'the end of these processes' });
      };
      const runners = async () => (await stack.readReady()).processes['action-runner']!;
      const thaw = () => process.kill(supervisor, 'SIGCONT');
      await fault({ CallboardPartitionsUnowned: {} }, async () => frozen((await runners()).slice(0, 1)), replaced, 6);
      await fault({ CallboardNoRunner: {} }, async () => frozen(await runners()), replaced, 10);
      await fault(
        { CallboardNotReady: { app: 'mcp-frontend' } },
        () => frozen(processes['nats-server']!),
        async () => {
          thaw();
          await figures('callboard_ready', (value) => value === 1);
          await owned();
        },
        10,
      );

      /** Has the supervisor start others in their places. */
      async function replaced(): Promise<void> {
        thaw();
        await waitFor(async () => (await runners()).every(isAlive), { what: 'other runners' });
        await owned();
      }

      function owned(): Promise<unknown> {
        const each = () => valuesOf(lapse.latest, 'callboard_partitions_owned');
        return waitFor(() => each().length === 2 && each()[0]! + each()[1]! === 16, {
          what: 'an owner of each partition',
        });
      }
    },
    SLOW_MS,
  );

  it(
    'makes each of these alerts fire while its fault is there, and none before or after',
    async () => {
      await lapse.stop();
      const { ok, what } = firedAndCleared(lapse, faults);
      expect([what.includes('FAILED') ? what : '', ok]).toEqual(['', true]);
      const planted = new Set(faults.map(({ alert }) => alert));
      const left = ALERTS.map(({ name }) => name).filter((name) => !planted.has(name));
      expect(left.sort()).toEqual(ELSEWHERE);
    },
    2 * SLOW_MS,
  );
});

async function productSources(): Promise<string> {
  const texts: string[] = [];
  for (const root of ['apps/', 'libs/']) {
    for (const file of await readdir(inRepository(root), { recursive: true })) {
      if (/^[^/]+\/src\/.*\.ts$/.test(file)) texts.push(await readFile(inRepository(`${root}${file}`), 'utf8'));
    }
  }
  return texts.join('\n');
}

/** Samples of a metric, of all processes and labels. */
function valuesOf(scrape: Scrape, metric: string): number[] {
  return [...scrape].filter(([series]) => series.startsWith(`${metric}{`)).map(([, value]) => value);
}

const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

function idOf(called: { structuredContent?: unknown } | undefined): string {
  return (called!.structuredContent as { correlation_id: string }).correlation_id;
}

/** Of one key, so that they wait for each other: long enough for whoever looks how old the oldest is. */
const LARGE_EVENTS = 12;
/** Needs more heap than a thread may have as soon as it is read: every object is of a shape of its own. */
const LARGE_EVENT = JSON.stringify(Array.from({ length: 80_000 }, (_, i) => ({ [i.toString(36)]: {} })));

async function send(
  { ingest_url: url, token }: FaultyStack['stack']['ready'],
  id: string,
  type: string,
  body: string,
): Promise<void> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': type,
      ...{ 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': '/spec', 'ce-type': 'spec.planted' },
    },
    body,
    signal: AbortSignal.timeout(FETCH_MS),
  });
  expect({ id, ok: answer.ok }).toEqual({ id, ok: true });
}

interface StreamInfo {
  config: { name: string; max_bytes: number };
  state: { bytes: number };
}

/** Asks nats-server for streams as the user that makes them. */
async function streamsOf({ connect }: FaultyStack['stack']) {
  const nc = await connect('provisioner');
  const api = async (what: string, payload = '') => {
    const answer = (await nc.request(`$JS.API.${what}`, payload)).json<object>();
    if ('error' in answer) throw new Error(`${what}: ${JSON.stringify(answer.error)}`);
    return answer as StreamInfo;
  };
  return { api, close: () => nc.close() };
}

/** What prometheus-nats-exporter tells of streams: the same figures, under its names. */
async function streamFigures({ stack }: FaultyStack) {
  const { api, close } = await streamsOf(stack);
  const read = async (): Promise<Scrape> => {
    const { config, state } = await api('STREAM.INFO.AUDIT').catch(() => ({ config: undefined, state: undefined }));
    if (!config) return new Map();
    const labels = `{stream_name="${config.name}",is_stream_leader="true"}`;
    return new Map([
      [`nats_stream_total_bytes${labels}`, state.bytes],
      [`nats_stream_limit_bytes${labels}`, config.max_bytes],
    ]);
  };
  return { read, close };
}

async function auditStream(stack: FaultyStack['stack']) {
  const { api, close } = await streamsOf(stack);
  const { config: declared } = await api('STREAM.INFO.AUDIT');
  const resize = (bytes: number) => api('STREAM.UPDATE.AUDIT', JSON.stringify({ ...declared, max_bytes: bytes }));
  return {
    toWhatIsThere: async () => resize((await api('STREAM.INFO.AUDIT')).state.bytes),
    back: () => resize(declared.max_bytes),
    close,
  };
}
