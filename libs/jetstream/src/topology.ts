/**
 * The one declaration of every stream, key-value bucket and NATS user. The supervisor, the operator's
 * `streams apply|check`, the server's permissions and (later) the Helm chart are all made from it; nothing else creates or
 * changes any of them.
 */
import {
  AUDIT_SUBJECTS,
  CHECKPOINT_SUBJECTS,
  COMMAND_SUBJECTS,
  EVENT_SUBJECTS,
  HELD_EVENT_SUBJECTS,
  LIVE_PREFIX,
  RAW_EVENT_SUBJECTS,
  SAGA_SUBJECTS,
  partitionSubjects,
  rawPartitionSubjects,
} from '@callboard/envelope';
import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  RetentionPolicy,
  StorageType,
  type ConsumerConfig,
  type StreamConfig,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';

export const STREAM = {
  commands: 'COMMANDS',
  outcomes: 'OUTCOMES',
  progress: 'PROGRESS',
  dispatch: 'DISPATCH',
  sessions: 'SESSIONS',
  deadLetters: 'DEAD_LETTERS',
  schedules: 'SCHEDULES',
  eventsRaw: 'EVENTS_RAW',
  eventsHeld: 'EVENTS_HELD',
  events: 'EVENTS',
  budgets: 'BUDGETS',
  audit: 'AUDIT',
  auditCheckpoints: 'AUDIT_CHECKPOINTS',
  sagas: 'SAGAS',
} as const;

export const BUCKET = {
  /** Which actions exist: see the registry in `libs/actions`. */
  actions: 'ACTIONS',
  /** Which runner owns which partition of the commands. */
  leases: 'LEASES',
  /** 2025-era MCP sessions: the handshake that any replica can repeat. */
  sessions: 'MCP_SESSIONS',
  /** Ordering keys that wait for an operator after a dead letter. */
  halts: 'HALTS',
  /** Which ingestor takes events from which source, and where it was. */
  ingest: 'INGEST',
  /** Which filter owns which partition of the raw events. */
  filterLeases: 'FILTER_LEASES',
  /** With what each tenant's pseudonyms are made. */
  pseudonymKeys: 'PSEUDONYM_KEYS',
  /** Named subscriptions of MCP clients: what they want to see, and how far they are. */
  subscriptions: 'SUBSCRIPTIONS',
  /** What exceeded a budget of notifications, until it is delivered as one. */
  digests: 'DIGESTS',
  /** Which orchestrator owns which partition of the sagas. */
  sagaLeases: 'SAGA_LEASES',
} as const;

/** The consumer of commands whose deadline has passed; shared by all who can write outcomes. */
export const DEADLINES_CONSUMER = 'deadlines';

/** The consumer of scheduled commands whose time has come; shared by all front ends. */
export const TICKS_CONSUMER = 'ticks';

/** What the operator asks of the privacy filter: `ctl.pii-filter.<verb>`. */
export const FILTER_VERBS = 'ctl.pii-filter.*';

/** What the operator asks of the audit writer: `ctl.audit-writer.<verb>`. */
export const AUDIT_VERBS = 'ctl.audit-writer.*';

/** What others ask of it, for somebody of a tenant: `ctl.audit-writer.search.<tenant>`. */
export const TENANT_SEARCHES = 'ctl.audit-writer.search.*';

/** Where the notifier takes its commands, and hears that they are cancelled. */
const NOTIFIER_SUBJECTS = ['svc.notifications', 'svc.notifications.>'];

/** Where operator-tools takes its commands, and hears that they are cancelled. */
const OPERATOR_TOOLS_SUBJECTS = ['svc.operator-tools', 'svc.operator-tools.>'];

/** Priority group of a partition's consumer: only the pinned owner is served. */
export const OWNER_GROUP = 'owner';

