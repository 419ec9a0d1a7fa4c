/** Reads what the stack has stored and done, from outside: the streams as the user `sre`, and the file of `demo.append`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeToken, parseEnvelope, parseOutcome, type CommandEnvelope } from '@callboard/envelope';
import { STREAM, connectNats, partitionConsumerName, partitionStates } from '@callboard/jetstream';
import type { ReadyFile } from '@callboard/testing';
import { DeliverPolicy, jetstream, type JsMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { ConsumerState, Effect, History, StoredCommand, StoredOutcome } from './history.js';

const POLL_MS = 200;

export class Observer {
  private constructor(private readonly nc: NatsConnection) {}

  static async connect(ready: ReadyFile): Promise<Observer> {
    const { creds } = ready.nats_users['sre']!;
    return new Observer(
      await connectNats({ servers: ready.nats_url, user: 'sre', credsFile: creds, name: 'callboard-faults' }),
    );
  }

  async close(): Promise<void> {
    await this.nc.close();
  }

  async commands(): Promise<StoredCommand[]> {
    return (await this.#readAll(STREAM.commands, 'cmd.>')).map((message) => {
      const envelope = parseEnvelope(message.data);
      return {
        sequence: message.seq,
        storedAt: storedAt(message),
        correlationId: envelope.correlation_id,
        idempotencyKey: envelope.idempotency_key ?? '',
        orderingKey: envelope.ordering_key,
      };
    });
  }

  /** The stored envelope of one command. @throws Error when there is none, or more than one. */
  async envelope(correlationId: string): Promise<CommandEnvelope> {
    const stored = await this.#readAll(STREAM.commands, `cmd.*.*.*.*.*.${encodeToken(correlationId)}`);
    if (stored.length !== 1) throw new Error(`${correlationId} is stored ${stored.length} times`);
    return parseEnvelope(stored[0]!.data);
  }

  async outcomes(): Promise<StoredOutcome[]> {
    return (await this.#readAll(STREAM.outcomes, 'out.>')).map((message) => {
      const outcome = parseOutcome(message.data);
      return {
        sequence: message.seq,
        storedAt: storedAt(message),
        correlationId: outcome.correlation_id,
        status: outcome.status,
        attempts: outcome.attempts ?? 0,
        writtenBy: outcome.written_by,
      };
    });
  }

  async consumers(): Promise<ConsumerState[]> {
    return (await partitionStates(this.nc)).map(({ partition, pending, delivered, floor }) => ({
      name: partitionConsumerName(partition),
      pending,
      // What was handed out and is not known to have ended.
      ackPending: Math.max(0, delivered - floor),
    }));
  }

  /** Resolves when nothing is pending any more, or when that has taken too long: what is stuck then is for the checker to say. */
  async quiet(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline) {
      const consumers = await this.consumers();
      if (consumers.every(({ pending, ackPending }) => pending === 0 && ackPending === 0)) return;
      await sleep(POLL_MS);
    }
  }

  async #readAll(stream: string, filter: string): Promise<JsMsg[]> {
    const messages: JsMsg[] = [];
    const consumer = await jetstream(this.nc).consumers.get(stream, {
      deliver_policy: DeliverPolicy.All,
      filter_subjects: [filter],
    });
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

/** The side effects of `demo.append`; none when it never ran. */
export async function readEffects(dataDir: string): Promise<Pick<History, 'effects' | 'unreadableLines'>> {
  const effects: Effect[] = [];
  const unreadableLines: number[] = [];
  const text = await readFile(join(dataDir, 'demo', 'append.log'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '') continue;
    const effect = readEffect(index + 1, line);
    if (effect) effects.push(effect);
    else unreadableLines.push(index + 1);
  }
  return { effects, unreadableLines };
}

function readEffect(line: number, text: string): Effect | undefined {
  let entry: { [member: string]: unknown };
  try {
    entry = JSON.parse(text) as { [member: string]: unknown };
  } catch {
    return undefined;
  }
  const { key, value, correlation_id: correlationId, attempt } = entry;
  const at = typeof entry['at'] === 'string' ? Date.parse(entry['at']) : Number.NaN;
  if (typeof key !== 'string' || typeof correlationId !== 'string' || Number.isNaN(at)) return undefined;
  if (typeof attempt !== 'number') return undefined;
  return { line, key, value: Number(value), correlationId, attempt, at };
}
