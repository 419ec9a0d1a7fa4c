/**
 * Who can read what no filter has passed: every user of the topology, by every way that the server has, with the real credentials.
 *
 * Each way that a user may be granted is tried by the filter too, so that a misspelt one is noticed: it brings a message, or a consumer.
 */
import { randomBytes } from 'node:crypto';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { createInbox, headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { checkTopology } from './apply.js';
import { declareTopology, inboxPrefix } from './topology.js';

const SLOW_MS = 180_000;
const ANSWER_MS = 400;
/** In a key, and at the beginning of a body. */
const CANARY = `canary${randomBytes(6).toString('hex')}`;
const ENCODED = [CANARY, Buffer.from(CANARY).toString('base64').slice(0, 16)];
const PARTITIONS = 2;

const FILTER = 'pii-filter';
const OTHERS = declareTopology()
  .users.map(({ name }) => name)
  .filter((name) => name !== FILTER);

let nats: TestNats;
let filter: NatsConnection;
let source: NatsConnection;
let sent = 0;

beforeAll(async () => {
  nats = await startTestNats({ topology: { eventPartitions: PARTITIONS } });
  filter = await nats.connect(FILTER);
  source = await nats.connect('event-ingestor');
  await store();
}, SLOW_MS);
afterAll(() => nats.dispose());

/** A raw event in each stream. */
async function store(): Promise<void> {
  const address = (event: number) => `acme.github.push.${CANARY}.e_${event}`;
  const body = Buffer.from(`${CANARY} and more`);
  for (const [nc, prefix] of [
    [source, 'raw'],
    [source, 'raw'],
    [filter, 'held'],
  ] as const) {
    await nc.request(`${prefix}.${address(++sent)}`, body, { timeout: 10_000 });
  }
}

/** What a connection has heard, of whatever it subscribed to or asked for. */
class Ear {
  readonly messages: Msg[] = [];
  readonly inbox: string;

  constructor(
    readonly nc: NatsConnection,
    user: string,
  ) {
    this.inbox = createInbox(inboxPrefix(user));
    this.listen(`${inboxPrefix(user)}.>`);
  }

  listen(subject: string): void {
    this.nc.subscribe(subject, { callback: (error, message) => void (error ?? this.messages.push(message)) });
  }

  /** Asks the server, and leaves what it answers to be heard. */
  ask(subject: string, body: object = {}): void {
    this.nc.publish(subject, JSON.stringify(body), { reply: `${this.inbox}.${subject.replace(/[>*]/g, '_')}` });
  }

  get heardCanary(): boolean {
    return this.messages.some((message) => {
      const text = [message.subject, message.string(), JSON.stringify([...(message.headers ?? [])])].join(' ');
      return ENCODED.some((canary) => text.includes(canary));
    });
  }

  /** API calls about a stream that the server has answered with something else than an error. */
  get answered(): string[] {
    const replies = this.messages.filter(({ subject }) => subject.startsWith(this.inbox));
    const useful = replies.filter(({ data, headers }) => data.length > 0 && !isError(data) && !headers?.code);
    return useful.map(({ subject }) => subject.slice(this.inbox.length + 1)).sort();
  }
}

function isError(data: Uint8Array): boolean {
  try {
    return 'error' in (JSON.parse(Buffer.from(data).toString()) as object);
  } catch {
    return false;
  }
}

type Way = (ear: Ear, stream: 'EVENTS_RAW' | 'EVENTS_HELD') => void;

const consumer = (stream: string, more: object) => ({
  stream_name: stream,
  config: { ack_policy: 'explicit', deliver_policy: 'all', inactive_threshold: 60_000_000_000, ...more },
});
const prefix = { EVENTS_RAW: 'raw', EVENTS_HELD: 'held' } as const;

/** Each asks for a message, or for something that brings one. */
const WAYS: Record<string, Way> = {
  'a pull from a declared consumer': (ear, stream) => {
    for (let i = 0; i < PARTITIONS; i++) ear.ask(`$JS.API.CONSUMER.MSG.NEXT.${stream}.filter-${i}`, { batch: 10 });
  },
  'a consumer without a name': (ear, stream) => ear.ask(`$JS.API.CONSUMER.CREATE.${stream}`, consumer(stream, {})),
  'a push consumer without a name': (ear, stream) =>
    ear.ask(`$JS.API.CONSUMER.CREATE.${stream}`, consumer(stream, { deliver_subject: ear.inbox })),
  'a consumer with a name': (ear, stream) => {
    ear.ask(`$JS.API.CONSUMER.CREATE.${stream}.mine`, consumer(stream, { name: 'mine' }));
    ear.ask(`$JS.API.CONSUMER.MSG.NEXT.${stream}.mine`, { batch: 10 });
  },
  'a push consumer with a name': (ear, stream) =>
    ear.ask(`$JS.API.CONSUMER.CREATE.${stream}.push`, consumer(stream, { name: 'push', deliver_subject: ear.inbox })),
  'a consumer with a name and a filter': (ear, stream) =>
    ear.ask(
      `$JS.API.CONSUMER.CREATE.${stream}.filtered.${prefix[stream]}.>`,
      consumer(stream, { name: 'filtered', filter_subject: `${prefix[stream]}.>`, deliver_subject: ear.inbox }),
    ),
  'a declared consumer turned into a push consumer': (ear, stream) => {
    for (let i = 0; i < PARTITIONS; i++) {
      const names = { durable_name: `filter-${i}`, name: `filter-${i}`, filter_subject: `raw.${i}.>` };
      ear.ask(
        `$JS.API.CONSUMER.CREATE.${stream}.filter-${i}.raw.${i}.>`,
        consumer(stream, { ...names, deliver_subject: ear.inbox }),
      );
    }
  },
  'a durable consumer': (ear, stream) =>
    ear.ask(
      `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.durable`,
      consumer(stream, { durable_name: 'durable', deliver_subject: ear.inbox }),
    ),
  'a direct get by sequence': (ear, stream) => ear.ask(`$JS.API.DIRECT.GET.${stream}`, { seq: 1 }),
  'a direct get of the next of a subject': (ear, stream) =>
    ear.ask(`$JS.API.DIRECT.GET.${stream}`, { seq: 1, next_by_subj: `${prefix[stream]}.>`, batch: 10 }),
  'a direct get of the last of a subject': (ear, stream) =>
    ear.ask(`$JS.API.DIRECT.GET.${stream}.held.acme.github.push.${CANARY}.e_3`),
  'a get by the leader': (ear, stream) => ear.ask(`$JS.API.STREAM.MSG.GET.${stream}`, { seq: 1 }),
  'the subjects of the stream': (ear, stream) => ear.ask(`$JS.API.STREAM.INFO.${stream}`, { subjects_filter: '>' }),
  'a snapshot': (ear, stream) => ear.ask(`$JS.API.STREAM.SNAPSHOT.${stream}`, { deliver_subject: ear.inbox }),
  'a mirror': (ear, stream) => ear.ask('$JS.API.STREAM.CREATE.COPY', { name: 'COPY', mirror: { name: stream } }),
  'a stream that sources it': (ear, stream) =>
    ear.ask('$JS.API.STREAM.CREATE.SUM', { name: 'SUM', sources: [{ name: stream }] }),
  'a reset of a declared consumer': (ear, stream) => ear.ask(`$JS.API.CONSUMER.RESET.${stream}.filter-0`),
};
/** These change a stream, which the provisioner may: see below. */
const CHANGES: Record<string, Way> = {
  'republishing it': (ear, stream) =>
    ear.ask(`$JS.API.STREAM.UPDATE.${stream}`, { name: stream, republish: { src: '>', dest: `${ear.inbox}.>` } }),
  'a stream of ours that sources it': (ear, stream) =>
    ear.ask('$JS.API.STREAM.UPDATE.EVENTS', { name: 'EVENTS', sources: [{ name: stream }] }),
};

const SUBJECTS = [
  '>',
  'raw.>',
  'held.>',
  `${inboxPrefix(FILTER)}.>`,
  '$JS.ACK.>',
  '$JS.EVENT.>',
  '$JS.API.>',
  'live.>',
];

/** Tries everything, while the filter does its work. */
async function tryAll(user: string, ways: Record<string, Way>): Promise<Ear> {
  const nc = await nats.connect(user);
  const ear = new Ear(nc, user);
  for (const subject of SUBJECTS) ear.listen(subject);
  for (const way of Object.values(ways)) for (const stream of ['EVENTS_RAW', 'EVENTS_HELD'] as const) way(ear, stream);
  await nc.flush();
  await store();
  const jsm = await jetstreamManager(filter, { checkAPI: false });
  for (const stream of ['EVENTS_RAW', 'EVENTS_HELD']) {
    expect(await jsm.direct.getMessage(stream, { seq: 1 })).not.toBeNull();
    await jsm.streams.getMessage(stream, { seq: 1 });
    await jsm.streams.info(stream, { subjects_filter: '>' });
  }
  await new Promise((resolve) => setTimeout(resolve, ANSWER_MS));
  await nc.flush();
  return ear;
}

/** The rest of the ways are refused to everybody. */
const FILTER_READS_BY = new Set([
  'a pull from a declared consumer',
  'a push consumer without a name',
  'a consumer with a name',
  'a push consumer with a name',
  'a consumer with a name and a filter',
  'a direct get by sequence',
  'a direct get of the next of a subject',
  'a direct get of the last of a subject',
  'a get by the leader',
  'the subjects of the stream',
]);

describe('what no filter has passed', () => {
  /** Its work is to compare and to mend streams. The server tells their subjects with them, and these have keys. */
  const PROVISIONER_MAY = ['$JS.API.STREAM.INFO.EVENTS_HELD', '$JS.API.STREAM.INFO.EVENTS_RAW'];

  it.each(OTHERS)(
    'is read by no way as %s',
    async (user) => {
      const ear = await tryAll(user, user === 'provisioner' ? WAYS : { ...WAYS, ...CHANGES });
      expect(ear.answered).toEqual(user === 'provisioner' ? PROVISIONER_MAY : []);
      if (user !== 'provisioner') expect(ear.heardCanary).toBe(false);
      const told = ear.messages.filter(({ subject }) => !subject.includes('$JS.API.STREAM.INFO'));
      ear.messages.splice(0, ear.messages.length, ...told);
      expect(ear.heardCanary).toBe(false);
    },
    SLOW_MS,
  );

  it.each(Object.entries(WAYS).filter(([name]) => FILTER_READS_BY.has(name)))(
    'is read by the filter through %s',
    async (_name, way) => {
      const ear = new Ear(await nats.connect(FILTER), FILTER);
      await store();
      for (const stream of ['EVENTS_RAW', 'EVENTS_HELD'] as const) way(ear, stream);
      const made = () => ear.answered.some((subject) => subject.includes('CONSUMER.') && subject.includes('CREATE'));
      await waitFor(() => ear.heardCanary || made(), { what: 'the canary, or a consumer' });
    },
    SLOW_MS,
  );

  it('can be copied elsewhere by the provisioner, and the check of the topology tells', async () => {
    const topology = declareTopology(nats.topology.options);
    const provisioner = await nats.connect('provisioner');
    expect(await checkTopology(provisioner, topology)).toEqual([]);
    const jsm = await jetstreamManager(provisioner, { checkAPI: false });
    await jsm.streams.update('EVENTS_HELD', { republish: { src: '>', dest: 'elsewhere.>' } });
    const told = await checkTopology(provisioner, topology);
    expect(told.map(({ stream, setting }) => [stream, setting])).toEqual([['EVENTS_HELD', 'republish']]);
  });
});

describe('the events that clients see', () => {
  it.each(OTHERS)('are not written by %s', async (user) => {
    const nc = await nats.connect(user);
    const jsm = await jetstreamManager(filter, { checkAPI: false });
    const before = (await jsm.streams.info('EVENTS')).state.last_seq;
    const mark = headers();
    mark.set('Nats-Msg-Id', user);
    nc.publish(`evt.acme.github.push.key.e_${user}`, 'forged', { headers: mark });
    await nc.flush();
    expect((await jsm.streams.info('EVENTS')).state.last_seq).toBe(before);
  });
});