export interface TopologyOptions {
  /** Number of command partitions: the most runners that can share the work. Fixed once commands are stored. */
  partitions: number;
  replicas: number;
  /** How long finished commands and outcomes are kept; also how long an idempotency key is remembered. */
  retentionMs: number;
  /**
   * Bytes of each of COMMANDS and OUTCOMES; when full, new commands are refused, old ones never dropped. COMMANDS has it as its
   * limit; OUTCOMES can have none (the server schedules messages only in streams that would drop old ones), so there the front
   * ends watch it.
   */
  maxBytes: number;
  /** Number of partitions of the raw events: the most filters that can share the work. */
  eventPartitions: number;
  /** How long redacted events can be read. */
  eventRetentionMs: number;
  /** How long a raw event waits for the filter at most; it goes as soon as the filter is done with it. */
  rawRetentionMs: number;
  /** How long an operator has to decide on an event that the filter held back. */
  heldRetentionMs: number;
  /** Number of partitions of the sagas: the most orchestrators that can share the work. */
  sagaPartitions: number;
  /** How long the journal of a saga can be read; more than twice the longest time that a saga may take. */
  sagaRetentionMs: number;
}

export const DEFAULT_TOPOLOGY: TopologyOptions = {
  partitions: 16,
  replicas: 1,
  retentionMs: 24 * 3_600_000,
  maxBytes: 8 * 1024 ** 3,
  eventPartitions: 8,
  eventRetentionMs: 7 * 24 * 3_600_000,
  rawRetentionMs: 3 * 24 * 3_600_000,
  heldRetentionMs: 14 * 24 * 3_600_000,
  sagaPartitions: 16,
  sagaRetentionMs: 90 * 24 * 3_600_000,
};

export interface Topology {
  options: TopologyOptions;
  streams: DeclaredStream[];
  users: DeclaredUser[];
}

export interface DeclaredStream {
  config: Partial<StreamConfig> & { name: string };
  /** Consumers that several processes share, and that outlive them. */
  consumers?: (Partial<ConsumerConfig> & { durable_name: string })[];
}

/** A NATS user with exactly what it may publish and subscribe to. */
export interface DeclaredUser {
  name: string;
  publish: { allow: string[]; deny?: string[] };
  subscribe: { allow: string[]; deny?: string[] };
  /** May it answer requests, at whatever subject they ask to be answered? */
  responds?: boolean;
}

export function declareTopology(overrides: Partial<TopologyOptions> = {}): Topology {
  const options = { ...DEFAULT_TOPOLOGY, ...overrides };
  const streams = [
    ...[commands(options), outcomes(options), progress(options), dispatch(options)],
    ...[sessions(options), deadLetters(options), schedules(options)],
    ...[eventsRaw(options), eventsHeld(options), events(options), budgets(options), sagas(options)],
    ...[audit(options), auditCheckpoints(options)],
  ];
  for (const bucket of Object.values(BUCKET)) streams.push(keyValueBucket(bucket, options));
  return { options, streams, users: users(streams).map(asksWhatItMay) };
}

/**
 * The consumer of one partition, as its owner makes it: from the floor that the owner keeps, see `CommandConsumer`. It lives in
 * memory, because the state of a stored one costs the disk two syncs up to ten times a second and partition, a third of all that
 * the server does; the floor says the same at one write a second. It asks for no acks: what is done is known by its outcome, and
 * one command that takes hours must not hold back those after it.
 */
export function partitionConsumer(partition: number, floor: number): Partial<ConsumerConfig> & { name: string } {
  return {
    name: partitionConsumerName(partition),
    description: `Owner of partition ${partition}`,
    mem_storage: true,
    num_replicas: 1,
    // A partition without an owner keeps showing its backlog for a while.
    inactive_threshold: nanos(3_600_000),
    filter_subject: partitionSubjects(partition),
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: floor + 1,
    // The owner keeps what it was given until it is done or dead; a new owner starts anew. No timer redelivers.
    ack_policy: AckPolicy.None,
    // Only the pinned owner is served: a process that does not know yet that it lost the lease gets nothing.
    priority_policy: 'pinned_client',
    priority_groups: [OWNER_GROUP],
    priority_timeout: nanos(60_000),
  };
}

