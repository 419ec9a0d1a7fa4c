/**
 * The operator of a run: cancels commands that their caller still waits for, and redrives dead letters, after it has mended what made
 * them give up. It does both as `callboard commands cancel` and `callboard dlq redrive` do, and writes down what it was told.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { idempotentCorrelationId, type CommandEnvelope } from '@callboard/envelope';
import { CommandClient, DeadLetterBox, type KeptLetter } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { mendedFile } from './actions.js';
import type { Call, Cancel, Letter, Redrive } from './history.js';
import { connectAs, type NatsUsers, type Observer } from './observe.js';

/** Whose commands the clients' calls become. */
export interface CallerIdentity {
  tenantId: string;
  userId: string;
}

const ROUND_MS = 700;
const POLL_MS = 25;
/** A call that is not stored by then has a front end to wait for, and is not cancelled. */
const STORED_WITHIN_MS = 3_000;
const HEARD_WITHIN_MS = 20_000;

export class Operator {
  readonly cancels: Cancel[] = [];
  readonly #letters = new Map<number, Letter>();
  /** By the command that gave up. */
  readonly #redrives = new Map<string, Redrive>();
  readonly #cancelling = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  private constructor(
    private readonly nc: NatsConnection,
    private readonly commands: CommandClient,
    private readonly box: DeadLetterBox,
    private readonly observer: Observer,
    private readonly caller: CallerIdentity,
    private readonly demoDir: string,
  ) {}

  static async start(users: NatsUsers, dataDir: string, observer: Observer, caller: CallerIdentity): Promise<Operator> {
    const nc = await connectAs('operator', users);
    const commands = await CommandClient.start(nc, { instance: 'operator' });
    return new Operator(nc, commands, await DeadLetterBox.open(nc), observer, caller, join(dataDir, 'demo'));
  }

  get letters(): Letter[] {
    return [...this.#letters.values()];
  }

  get redrives(): Redrive[] {
    return [...this.#redrives.values()];
  }

  /** Cancels the command of a call when its plan says so, if it is stored by then. */
  cancel(call: Call): void {
    const cancelling = this.#cancel(call).finally(() => this.#cancelling.delete(cancelling));
    this.#cancelling.add(cancelling);
  }

  /** Redrives what gives up, a round at a time, until it is stopped. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.redriveAll().catch(() => undefined);
      await sleep(ROUND_MS);
    }
  }

  /** Begins nothing more, and waits for what was begun, in bounds: a cancel of which nothing is heard is one of which nothing was said. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.race([Promise.all(this.#cancelling), sleep(HEARD_WITHIN_MS)]);
  }

  async close(): Promise<void> {
    this.commands.close();
    await this.nc.close();
  }

  /** Notes and redrives every dead letter that is there. Returns how many there were. @throws Error when the server is away */
  async redriveAll(): Promise<number> {
    let count = 0;
    for await (const letter of this.box.find()) {
      count += 1;
      this.#note(letter);
      await this.#redrive(letter);
    }
    return count;
  }

  #note({ letter, attempts, reason, command }: KeptLetter): void {
    const correlationId = command?.correlation_id;
    this.#letters.set(letter, { sequence: letter, attempts, reason, ...(correlationId && { correlationId }) });
  }

  async #redrive(letter: KeptLetter): Promise<void> {
    const { command } = letter;
    if (!command) return;
    const { key, value } = command.args as { key: string; value: number };
    const file = mendedFile(this.demoDir, key, value);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, '');
    // Asked again after a round in which the server went away, it is the same redrive.
    const redrive = this.#redrives.get(command.correlation_id) ?? {
      redriveOf: command.correlation_id,
      askedAt: Date.now(),
    };
    this.#redrives.set(command.correlation_id, redrive);
    redrive.successor = (await this.box.redrive(letter, this.commands)).correlation_id;
  }

  async #cancel({ key, value, idempotencyKey, plan }: Call): Promise<void> {
    await sleep(plan.cancelAfterMs);
    const action = { tool: 'faults', method: plan.action };
    const correlationId = idempotentCorrelationId({ ...this.caller, action, idempotencyKey });
    const command = await this.#stored(correlationId, key);
    if (!command || (command.args as { value?: number }).value !== value) return;
    const cancel: Cancel = { correlationId, askedAt: Date.now() };
    this.cancels.push(cancel);
    try {
      const result = await this.commands.cancel(command);
      cancel.said = { at: Date.now(), result };
    } catch {
      // Nothing was said: it may have been cancelled or not.
    }
  }

  async #stored(correlationId: string, key: string): Promise<CommandEnvelope | undefined> {
    const until = Date.now() + STORED_WITHIN_MS;
    for (;;) {
      const command = await this.observer.command(this.caller.tenantId, key, correlationId).catch(() => undefined);
      if (command || Date.now() > until) return command;
      await sleep(POLL_MS);
    }
  }
}
