/**
 * Who may do what: every user against every verb of every stream, every subject and every inbox, asked of real servers with real
 * identities. Once on a server of our own (JWT), once on a cluster of three that was given what `callboard nats config` writes (nkeys, and
 * certificates of both sides); and by `npm run verify:deploy` on one that was given what the Helm chart renders.
 *
 * Each answer is compared twice: with what the topology declares, so that both forms of it mean the same; and, as a table, with what
 * people wrote below, so that a change of who may do what is a change of this file.
 */
import { resolveNatsServer, runCommand } from '@callboard/nats-server';
import { startNatsCluster, startTestNats } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { onDenied } from './connect.js';
import { inboxPrefix, type DeclaredUser, type Topology } from './topology.js';

const SLOW_MS = 180_000;
const PARTITIONS = { partitions: 2, eventPartitions: 2 };
/** The server looks at who asks before it looks at what: this is no request that it would carry out. */
const NO_REQUEST = '{"';
/** Nobody may publish it: when it was refused, everything before it was answered. */
const LAST = 'nobody.may.publish.this';

/** Folder with what the Helm chart renders, and the seeds of the users: `npm run verify:deploy` names it. */
const RENDERED = process.env['CALLBOARD_SPEC_RENDERED'];

/** Some consumer that is not there. */
const NOBODY = 'nobody';

const OF_A_STREAM: Record<string, (stream: string) => string> = {
  'see how it is set': (s) => `$JS.API.STREAM.INFO.${s}`,
  'create it': (s) => `$JS.API.STREAM.CREATE.${s}`,
  'change it': (s) => `$JS.API.STREAM.UPDATE.${s}`,
  'delete it': (s) => `$JS.API.STREAM.DELETE.${s}`,
  'purge it': (s) => `$JS.API.STREAM.PURGE.${s}`,
  'copy it out': (s) => `$JS.API.STREAM.SNAPSHOT.${s}`,
  'copy it in': (s) => `$JS.API.STREAM.RESTORE.${s}`,
  'take a replica away': (s) => `$JS.API.STREAM.PEER.REMOVE.${s}`,
  'get a message': (s) => `$JS.API.STREAM.MSG.GET.${s}`,
  'delete a message': (s) => `$JS.API.STREAM.MSG.DELETE.${s}`,
  'get directly': (s) => `$JS.API.DIRECT.GET.${s}`,
  'get the last directly': (s) => `$JS.API.DIRECT.GET.${s}.some.subject`,
  'make a consumer': (s) => `$JS.API.CONSUMER.CREATE.${s}`,
  'make a named consumer': (s) => `$JS.API.CONSUMER.CREATE.${s}.${NOBODY}`,
  'make a filtered consumer': (s) => `$JS.API.CONSUMER.CREATE.${s}.${NOBODY}.some.subject`,
  'make a durable consumer': (s) => `$JS.API.CONSUMER.DURABLE.CREATE.${s}.${NOBODY}`,
  'see a consumer': (s) => `$JS.API.CONSUMER.INFO.${s}.${NOBODY}`,
  'pull from any consumer': (s) => `$JS.API.CONSUMER.MSG.NEXT.${s}.${NOBODY}`,
  'reset a consumer': (s) => `$JS.API.CONSUMER.RESET.${s}.${NOBODY}`,
  'delete a consumer': (s) => `$JS.API.CONSUMER.DELETE.${s}.${NOBODY}`,
  'pause a consumer': (s) => `$JS.API.CONSUMER.PAUSE.${s}.${NOBODY}`,
  'acknowledge for anybody': (s) => `$JS.ACK.${s}.${NOBODY}.1.1.1.1.0`,
};

const OF_THE_ACCOUNT = ['INFO', 'STREAM.NAMES', 'STREAM.LIST', 'ACCOUNT.PURGE.any', 'META.LEADER.STEPDOWN'].map(
  (verb) => `$JS.API.${verb}`,
);
const ELSEWHERE = [
  // Parts of what a stream takes, that some may write and no more of it.
  'raw.acme.backstage.push.key.e_1',
  'dlq.SCHEDULES.any',
  'dlq.EVENTS_RAW.any',
  '$KV.ACTIONS.remote.any',
  '$KV.ACTIONS.services.notifier.any',
  '$KV.ACTIONS.services.operator-tools.any',
  'svc.any.thing',
  'svc.notifications',
  'svc.operator-tools',
  'abort.acme.c_1',
  'ctl.pii-filter.erase',
  'ctl.audit-writer.verify',
  'ctl.audit-writer.search.acme',
  'live.out.acme.c_1',
  '$SYS.REQ.SERVER.PING',
];
const LISTENED = [
  '>',
  'live.>',
  'svc.>',
  'svc.notifications',
  'svc.operator-tools',
  'abort.*.*',
  'ctl.>',
  'ctl.pii-filter.*',
  'mcp.>',
  '$JS.EVENT.>',
  '$JS.API.>',
  '$SYS.>',
];

/** One subject of each pattern that a stream takes. */
function subjectsOf({ streams }: Topology): Map<string, string[]> {
  const concrete = (pattern: string) => pattern.replaceAll('*', 'any').replace(/>$/, 'any.more');
  return new Map(streams.map(({ config }) => [config.name, (config.subjects ?? []).map(concrete)]));
}