/** How many partitions a command stream has, by its own configuration. */
export function partitionsOf(config: Partial<StreamConfig>): number | undefined {
  const count = /partition\((\d+),/.exec(config.subject_transform?.dest ?? '')?.[1];
  return count === undefined ? undefined : Number(count);
}

export function partitionConsumerName(partition: number): string {
  return `partition-${partition}`;
}

function base(options: TopologyOptions): Partial<StreamConfig> {
  return {
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    num_replicas: options.replicas,
    max_age: nanos(options.retentionMs),
    max_bytes: options.maxBytes,
    max_msg_size: 1024 * 1024,
    duplicate_window: nanos(120_000),
    allow_direct: true,
    allow_atomic: true,
    allow_msg_schedules: false,
    deny_delete: false,
    deny_purge: false,
    ...NOT_COPIED,
  };
}

/** Said, so that it is a difference when a stream is copied somewhere all the same. */
const NOT_COPIED = { mirror: undefined, sources: undefined, republish: undefined } as unknown as Partial<StreamConfig>;

function commands(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.commands,
      description: 'Accepted commands, one message each, in the order of acceptance',
      subjects: [COMMAND_SUBJECTS],
      // tenant and key decide the partition; here and not in a publisher, so that it cannot be got wrong
      subject_transform: {
        src: COMMAND_SUBJECTS,
        dest: `cmd.{{partition(${options.partitions},1,4)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}.{{wildcard(4)}}.{{wildcard(5)}}`,
      },
    },
  };
}

function outcomes(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.outcomes,
      description: 'The one outcome of every command, its deadline, and what must not be forgotten before it ends',
      subjects: ['out.*.*', 'deadline.*.*', 'due.*.*', 'attempt.*.*.*.*', 'input.*.*.*', 'answer.*.*.*'],
      republish: { src: '>', dest: `${LIVE_PREFIX}.>` },
      allow_msg_schedules: true,
      allow_rollup_hdrs: true,
      // The server schedules messages in no stream that refuses new ones. Nothing is dropped all the same: there is no limit but age.
      discard: DiscardPolicy.Old,
      max_bytes: -1,
    },
    consumers: [
      {
        durable_name: DEADLINES_CONSUMER,
        description: 'Commands whose deadline has passed',
        filter_subject: 'due.*.*',
        deliver_policy: DeliverPolicy.All,
        ack_policy: AckPolicy.Explicit,
        // Writing an outcome twice is harmless, and a process that was frozen must not keep a deadline to itself.
        ack_wait: nanos(1_000),
        max_deliver: -1,
        max_ack_pending: 1_000,
      },
    ],
  };
}

function progress(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.progress,
      description: 'What running commands tell on their way',
      subjects: ['progress.*.*'],
      republish: { src: '>', dest: `${LIVE_PREFIX}.>` },
      // For those who listen now or come late: the oldest goes first, and no chatty action can fill what must be kept.
      discard: DiscardPolicy.Old,
      max_bytes: Math.min(options.maxBytes, 1024 ** 3),
    },
  };
}

function dispatch(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.dispatch,
      description: 'Commands that were handed over to far sides, until their deadline',
      subjects: ['dispatch.*.*.*.*', 'handed.*.*.*'],
      max_bytes: Math.min(options.maxBytes, 1024 ** 3),
      allow_msg_ttl: true,
    },
  };
}

function sessions(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.sessions,
      description: 'What was sent to 2025-era MCP sessions, so that any replica can send it again',
      // Every fact of a stream has a subject of its own, so that the server refuses to store it twice.
      subjects: ['mcp.session.*.*.*', 'mcp.changed.>'],
      republish: { src: 'mcp.>', dest: `${LIVE_PREFIX}.mcp.>` },
      // A session's log is a buffer for reconnecting clients, not a record: the oldest goes first.
      discard: DiscardPolicy.Old,
      max_age: nanos(3_600_000),
      max_bytes: Math.min(options.maxBytes, 1024 ** 3),
    },
  };
}

function deadLetters(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.deadLetters,
      description: 'What gave up, with its reason, until someone redrives or discards it',
      subjects: ['dlq.>'],
      max_age: nanos(30 * 24 * 3_600_000),
    },
  };
}

function schedules(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.schedules,
      description: 'Commands that run at a time or again and again, and their ticks',
      subjects: ['schedule.*.*', 'tick.*.*', 'unschedule.*.*'],
      allow_msg_schedules: true,
      allow_rollup_hdrs: true,
      allow_msg_ttl: true,
      // A schedule stays until it has fired or is taken back. What is bounded is the rest: a tick lives for a day, and the last ones of
      // a schedule push out the first when nobody takes them.
      discard: DiscardPolicy.Old,
      max_age: 0,
      max_bytes: -1,
      max_msgs_per_subject: 100,
    },
    consumers: [
      {
        durable_name: TICKS_CONSUMER,
        description: 'Scheduled commands whose time has come',
        filter_subject: 'tick.*.*',
        deliver_policy: DeliverPolicy.All,
        ack_policy: AckPolicy.Explicit,
        ack_wait: nanos(30_000),
        max_deliver: -1,
        max_ack_pending: 1_000,
      },
    ],
  };
}

