/** Reads what the stack has stored and done, from outside: the streams as the user `sre`, and the log of the actions. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeToken, parseEnvelope, parseOutcome, type CommandEnvelope } from '@callboard/envelope';
import { STREAM, connectNats, partitionStates, whenLed } from '@callboard/jetstream';
import { DeliverPolicy, jetstream, jetstreamManager, type JetStreamManager, type JsMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { LOG } from './actions.js';
import { leaderOf } from './cluster.js';
import type { History, Line, PartitionState, StoredCommand, StoredOutcome } from './history.js';
import type { ActionName, Work } from './plan.js';

const POLL_MS = 200;
/** Only the run's own actions: other commands are for finding out. */
const TOOL = 'faults';

/** Where NATS is, and what its users show: as `ready.json` has it, or nkeys of a server that others run. */
export interface NatsUsers {
  nats_url: string;
  nats_users: Record<string, { creds: string } | { nkey: string }>;
}

/** A connection as one of them. */
export function connectAs(user: string, { nats_url: servers, nats_users }: NatsUsers): Promise<NatsConnection> {
  const login = nats_users[user]!;
  const shown = 'creds' in login ? { credsFile: login.creds } : { nkeyFile: login.nkey };
  return connectNats({ servers, user, ...shown, name: 'callboard-faults' });
}

export class Observer {
  private constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
  ) {}

  static async connect(users: NatsUsers): Promise<Observer> {
    const nc = await connectAs('sre', users);
    return new Observer(nc, await jetstreamManager(nc, { checkAPI: false, timeout: 1_000 }));
  }

  async close(): Promise<void> {
    await this.nc.close();
  }

  async commands(): Promise<StoredCommand[]> {
    return (await this.#readAll(STREAM.commands, `cmd.*.*.${TOOL}.>`)).map((message) => {
      const envelope = parseEnvelope(message.data);
      const { key, value, ...work } = envelope.args as unknown as Work & { key: string; value: number };
      return {
        sequence: message.seq,
        storedAt: storedAt(message),
        correlationId: envelope.correlation_id,
        idempotencyKey: envelope.idempotency_key ?? '',
        orderingKey: envelope.ordering_key,
        action: envelope.method as ActionName,
        key,
        value,
        work,
        priority: envelope.priority,
        deadlineAt: Date.parse(envelope.deadline_at),
        ...(envelope.redrive_of !== undefined && { redriveOf: envelope.redrive_of }),
      };
    });
  }

  /** How many commands of any action are stored. */
  async countCommands(): Promise<number> {
    return (await this.jsm.streams.info(STREAM.commands)).state.messages;
  }

  /** The place of the node that leads the command stream; undefined while there is none. */
  leader(): Promise<number | undefined> {
    return leaderOf(this.jsm, STREAM.commands);
  }

  /** The stored envelope of one command. @throws Error when there is none, or more than one. */
  async envelope(correlationId: string): Promise<CommandEnvelope> {
    const stored = await this.#readAll(STREAM.commands, `cmd.*.*.*.*.*.${encodeToken(correlationId)}`);
    if (stored.length !== 1) throw new Error(`${correlationId} is stored ${stored.length} times`);
    return parseEnvelope(stored[0]!.data);
  }

  /** A command of the run, as soon as it is stored. */
  async command(tenantId: string, key: string, correlationId: string): Promise<CommandEnvelope | undefined> {
    const [tenant, ordering, correlation] = [tenantId, key, correlationId].map(encodeToken);
    const last_by_subj = `cmd.*.${tenant}.${TOOL}.*.${ordering}.${correlation}`;
    const message = await this.jsm.direct.getMessage(STREAM.commands, { last_by_subj });
    return message ? parseEnvelope(message.data) : undefined;
  }

  async outcomes(): Promise<StoredOutcome[]> {
    const outcomes: StoredOutcome[] = [];
    for (const message of await this.#readAll(STREAM.outcomes, 'out.>')) {
      const { tool, correlation_id, status, error, attempts, written_by } = parseOutcome(message.data);
      if (tool !== TOOL) continue;
      outcomes.push({
        sequence: message.seq,
        storedAt: storedAt(message),
        correlationId: correlation_id,
        status,
        ...(error && { code: error.code }),
        ...(attempts !== undefined && { attempts }),
        writtenBy: written_by,
      });
    }
    return outcomes;
  }

  async partitions(): Promise<PartitionState[]> {
    const states: PartitionState[] = [];
    for (const { partition, pending, floor } of await whenLed(() => partitionStates(this.nc))) {
      const last = await this.jsm.direct.getMessage(STREAM.commands, { last_by_subj: `cmd.${partition}.>` });
      states.push({ partition, pending, unfinished: Math.max(0, (last?.seq ?? 0) - floor) });
    }
    return states;
  }

  /** Resolves when nothing is pending any more, or when that has taken too long: what is stuck then is for the checker to say. */
  async quiet(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline) {
      // While a node comes back there may be nobody to say so.
      if (await this.#isQuiet().catch(() => false)) return;
      await sleep(POLL_MS);
    }
  }

  async #isQuiet(): Promise<boolean> {
    const partitions = await this.partitions();
    if (!partitions.every(({ pending, unfinished }) => pending === 0 && unfinished === 0)) return false;
    const { state } = await this.jsm.streams.info(STREAM.outcomes, { subjects_filter: 'out.>' });
    return Object.keys(state.subjects ?? {}).length >= (await this.countCommands());
  }

  async #readAll(stream: string, filter: string): Promise<JsMsg[]> {
    const messages: JsMsg[] = [];
    const options = { deliver_policy: DeliverPolicy.All, filter_subjects: [filter] };
    const consumer = await whenLed(() => jetstream(this.nc).consumers.get(stream, options));
    let left = (await consumer.info()).num_pending;
    if (left === 0) return messages;
    for await (const message of await consumer.consume()) {
      messages.push(message);
      left = message.info.pending;
      if (left === 0) break;
    }
    return messages;
  }
}

function storedAt(message: JsMsg): number {
  return Number(message.timestampNanos / 1_000_000n);
}

/** What the actions wrote; nothing when none ran. */
export async function readLines(dataDir: string): Promise<Pick<History, 'lines' | 'unreadableLines'>> {
  const lines: Line[] = [];
  const unreadableLines: number[] = [];
  const text = await readFile(join(dataDir, 'demo', LOG), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  for (const [index, written] of text.split('\n').entries()) {
    if (written === '') continue;
    const line = readLine(index + 1, written);
    if (line) lines.push(line);
    else unreadableLines.push(index + 1);
  }
  return { lines, unreadableLines };
}

function readLine(line: number, text: string): Line | undefined {
  let entry: { [member: string]: unknown };
  try {
    entry = JSON.parse(text) as { [member: string]: unknown };
  } catch {
    return undefined;
  }
  const { event, key, value, correlation_id: correlationId, attempt, at } = entry;
  if (event !== 'began' && event !== 'acted') return undefined;
  if (typeof key !== 'string' || typeof correlationId !== 'string') return undefined;
  if (typeof value !== 'number' || typeof attempt !== 'number' || typeof at !== 'number') return undefined;
  return { line, event, key, value, correlationId, attempt, at };
}