/** Stream by stream: who writes, who reads, who may take a message out. Only the provisioner changes one, and nobody destroys one. */
const MAY: Record<string, { write: string; read: string; 'delete one'?: string; purge?: string }> = {
  AUDIT: {
    write:
      'mcp-frontend action-runner event-ingestor pii-filter notifier audit-writer operator-tools saga-orchestrator operator',
    read: 'audit-writer sre',
    purge: 'audit-writer',
  },
  AUDIT_CHECKPOINTS: { write: 'audit-writer', read: 'audit-writer sre' },
  BUDGETS: { write: 'notifier', read: 'notifier sre', purge: 'eraser' },
  COMMANDS: {
    write: 'mcp-frontend operator-tools saga-orchestrator operator sre',
    read: 'mcp-frontend action-runner operator-tools saga-orchestrator operator sre',
    purge: 'eraser',
  },
  DEAD_LETTERS: {
    write: 'action-runner',
    read: 'pii-filter operator-tools operator sre',
    'delete one': 'pii-filter operator-tools operator sre',
    purge: 'eraser',
  },
  DISPATCH: { write: 'action-runner', read: 'action-runner eda sre', purge: 'eraser' },
  EVENTS: { write: 'pii-filter', read: 'mcp-frontend pii-filter sre', 'delete one': 'pii-filter', purge: 'eraser' },
  EVENTS_HELD: { write: 'pii-filter', read: 'pii-filter', 'delete one': 'pii-filter' },
  EVENTS_RAW: { write: 'event-ingestor', read: 'pii-filter', 'delete one': 'pii-filter' },
  KV_ACTIONS: {
    write: 'action-runner',
    read: 'mcp-frontend action-runner notifier operator-tools saga-orchestrator operator sre',
  },
  KV_DIGESTS: { write: 'notifier eraser', read: 'notifier sre' },
  KV_FILTER_LEASES: { write: 'pii-filter', read: 'pii-filter sre' },
  KV_HALTS: {
    write: 'action-runner operator-tools operator eraser',
    read: 'action-runner operator-tools operator sre',
  },
  KV_INGEST: { write: 'event-ingestor', read: 'event-ingestor sre' },
  KV_LEASES: { write: 'action-runner', read: 'action-runner sre' },
  KV_MCP_SESSIONS: { write: 'mcp-frontend eraser', read: 'mcp-frontend sre' },
  KV_PSEUDONYM_KEYS: { write: 'pii-filter', read: 'pii-filter', 'delete one': 'pii-filter' },
  KV_SAGA_LEASES: { write: 'saga-orchestrator', read: 'saga-orchestrator sre' },
  KV_SUBSCRIPTIONS: { write: 'mcp-frontend eraser', read: 'mcp-frontend sre' },
  OUTCOMES: {
    write: 'mcp-frontend action-runner operator-tools saga-orchestrator operator',
    read: 'mcp-frontend action-runner operator-tools saga-orchestrator operator sre',
    purge: 'eraser',
  },
  PROGRESS: {
    write: 'mcp-frontend action-runner saga-orchestrator',
    read: 'mcp-frontend action-runner saga-orchestrator operator sre',
    purge: 'eraser',
  },
  SAGAS: {
    write: 'mcp-frontend saga-orchestrator operator',
    read: 'mcp-frontend saga-orchestrator operator sre',
    purge: 'eraser',
  },
  SCHEDULES: { write: 'operator sre', read: 'operator sre', purge: 'eraser' },
  SESSIONS: { write: 'mcp-frontend', read: 'mcp-frontend sre', purge: 'eraser' },
};

interface Server {
  topology: Topology;
  configFiles: readonly string[];
  connect(user: string): Promise<NatsConnection>;
  dispose(): Promise<void>;
}

const SERVERS: [string, () => Promise<Server>][] = [
  [
    'a server of our own, with credentials',
    async () => ({ configFiles: [], ...(await startTestNats({ topology: PARTITIONS })) }),
  ],
  ['a cluster that was given the written configuration, with nkeys and mTLS', () => startNatsCluster(PARTITIONS)],
];
if (RENDERED) SERVERS.push(['a cluster that was given what the chart renders', () => startNatsCluster({}, RENDERED)]);