/** The consumer of a partition of raw events; its owner starts it anew from what is done. */
export function filterConsumerName(partition: number): string {
  return `filter-${partition}`;
}

function eventsRaw(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.eventsRaw,
      description: 'Events as they came, for the privacy filter alone; gone as soon as it is done with them',
      subjects: [RAW_EVENT_SUBJECTS],
      subject_transform: {
        src: RAW_EVENT_SUBJECTS,
        // A source's events of one key stay together, whatever their topic.
        dest: `raw.{{partition(${options.eventPartitions},1,2,4)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}.{{wildcard(4)}}.{{wildcard(5)}}`,
      },
      retention: RetentionPolicy.Workqueue,
      max_age: nanos(options.rawRetentionMs),
      // Whatever is taken can be held, with what has to be written about it then.
      max_msg_size: 1024 * 1024 - 8 * 1024,
    },
    consumers: Array.from({ length: options.eventPartitions }, (_, partition) => ({
      durable_name: filterConsumerName(partition),
      description: `Raw events of partition ${partition}`,
      filter_subject: rawPartitionSubjects(partition),
      deliver_policy: DeliverPolicy.All,
      ack_policy: AckPolicy.Explicit,
      // No timer redelivers: a new owner starts the consumer anew.
      ack_wait: nanos(3_600_000),
      max_deliver: -1,
      max_ack_pending: 5_000,
    })),
  };
}

function eventsHeld(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.eventsHeld,
      description: 'Events that the privacy filter could not pass, as they came, until an operator decides',
      subjects: [HELD_EVENT_SUBJECTS],
      max_age: nanos(options.heldRetentionMs),
    },
  };
}

function events(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.events,
      description: 'Events as clients may see them',
      subjects: [EVENT_SUBJECTS],
      // Tells those who wait that something is there; they read it from the stream.
      republish: { src: '>', dest: `${LIVE_PREFIX}.>`, headers_only: true },
      // A history: who comes too late is told so.
      discard: DiscardPolicy.Old,
      max_age: nanos(options.eventRetentionMs),
    },
  };
}

/** What a notification has taken from one budget, and that it has; see `BudgetLedger`. */
const BUDGET_SUBJECTS = ['budget.>', 'taken.*.*'];

function budgets(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.budgets,
      description: 'How much of each budget of notifications is used up, and by which commands',
      subjects: BUDGET_SUBJECTS,
      max_msgs_per_subject: 1,
      // Each message says itself when it may go.
      max_age: 0,
      max_bytes: Math.min(options.maxBytes, 256 * 1024 ** 2),
      allow_msg_ttl: true,
    },
  };
}

function audit(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.audit,
      description: 'What happened, until it is in the ledger',
      subjects: [AUDIT_SUBJECTS],
      // A record goes when the ledger has it, and the audit writer says so; no age takes it before.
      max_age: 0,
    },
  };
}

function auditCheckpoints(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.auditCheckpoints,
      description: 'Signed checkpoints of the ledger, apart from the ledger',
      subjects: [CHECKPOINT_SUBJECTS],
      max_age: 0,
      max_bytes: Math.min(options.maxBytes, 1024 ** 3),
      deny_delete: true,
      deny_purge: true,
    },
  };
}

function sagas(options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: STREAM.sagas,
      description: 'Journals of sagas: all that is known of each, one decision a message',
      subjects: [SAGA_SUBJECTS],
      subject_transform: {
        src: SAGA_SUBJECTS,
        dest: `saga.{{partition(${options.sagaPartitions},1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}`,
      },
      // Tells those who wait for a saga that there is news; they read it from the stream.
      republish: { src: '>', dest: `${LIVE_PREFIX}.>`, headers_only: true },
      max_age: nanos(options.sagaRetentionMs),
    },
  };
}

function keyValueBucket(bucket: string, options: TopologyOptions): DeclaredStream {
  return {
    config: {
      ...base(options),
      name: `KV_${bucket}`,
      subjects: [`$KV.${bucket}.>`],
      max_age: 0,
      max_bytes: 256 * 1024 ** 2,
      max_msgs_per_subject: 1,
      allow_atomic: false,
      allow_rollup_hdrs: true,
      allow_msg_ttl: true,
      // A key that expires leaves a marker, so that those who watch hear of it.
      subject_delete_marker_ttl: nanos(60_000),
      // A key that is destroyed is overwritten, which only deleting its message does.
      deny_delete: bucket !== BUCKET.pseudonymKeys,
    },
  };
}

