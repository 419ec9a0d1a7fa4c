/**
 * Turns each tick of a schedule into a command. All front ends share the work.
 *
 * A tick's command has an id that follows from the tick, so a tick that is delivered again, because a front end died half-way, is the
 * same command. It is acknowledged once the command is durable and its deadline is on record. A tick that can never be a command
 * (arguments that the action does not take, an action that stays away) becomes a dead letter, from which an operator can still run it.
 */
import { checkArguments, type Catalog } from '@callboard/actions';
import {
  CallboardError,
  actionId,
  commandOfSchedule,
  parseScheduleSubject,
  tickCorrelationId,
  type CommandEnvelope,
} from '@callboard/envelope';
import {
  AckedPublisher,
  DeadLetterPublisher,
  STREAM,
  TICKS_CONSUMER,
  whenLed,
  type CommandClient,
} from '@callboard/jetstream';
import { jetstream, type ConsumerMessages, type JsMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';

export interface ScheduledCommandsOptions {
  /** What could not be done for now; it is tried again. */
  onError(error: unknown): void;
  /** A tick has become a dead letter. */
  onRefused(tick: { tenant_id: string; schedule: string; code: string }): void;
  /** How long an action may be missing before its ticks are given up: a runner that is started anew is away for a moment. */
  missingActionMs?: number;
}

const RETRY_MS = 2_000;
const MISSING_ACTION_MS = 60_000;
const AT_ONCE = 100;

export class ScheduledCommands {
  readonly #publisher: AckedPublisher;
  readonly #deadLetters: DeadLetterPublisher;
  #messages: ConsumerMessages | undefined;

  private constructor(
    nc: NatsConnection,
    private readonly catalog: Catalog,
    private readonly commands: CommandClient,
    private readonly options: ScheduledCommandsOptions,
  ) {
    this.#publisher = new AckedPublisher(nc);
    this.#deadLetters = new DeadLetterPublisher(this.#publisher);
  }

  static async start(
    nc: NatsConnection,
    catalog: Catalog,
    commands: CommandClient,
    options: ScheduledCommandsOptions,
  ): Promise<ScheduledCommands> {
    const scheduled = new ScheduledCommands(nc, catalog, commands, options);
    const consumer = await whenLed(() => jetstream(nc).consumers.get(STREAM.schedules, TICKS_CONSUMER));
    scheduled.#messages = await consumer.consume({
      max_messages: AT_ONCE,
      callback: (message) => void scheduled.#take(message),
    });
    return scheduled;
  }

  stop(): void {
    this.#messages?.stop();
    this.#publisher.close();
  }

  async #take(message: JsMsg): Promise<void> {
    try {
      const refusal = await this.#run(message);
      if (refusal) await this.#giveUp(message, refusal);
      message.ack();
    } catch (error) {
      if (!(error instanceof Later)) this.options.onError(error);
      message.nak(error instanceof CallboardError ? (error.details.retryAfterMs ?? RETRY_MS) : RETRY_MS);
    }
  }

  /** Resolves when the tick's command is accepted, or with why it never can be. */
  async #run(message: JsMsg): Promise<CallboardError | undefined> {
    let command: CommandEnvelope;
    try {
      command = commandOf(message);
    } catch (error) {
      if (error instanceof CallboardError) return error;
      throw error;
    }
    const action = this.catalog.view.actions.get(actionId(command));
    if (!action) {
      if (Date.now() - message.time.getTime() < (this.options.missingActionMs ?? MISSING_ACTION_MS)) throw new Later();
      return new CallboardError('unknown_action');
    }
    try {
      checkArguments(action, command.args);
      const submission = await this.commands.submit(command, { saga: action.binding?.kind === 'saga' });
      await submission.keep().finally(() => submission.release());
      return undefined;
    } catch (error) {
      if (error instanceof CallboardError && !error.retryable) return error;
      throw error;
    }
  }

  async #giveUp(message: JsMsg, error: CallboardError): Promise<void> {
    const { subject, seq: sequence } = message;
    const letter = { reason: error.code, attempts: 0, last_error: error.toBody(), stream: STREAM.schedules, sequence };
    // Each tick has a letter of its own: their subjects differ in the id that the command would have had.
    await this.#deadLetters.publish({ ...letter, subject: `${subject}.${idOf(message)}` }, contentOf(message));
    const { tenantId, name } = parseScheduleSubject(subject);
    this.options.onRefused({ tenant_id: tenantId, schedule: name, code: error.code });
  }
}

/** Not now: nothing has gone wrong. */
class Later extends Error {}

function idOf({ subject, seq, time }: JsMsg): string {
  return tickCorrelationId({ ...parseScheduleSubject(subject), sequence: seq, storedAt: time.toISOString() });
}

/** @throws CallboardError when the tick holds no command of its tenant. */
function commandOf(message: JsMsg): CommandEnvelope {
  let scheduled: unknown;
  try {
    scheduled = message.json();
  } catch {
    throw new CallboardError('invalid_request', 'The scheduled command is not JSON');
  }
  const command = commandOfSchedule(scheduled, idOf(message), Date.now());
  if (command.tenant_id !== parseScheduleSubject(message.subject).tenantId) {
    throw new CallboardError('invalid_request', 'The scheduled command and its subject do not agree');
  }
  return command;
}

/** For a dead letter: the envelope where there is one, so that it can be redriven, and else the message as it is. */
function contentOf(message: JsMsg): Uint8Array {
  try {
    return Buffer.from(JSON.stringify(commandOf(message)));
  } catch {
    return message.data;
  }
}
