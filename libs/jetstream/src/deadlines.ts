/**
 * Deadlines that hold when nobody is there.
 *
 * The deadline of a command that may outlive its caller is a scheduled message in OUTCOMES: the record of the command, which the
 * server moves from `deadline.…` to `due.…` when its time has come. Storing the outcome removes it, in one step of the server. What
 * has come due is taken by whichever process is alive and can write outcomes; the stream takes the first terminal fact, so a
 * deadline that fires beside an outcome changes nothing.
 *
 * A call that is waited for costs no schedule while it is young: see `CommandClient`, and docs/adr/0012.
 */
import {
  CallboardError,
  HEADER,
  JSON_CONTENT_TYPE,
  commandFingerprint,
  deadlineSubject,
  dueSubject,
  parseAcceptedRecord,
  type AcceptedRecord,
  type CommandEnvelope,
} from '@callboard/envelope';
import { jetstream, type ConsumerMessages, type JsMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { headerLine, type AckedPublisher } from './acked-publisher.js';
import type { OutcomePublisher } from './outcome-publisher.js';
import { DEADLINES_CONSUMER, STREAM } from './topology.js';
import { whenLed } from './when-led.js';

/** What is kept of a command that may outlive its caller. */
export function acceptedRecord(command: CommandEnvelope): AcceptedRecord {
  return {
    correlation_id: command.correlation_id,
    tenant_id: command.tenant_id,
    user_id: command.user_id,
    tool: command.tool,
    method: command.method,
    ordering_key: command.ordering_key,
    ...(command.idempotency_key !== undefined && { fingerprint: commandFingerprint(command) }),
    issued_at: command.issued_at,
    deadline_at: command.deadline_at,
  };
}

/** Resolves when the deadline is durable. Once more is harmless: it replaces itself. */
export async function scheduleDeadline(
  publisher: AckedPublisher,
  record: AcceptedRecord,
  timeoutMs: number,
): Promise<void> {
  const { tenant_id: tenantId, correlation_id: id } = record;
  const headers =
    headerLine(HEADER.contentType, JSON_CONTENT_TYPE) +
    headerLine(HEADER.schedule, `@at ${new Date(record.deadline_at).toISOString()}`) +
    headerLine(HEADER.scheduleTarget, dueSubject(tenantId, id));
  await publisher.publish(deadlineSubject(tenantId, id), Buffer.from(JSON.stringify(record)), headers, timeoutMs);
}

const RETRY_MS = 1_000;

/** Ends the commands whose deadline has passed. Any number of processes share the work. */
export class DeadlineKeeper {
  #messages: ConsumerMessages | undefined;
  #stopped = false;

  private constructor(
    private readonly outcomes: OutcomePublisher,
    private readonly onError: (error: unknown) => void,
  ) {}

  static async start(
    nc: NatsConnection,
    outcomes: OutcomePublisher,
    onError: (error: unknown) => void,
  ): Promise<DeadlineKeeper> {
    const keeper = new DeadlineKeeper(outcomes, onError);
    const consumer = await whenLed(() => jetstream(nc).consumers.get(STREAM.outcomes, DEADLINES_CONSUMER));
    keeper.#messages = await consumer.consume({
      max_messages: 100,
      callback: (message) => void keeper.#end(message),
    });
    return keeper;
  }

  stop(): void {
    this.#stopped = true;
    this.#messages?.stop();
  }

  async #end(message: JsMsg): Promise<void> {
    if (this.#stopped) return;
    let record: AcceptedRecord;
    try {
      record = parseAcceptedRecord(message.data);
    } catch (error) {
      this.onError(error);
      message.term('not the record of a command');
      return;
    }
    try {
      const { code, message: text, retryable } = new CallboardError('deadline_exceeded');
      const error = { code, message: text, retryable, correlation_id: record.correlation_id };
      await this.outcomes.publish(record, { status: 'deadline_exceeded', error });
      message.ack();
    } catch (error) {
      // Another process takes what this one leaves.
      if (this.#stopped) return;
      this.onError(error);
      message.nak(RETRY_MS);
    }
  }
}