const api = (...operations: string[]) => operations.map((operation) => `$JS.API.${operation}`);

/** Read a stream through consumers that the client makes for itself, and message by message. */
function reads(stream: string): string[] {
  return [
    ...api(
      `STREAM.INFO.${stream}`,
      // an ordered consumer has no name when it is asked for
      `CONSUMER.CREATE.${stream}`,
      `CONSUMER.CREATE.${stream}.>`,
      `CONSUMER.INFO.${stream}.*`,
      `CONSUMER.DELETE.${stream}.*`,
      `CONSUMER.MSG.NEXT.${stream}.*`,
      ...gets(stream),
    ),
    ...acks(stream),
  ];
}

/** By any replica, which may be a little behind, or by the leader, which never is. */
function gets(stream: string): string[] {
  return [`DIRECT.GET.${stream}`, `DIRECT.GET.${stream}.>`, `STREAM.MSG.GET.${stream}`];
}

/** Take part in a consumer that the topology declares. */
function consumes(stream: string, consumer: string): string[] {
  return [
    ...api(`CONSUMER.INFO.${stream}.${consumer}`, `CONSUMER.MSG.NEXT.${stream}.${consumer}`),
    `$JS.ACK.${stream}.${consumer}.>`,
    `$JS.ACK.*.*.${stream}.${consumer}.>`,
  ];
}

function acks(stream: string): string[] {
  return [`$JS.ACK.${stream}.>`, `$JS.ACK.*.*.${stream}.>`, `$JS.FC.${stream}.>`];
}