describe.each(SERVERS)('on %s', (_name, start) => {
  let server: Server;
  const denied = new Map<string, { publish: Set<string>; subscription: Set<string> }>();
  let published: string[];
  let subscribed: string[];

  beforeAll(async () => {
    server = await start();
    const { topology } = server;
    const consumers = topology.streams.flatMap(({ config: { name }, consumers = [] }) =>
      consumers.flatMap(({ durable_name }) => [
        `$JS.API.CONSUMER.MSG.NEXT.${name}.${durable_name}`,
        `$JS.ACK.${name}.${durable_name}.1.1.1.1.0`,
      ]),
    );
    const inboxes = topology.users.map(({ name }) => inboxPrefix(name));
    published = [
      ...topology.streams.flatMap(({ config }) => Object.values(OF_A_STREAM).map((verb) => verb(config.name))),
      ...[...subjectsOf(topology).values()].flat(),
      ...[...consumers, ...OF_THE_ACCOUNT, ...ELSEWHERE],
      ...inboxes.map((inbox) => `${inbox}.any`),
    ];
    subscribed = [
      ...LISTENED,
      ...topology.streams.flatMap(({ config }) => config.subjects ?? []),
      ...inboxes.map((inbox) => `${inbox}.>`),
    ];
    for (const { name } of topology.users)
      denied.set(name, await tryAll(await server.connect(name), published, subscribed));
  }, SLOW_MS);
  afterAll(() => server?.dispose());

  it('nats-server finds the written configuration valid', async () => {
    const { path: binary } = await resolveNatsServer();
    for (const file of server.configFiles) {
      await expect(runCommand(binary, ['-t', '-c', file], { timeoutMs: 10_000 })).resolves.toBeDefined();
    }
  });

  it('every user may do what the topology declares, and nothing else', () => {
    for (const user of server.topology.users) {
      const { publish, subscription } = denied.get(user.name)!;
      const told = (all: string[], refused: Set<string>) => all.filter((subject) => !refused.has(subject));
      expect([user.name, told(published, publish)]).toEqual([
        user.name,
        published.filter((subject) => may(user.publish, subject)),
      ]);
      expect([user.name, told(subscribed, subscription)]).toEqual([
        user.name,
        subscribed.filter((subject) => may(user.subscribe, subject)),
      ]);
    }
  });

  it('nobody reads the inbox of another', () => {
    for (const { name } of server.topology.users) {
      const own = `${inboxPrefix(name)}.>`;
      const inboxes = subscribed.filter(
        (subject) => subject.startsWith('_INBOX_') && !denied.get(name)!.subscription.has(subject),
      );
      // People at night hear everything but what no filter has passed.
      if (name === 'sre') expect(inboxes).not.toContain(`${inboxPrefix('pii-filter')}.>`);
      else expect([name, inboxes]).toEqual([name, [own]]);
    }
  });

  it('who may do what to each stream is what people have decided', () => {
    const byStream = Object.fromEntries(
      server.topology.streams.map(({ config }) => [config.name, whoMay(server.topology, config.name, denied)]),
    );
    const decided = Object.entries(MAY).map(([stream, may]) => [
      stream,
      { 'delete one': '', purge: '', change: 'provisioner', destroy: '', 'take a replica away': 'sre', ...may },
    ]);
    expect(byStream).toEqual(Object.fromEntries(decided));
  });
});

/** Publishes and subscribes everything, and returns what was refused. */
async function tryAll(nc: NatsConnection, publish: string[], subscribe: string[]) {
  const refused = { publish: new Set<string>(), subscription: new Set<string>() };
  const answered = new Promise<void>((resolve) => {
    onDenied(nc, ({ operation, subject }) => {
      refused[operation].add(subject);
      if (subject === LAST) resolve();
    });
  });
  // A subject of a stream takes nothing that expects to come after what is not there.
  const never = headers();
  never.set('Nats-Expected-Last-Sequence', '4294967295');
  for (const subject of publish) nc.publish(subject, NO_REQUEST, subject.startsWith('$JS') ? {} : { headers: never });
  for (const subject of subscribe) nc.subscribe(subject, { callback: () => undefined });
  nc.publish(LAST);
  await answered;
  await nc.close();
  return refused;
}

/** For each verb, the users that may: what anybody must be able to read at a glance. */
function whoMay(
  topology: Topology,
  stream: string,
  denied: Map<string, { publish: Set<string> }>,
): Record<string, string> {
  const users = (subjects: string[]) =>
    topology.users
      .map(({ name }) => name)
      .filter((name) => subjects.some((subject) => !denied.get(name)!.publish.has(subject)))
      .join(' ');
  const verbs = (...names: string[]) => users(names.map((name) => OF_A_STREAM[name]!(stream)));
  return {
    write: users(subjectsOf(topology).get(stream)!),
    read: verbs(
      ...['get a message', 'get directly', 'get the last directly', 'copy it out', 'pull from any consumer'],
      ...['make a consumer', 'make a named consumer', 'make a filtered consumer', 'make a durable consumer'],
    ),
    'delete one': verbs('delete a message'),
    purge: verbs('purge it'),
    change: verbs('create it', 'change it'),
    destroy: verbs('delete it', 'copy it in'),
    'take a replica away': verbs('take a replica away'),
  };
}

function may({ allow, deny = [] }: DeclaredUser['publish'], subject: string): boolean {
  return allow.some((pattern) => covers(pattern, subject)) && !deny.some((pattern) => covers(pattern, subject));
}

/** Does a pattern take every subject that another one does? */
function covers(pattern: string, subject: string): boolean {
  const [wanted, given] = [pattern.split('.'), subject.split('.')];
  for (const [i, token] of wanted.entries()) {
    if (token === '>') return given.length > i;
    if (given[i] === undefined || given[i] === '>') return false;
    if (token !== '*' && token !== given[i]) return false;
  }
  return wanted.length === given.length;
}