function users(declared: DeclaredStream[]): DeclaredUser[] {
  const streams = declared.map(({ config }) => config.name);
  const inbox = (name: string) => `${inboxPrefix(name)}.>`;
  return [
    {
      name: 'mcp-frontend',
      publish: {
        allow: [
          AUDIT_SUBJECTS,
          COMMAND_SUBJECTS,
          SAGA_SUBJECTS,
          'out.*.*',
          'deadline.*.*',
          'answer.*.*.*',
          'abort.*.*',
          // What far sides report.
          'progress.*.*',
          `dlq.${STREAM.schedules}.>`,
          'mcp.>',
          `$KV.${BUCKET.sessions}.>`,
          `$KV.${BUCKET.subscriptions}.>`,
          // Replicas answer each other.
          inbox('mcp-frontend'),
          ...api(
            ...[STREAM.commands, STREAM.outcomes, STREAM.progress, STREAM.sessions, `KV_${BUCKET.sessions}`].flatMap(
              gets,
            ),
            // Commands are refused in front when these have no room.
            ...[STREAM.commands, STREAM.outcomes].map((name) => `STREAM.INFO.${name}`),
            ...[STREAM.sessions, `KV_${BUCKET.sessions}`].map((name) => `STREAM.INFO.${name}`),
          ),
          ...reads(`KV_${BUCKET.actions}`),
          ...reads(`KV_${BUCKET.subscriptions}`),
          ...reads(STREAM.events),
          ...reads(STREAM.sagas),
          ...consumes(STREAM.outcomes, DEADLINES_CONSUMER),
          ...consumes(STREAM.schedules, TICKS_CONSUMER),
        ],
      },
      subscribe: { allow: [inbox('mcp-frontend'), `${LIVE_PREFIX}.>`, 'mcp.>', 'caller.*.*'] },
      responds: true,
    },
    {
      name: 'action-runner',
      publish: {
        allow: [
          AUDIT_SUBJECTS,
          'out.*.*',
          'attempt.*.*.*.*',
          'input.*.*.*',
          'progress.*.*',
          'dispatch.*.*.*.*',
          'handed.*.*.*',
          // Processes that are not ours take their commands here.
          'svc.>',
          // Asks front ends for callers' tokens; nobody else may.
          'caller.*.*',
          'dlq.>',
          `$KV.${BUCKET.actions}.>`,
          `$KV.${BUCKET.leases}.>`,
          `$KV.${BUCKET.halts}.>`,
          ...api(...[STREAM.outcomes, STREAM.progress, STREAM.dispatch].flatMap(gets)),
          ...reads(STREAM.commands),
          ...reads(`KV_${BUCKET.halts}`),
          ...consumes(STREAM.outcomes, DEADLINES_CONSUMER),
          ...reads(`KV_${BUCKET.actions}`),
          ...reads(`KV_${BUCKET.leases}`),
        ],
      },
      subscribe: { allow: [inbox('action-runner'), 'abort.*.*', `${LIVE_PREFIX}.answer.>`] },
      responds: true,
    },
    {
      name: 'event-ingestor',
      publish: {
        allow: [AUDIT_SUBJECTS, RAW_EVENT_SUBJECTS, `$KV.${BUCKET.ingest}.>`, ...reads(`KV_${BUCKET.ingest}`)],
      },
      subscribe: { allow: [inbox('event-ingestor')] },
    },
    {
      // Our plug-in within Backstage: hands over Backstage's events, and nobody else's.
      name: 'backstage',
      publish: { allow: ['raw.*.backstage.*.*.*'] },
      subscribe: { allow: [inbox('backstage')] },
    },
    {
      // The only one that reads what no filter has seen.
      name: 'pii-filter',
      publish: {
        allow: [
          AUDIT_SUBJECTS,
          EVENT_SUBJECTS,
          HELD_EVENT_SUBJECTS,
          `dlq.${STREAM.eventsRaw}.>`,
          `$KV.${BUCKET.filterLeases}.>`,
          ...reads(`KV_${BUCKET.filterLeases}`),
          `$KV.${BUCKET.pseudonymKeys}.>`,
          ...reads(`KV_${BUCKET.pseudonymKeys}`),
          ...reads(STREAM.eventsRaw),
          ...reads(STREAM.eventsHeld),
          ...reads(STREAM.events),
          ...api(
            `CONSUMER.RESET.${STREAM.eventsRaw}.*`,
            // What is to be forgotten, and the letter of what was let go.
            ...[STREAM.eventsRaw, STREAM.eventsHeld, STREAM.events, STREAM.deadLetters].map(
              (stream) => `STREAM.MSG.DELETE.${stream}`,
            ),
            `STREAM.MSG.DELETE.KV_${BUCKET.pseudonymKeys}`,
            ...gets(STREAM.deadLetters),
          ),
        ],
      },
      subscribe: { allow: [inbox('pii-filter'), FILTER_VERBS] },
      responds: true,
    },
    {
      // Serves actions as the processes of others do, and under a name that they cannot take.
      name: 'notifier',
      publish: {
        allow: [
          AUDIT_SUBJECTS,
          `$KV.${BUCKET.actions}.services.notifier.>`,
          `$KV.${BUCKET.actions}.catalogs.>`,
          ...reads(`KV_${BUCKET.actions}`),
          // Answers the runner that asked.
          inbox('action-runner'),
          ...BUDGET_SUBJECTS,
          `$KV.${BUCKET.digests}.>`,
          ...reads(`KV_${BUCKET.digests}`),
          ...api(`STREAM.MSG.GET.${STREAM.budgets}`),
        ],
      },
      subscribe: { allow: [inbox('notifier'), ...NOTIFIER_SUBJECTS] },
    },
    {
      // Brings the audit stream into the ledger, and is the only one that takes anything out of it.
      name: 'audit-writer',
      publish: {
        allow: [
          AUDIT_SUBJECTS,
          CHECKPOINT_SUBJECTS,
          ...reads(STREAM.audit),
          ...reads(STREAM.auditCheckpoints),
          ...api(`STREAM.PURGE.${STREAM.audit}`),
        ],
      },
      subscribe: { allow: [inbox('audit-writer'), AUDIT_VERBS, TENANT_SEARCHES] },
      responds: true,
    },
    {
      // Does for operators with an MCP client, as policies allow, what `operator` does for those at a terminal.
      name: 'operator-tools',
      publish: {
        allow: [
          AUDIT_SUBJECTS,
          `$KV.${BUCKET.actions}.services.operator-tools.>`,
          `$KV.${BUCKET.actions}.catalogs.>`,
          ...reads(`KV_${BUCKET.actions}`),
          // Answers the runner that asked.
          inbox('action-runner'),
          // Redrives: reads a letter, stores its command anew, says that it goes first, deletes the letter.
          ...reads(STREAM.deadLetters),
          ...api(`STREAM.MSG.DELETE.${STREAM.deadLetters}`),
          COMMAND_SUBJECTS,
          'out.*.*',
          'deadline.*.*',
          `$KV.${BUCKET.halts}.>`,
          ...reads(`KV_${BUCKET.halts}`),
          ...api(...[STREAM.commands, STREAM.outcomes].flatMap(gets)),
          // The ledger is the audit writer's: it is asked, for one tenant.
          TENANT_SEARCHES,
        ],
      },
      subscribe: { allow: [inbox('operator-tools'), `${LIVE_PREFIX}.>`, ...OPERATOR_TOOLS_SUBJECTS] },
    },
    {
      name: 'saga-orchestrator',
      publish: {
        allow: [
          AUDIT_SUBJECTS,
          SAGA_SUBJECTS,
          // Its own source of events.
          'raw.*.callboard.*.*.*',
          COMMAND_SUBJECTS,
          'out.*.*',
          'deadline.*.*',
          'abort.*.*',
          // What a saga asks its caller, and that it was answered elsewhere.
          'input.*.*.*',
          'answer.*.*.*',
          'progress.*.*',
          `$KV.${BUCKET.sagaLeases}.>`,
          `$KV.${BUCKET.actions}.services.saga-orchestrator.>`,
          `$KV.${BUCKET.actions}.catalogs.>`,
          ...reads(STREAM.sagas),
          ...reads(`KV_${BUCKET.sagaLeases}`),
          ...reads(`KV_${BUCKET.actions}`),
          ...api(...[STREAM.commands, STREAM.outcomes, STREAM.progress].flatMap(gets)),
        ],
      },
      subscribe: { allow: [inbox('saga-orchestrator'), 'abort.*.*', `${LIVE_PREFIX}.>`] },
      responds: true,
    },
    {
      // A process that is not ours: announces its actions, takes their commands, answers the runner that asked.
      name: 'service',
      publish: { allow: [`$KV.${BUCKET.actions}.remote.>`, inbox('action-runner')] },
      subscribe: { allow: [inbox('service'), 'svc.>'], deny: [...NOTIFIER_SUBJECTS, ...OPERATOR_TOOLS_SUBJECTS] },
    },
    {
      // A far side that takes its commands from a queue, such as Event-Driven Ansible; it reports over HTTP.
      name: 'eda',
      publish: { allow: reads(STREAM.dispatch) },
      subscribe: { allow: [inbox('eda')] },
    },
    {
      // Makes and updates streams, and the consumers that are declared; is handed no message. What it can do to a stream's configuration
      // makes it as powerful as the server's own keys: `checkTopology` tells what it did.
      name: 'provisioner',
      publish: {
        allow: api(
          'INFO',
          'STREAM.NAMES',
          'STREAM.LIST',
          ...streams.flatMap((stream) => [
            `STREAM.INFO.${stream}`,
            `STREAM.CREATE.${stream}`,
            `STREAM.UPDATE.${stream}`,
            `CONSUMER.INFO.${stream}.*`,
          ]),
          ...declared.flatMap(({ config, consumers = [] }) =>
            consumers.map(
              ({ durable_name, filter_subject }) => `CONSUMER.CREATE.${config.name}.${durable_name}.${filter_subject}`,
            ),
          ),
        ),
      },
      subscribe: { allow: [inbox('provisioner')] },
    },
    {
      // What `callboard` changes for an operator: cancels commands, redrives and discards dead letters, lets halted keys go on,
      // schedules commands.
      name: 'operator',
      publish: {
        allow: [
          AUDIT_SUBJECTS,
          // The ledger is the audit writer's: it is asked.
          AUDIT_VERBS,
          COMMAND_SUBJECTS,
          'out.*.*',
          'deadline.*.*',
          'abort.*.*',
          `$KV.${BUCKET.halts}.>`,
          'schedule.*.*',
          'unschedule.*.*',
          SAGA_SUBJECTS,
          ...reads(STREAM.sagas),
          // Held events are the filter's: it is told what to do with them.
          FILTER_VERBS,
          ...api(`STREAM.MSG.DELETE.${STREAM.deadLetters}`),
          ...[STREAM.commands, STREAM.outcomes, STREAM.progress, STREAM.deadLetters, STREAM.schedules].flatMap(reads),
          ...reads(`KV_${BUCKET.halts}`),
          ...reads(`KV_${BUCKET.actions}`),
        ],
      },
      subscribe: { allow: [inbox('operator'), `${LIVE_PREFIX}.>`] },
    },
    {
      // Erases a tenant, and is used for nothing else: takes messages out by their subjects, and keys out of buckets. It reads nothing.
      name: 'eraser',
      publish: {
        allow: [
          ...api(...ERASED_STREAMS.map((stream) => `STREAM.PURGE.${stream}`)),
          ...ERASED_BUCKETS.map((bucket) => `$KV.${bucket}.>`),
        ],
      },
      subscribe: { allow: [inbox('eraser')] },
    },
    {
      // People at night: reads, replays and repairs everything, lets go of dead letters one by one, and cannot delete a stream,
      // change its configuration, or take any other message out.
      name: 'sre',
      publish: {
        allow: ['$JS.API.>', '$JS.ACK.>', '$JS.FC.>', COMMAND_SUBJECTS, 'schedule.*.*', 'unschedule.*.*'],
        deny: [
          ...api(
            // A stream that is restored is one that is made.
            ...[
              'STREAM.DELETE.>',
              'STREAM.UPDATE.>',
              'STREAM.CREATE.>',
              'STREAM.RESTORE.>',
              'STREAM.PURGE.>',
              'ACCOUNT.>',
            ],
            // A denial is stronger than any permission, so the one stream that is not denied cannot be excepted from a wildcard.
            ...streams.filter((name) => name !== STREAM.deadLetters).map((name) => `STREAM.MSG.DELETE.${name}`),
          ),
          // What no filter has passed is not for people either, nor are the keys of pseudonyms.
          ...[STREAM.eventsRaw, STREAM.eventsHeld, `KV_${BUCKET.pseudonymKeys}`].flatMap(everyUseOf),
        ],
      },
      subscribe: {
        allow: ['>'],
        // Whoever listens for a caller's token looks like somebody who has it, and nobody would be told that it is gone.
        // Audit advisories quote what the server answers: messages, and the subjects of a stream.
        deny: [
          'raw.>',
          'held.>',
          `$KV.${BUCKET.pseudonymKeys}.>`,
          'caller.>',
          inbox('pii-filter'),
          '$JS.EVENT.ADVISORY.API.>',
          '$JS.EVENT.ADVISORY.API',
        ],
      },
    },
  ];
}

/** Out of which `eraser` takes what is of a tenant. What the privacy filter alone may read, it erases; what is audited stays, see `tenantPlaces`. */
const ERASED_STREAMS = [
  ...[STREAM.commands, STREAM.outcomes, STREAM.progress, STREAM.dispatch, STREAM.sessions, STREAM.deadLetters],
  ...[STREAM.schedules, STREAM.events, STREAM.budgets, STREAM.sagas],
];
const ERASED_BUCKETS = [BUCKET.sessions, BUCKET.halts, BUCKET.subscriptions, BUCKET.digests];

/** Where a connection asks nats-server what it may do; it is told of itself alone. */
export const USER_INFO = '$SYS.REQ.USER.INFO';

function asksWhatItMay({ publish, ...user }: DeclaredUser): DeclaredUser {
  return { ...user, publish: { ...publish, allow: [...publish.allow, USER_INFO] } };
}

/** All that could bring a message of a stream to somebody, or take it away from whom it is for; for denials. */
function everyUseOf(stream: string): string[] {
  const consumer = ['CREATE', 'DURABLE.CREATE', 'MSG.NEXT', 'RESET', 'DELETE', 'PAUSE', 'UNPIN', 'LEADER.STEPDOWN'];
  // What the server tells of a stream may list its subjects, and with them keys of events; `STREAM.LIST` tells the rest.
  const whole = ['STREAM.INFO', 'STREAM.MSG.GET', 'STREAM.SNAPSHOT', 'STREAM.RESTORE', 'DIRECT.GET'];
  return [
    ...api(
      ...[...consumer.map((verb) => `CONSUMER.${verb}`), ...whole].flatMap((verb) => [
        `${verb}.${stream}`,
        `${verb}.${stream}.>`,
      ]),
    ),
    ...acks(stream),
  ];
}

/** Every user has an inbox prefix of its own, so that no app can read another's replies. */
export function inboxPrefix(user: string): string {
  return `_INBOX_${user}`;
}
