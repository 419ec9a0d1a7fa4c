/**
 * The operator's side of dead letters: reads them, sends a letter's command again, lets go of a letter.
 *
 * Redrive. The command is stored anew, with the same ordering key, a new deadline, the ids of those before it, and without its
 * idempotency key, whose command has ended. Its id follows from the letter, so however often a letter is redriven, and by how many
 * at once, it is one command (R1). The letter is deleted last: a process that dies before that leaves a letter whose next redrive
 * joins the command and deletes the letter (R2). Letters of one ordering key are redriven in the order in which they gave up, and
 * where one cannot be, the later ones of its key are left (R3).
 *
 * Halted keys. Where the letter's command halted its key, redriving names the new command as the one that goes first, and discarding
 * lets the key go on (R4); both before the letter is gone.
 *
 * Events. What the privacy filter holds back has letters too; the events themselves are where only the filter reads. So redriving such a
 * letter asks the filter to let the event go, and discarding it to erase the event (R5).
 *
 * R1 and R2 hold for as long as commands are kept. Not guaranteed: that the attempts which failed had no effect.
 */
import {
  CallboardError,
  actionId,
  parseEnvelope,
  parseStoredCommandSubject,
  redriveCorrelationId,
  LIMITS,
  type CommandEnvelope,
  type JsonObject,
} from '@callboard/envelope';
import { JetStreamApiError, jetstreamManager, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { CommandClient } from './command-client.js';
import type { DeadLetter } from './dead-letters.js';
import { FilterControl } from './filter-control.js';
import { haltKey, type Halt } from './halts.js';
import type { HeldEvent } from './held-letters.js';
import { KeyValueStore } from './key-value-store.js';
import { readSubject } from './read-subject.js';
import { BUCKET, STREAM } from './topology.js';

/** A dead letter as it is kept. */
export interface KeptLetter extends DeadLetter {
  /** Of the letter in DEAD_LETTERS; `sequence` is the message's own, in `stream`. */
  letter: number;
  /** When it gave up; ISO 8601, UTC. */
  at: string;
  /** The message as it was, where it was JSON. */
  envelope?: JsonObject;
  /** The start of it, where it was not. */
  message?: string;
  /** The envelope, where it is a valid one: such a letter can be redriven. */
  command?: CommandEnvelope;
  /** The event that the privacy filter holds back, where it is such a letter: it can be redriven as well. */
  event?: HeldEvent;
  /** What the letter is about, as far as the envelope or the subject says. */
  about: { tenant_id?: string; action?: string; ordering_key?: string; correlation_id?: string };
}

export interface LetterFilter {
  letters?: number[] | undefined;
  tenant?: string | undefined;
  action?: string | undefined;
  key?: string | undefined;
  reason?: string | undefined;
  /** Gave up at or after, and before: milliseconds since 1970. */
  since?: number | undefined;
  until?: number | undefined;
}

/** What became of a held event that was filtered again; `reason`: it is held still. */
export type Released = { letter: number; event: string } & ({ released: true } | { released: false; reason: string });

export interface Redriven {
  letter: number;
  redrive_of: string;
  correlation_id: string;
  /** An earlier redrive had stored the command, and only the letter was left. */
  before: boolean;
}

export class DeadLetterBox {
  private constructor(
    private readonly jsm: JetStreamManager,
    private readonly halts: KeyValueStore,
    private readonly filter: FilterControl,
  ) {}

  /** As user `sre` to read letters; as `operator` to redrive and discard them. */
  static async open(nc: NatsConnection): Promise<DeadLetterBox> {
    return new DeadLetterBox(
      await jetstreamManager(nc, { checkAPI: false }),
      await KeyValueStore.open(nc, BUCKET.halts),
      new FilterControl(nc),
    );
  }

  /** The letters that fit, in the order in which they gave up; without those that come while this goes through them. */
  async *find(filter: LetterFilter = {}): AsyncGenerator<KeptLetter> {
    if (filter.letters) {
      for (const sequence of filter.letters) {
        const letter = await this.get(sequence);
        if (letter && fitsLetter(letter, filter)) yield letter;
      }
      return;
    }
    for await (const letter of this.scan()) if (fitsLetter(letter, filter)) yield letter;
  }

  /** Every letter after one, whatever it is about, as `find` has them. */
  async *scan(after = 0): AsyncGenerator<KeptLetter> {
    // What is redriven may give up again: without an end, the same command would be sent again for ever.
    const { last_seq } = (await this.jsm.streams.info(STREAM.deadLetters)).state;
    for (let from = after; from < last_seq;) {
      const messages = await readSubject(this.jsm, STREAM.deadLetters, 'dlq.>', from);
      if (messages.length === 0) return;
      for (const message of messages) {
        if (message.seq > last_seq) return;
        yield read(message);
      }
      from = messages.at(-1)!.seq;
    }
  }

  /** By its sequence in DEAD_LETTERS. */
  async get(sequence: number): Promise<KeptLetter | undefined> {
    const message = await this.jsm.streams.getMessage(STREAM.deadLetters, { seq: sequence });
    return message ? read(message) : undefined;
  }

  /**
   * Sends the letter's command again and deletes the letter.
   * @throws CallboardError when the command was not accepted; the letter stays. RangeError when the letter holds no command.
   */
  async redrive(letter: KeptLetter, commands: CommandClient): Promise<Redriven> {
    const command = redrivenCommand(letter, Date.now());
    await this.#mustHaveEnded(letter, commands);
    const submission = await commands.submit(command);
    // Nobody waits for it: its deadline must hold without.
    await submission.keep().finally(() => submission.release());
    await this.#decide(letter, submission.correlationId);
    // Its content is still in COMMANDS: nothing is gained by overwriting it here.
    await this.#delete(letter, false);
    return {
      letter: letter.letter,
      redrive_of: command.redrive_of!,
      correlation_id: submission.correlationId,
      before: submission.replayed,
    };
  }

  /**
   * Has the privacy filter look at the letter's event again, under the policies of now.
   * @throws CallboardError when no filter answers. RangeError when the letter is about no event.
   */
  async release({ letter, event }: KeptLetter): Promise<Released> {
    if (!event) throw new RangeError('the letter is about no event');
    return { letter, event: event.name, ...(await this.filter.ask('release', { event: event.name })) };
  }

  /** A letter is stored before its outcome: what its runner is still about to end must not go out a second time. */
  async #mustHaveEnded({ stream, command }: KeptLetter, commands: CommandClient): Promise<void> {
    if (stream !== STREAM.commands || !command) return;
    const { tenant_id, correlation_id: correlationId } = command;
    if (await commands.lookup(tenant_id, correlationId)) return;
    throw new CallboardError('unavailable', 'The command of this letter has not ended yet', {
      retryAfterMs: 1_000,
      correlationId,
    });
  }

  /** Deletes the letter, and the event that is held with it; their places on the disk are overwritten. */
  async discard(letter: KeptLetter): Promise<void> {
    if (letter.event) return void (await this.filter.ask('discard', { event: letter.event.name }));
    await this.#decide(letter, undefined);
    await this.#delete(letter, true);
  }

  /** What becomes of the key, where the letter's command halted it: the named command goes first, or the key simply goes on. */
  async #decide({ about }: KeptLetter, goesFirst: string | undefined): Promise<void> {
    const { tenant_id, ordering_key, correlation_id } = about;
    if (tenant_id === undefined || ordering_key === undefined) return;
    const key = haltKey(tenant_id, ordering_key);
    const entry = await this.halts.entry(key);
    const halt = entry && (JSON.parse(Buffer.from(entry.value).toString()) as Halt);
    if (halt?.correlation_id !== correlation_id) return;
    // Only while it is this halt: a runner may just have replaced it with that of another command.
    if (goesFirst === undefined) await this.halts.delete(key, entry!.revision);
    else
      await this.halts.update(key, Buffer.from(JSON.stringify({ ...halt, resume_with: goesFirst })), entry!.revision);
  }

  async #delete({ letter }: KeptLetter, erase: boolean): Promise<void> {
    try {
      await this.jsm.streams.deleteMessage(STREAM.deadLetters, letter, erase);
    } catch (error) {
      // Somebody else was first.
      if (!(error instanceof JetStreamApiError && GONE.has(error.code))) throw error;
    }
  }
}

/** "no message found" and "message not found" of a delete. */
const GONE = new Set([10037, 10057]);

/**
 * The command that a letter is redriven as, at a time.
 * @throws RangeError when the letter holds no command.
 */
export function redrivenCommand(letter: KeptLetter, now: number): CommandEnvelope {
  if (!letter.command) throw new RangeError('the letter holds no command');
  const { idempotency_key: _ended, ...again } = letter.command;
  const before = [...(again.lineage ?? []), again.correlation_id];
  return {
    ...again,
    correlation_id: redriveCorrelationId(again.correlation_id, letter.letter),
    redrive_of: again.correlation_id,
    // The first stays, whatever it takes: it is the one that the caller knows.
    lineage: before.length > LIMITS.lineage ? [before[0]!, ...before.slice(1 - LIMITS.lineage)] : before,
    issued_at: new Date(now).toISOString(),
    deadline_at: new Date(now + again.deadline_ms).toISOString(),
  };
}

/** How one letter of several fared. */
export type Redrive = Redriven | Released | { letter: number; error: unknown } | { letter: number; left: true };

/**
 * Redrives many letters, as many at once as the keys allow, and yields how each fared as soon as it is known.
 * @param perSecond at most so many are begun; without it, as fast as the server takes them.
 */
export async function* redriveAll(
  box: DeadLetterBox,
  commands: CommandClient,
  letters: AsyncIterable<KeptLetter>,
  perSecond?: number,
): AsyncGenerator<Redrive> {
  const tails = new Map<string, Promise<Redrive>>();
  const running = new Set<Promise<Redrive>>();
  const ended: Redrive[] = [];
  const startedAt = Date.now();
  let begun = 0;
  for await (const letter of letters) {
    if (!letter.command && !letter.event) {
      yield { letter: letter.letter, error: new RangeError('the letter holds no command') };
      continue;
    }
    if (perSecond !== undefined) await until(startedAt + (1_000 * begun++) / perSecond);
    const { tenant_id, ordering_key } = letter.about;
    // A held event has lost its place in its key's line, and waits for no other.
    const key = letter.event ? letter.event.name : JSON.stringify([tenant_id, ordering_key]);
    const work: Promise<Redrive> = after(tails.get(key), box, commands, letter).then((fared) => {
      running.delete(work);
      if (tails.get(key) === work && 'correlation_id' in fared) tails.delete(key);
      ended.push(fared);
      return fared;
    });
    tails.set(key, work);
    running.add(work);
    if (running.size >= AT_ONCE) await Promise.race(running);
    yield* ended.splice(0);
  }
  await Promise.all(running);
  yield* ended.splice(0);
}

/** Many of them share the syncs of the disk. */
const AT_ONCE = 128;

async function after(
  tail: Promise<Redrive> | undefined,
  box: DeadLetterBox,
  commands: CommandClient,
  letter: KeptLetter,
): Promise<Redrive> {
  if (tail && !('correlation_id' in (await tail)) && !letter.event) return { letter: letter.letter, left: true };
  try {
    return letter.event ? await box.release(letter) : await box.redrive(letter, commands);
  } catch (error) {
    return { letter: letter.letter, error };
  }
}

async function until(time: number): Promise<void> {
  const ms = time - Date.now();
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
}

function read(message: StoredMsg): KeptLetter {
  const kept = message.json<DeadLetter & { at: string; envelope?: JsonObject; message?: string; event?: HeldEvent }>();
  const command = commandOf(kept.envelope);
  const about = kept.event ? { tenant_id: kept.event.tenant_id } : command ? of(command) : ofSubject(kept);
  return { ...kept, letter: message.seq, ...(command && { command }), about };
}

function commandOf(envelope: JsonObject | undefined): CommandEnvelope | undefined {
  try {
    return envelope && parseEnvelope(envelope);
  } catch {
    return undefined;
  }
}

function of(command: CommandEnvelope): KeptLetter['about'] {
  const { tenant_id, ordering_key, correlation_id } = command;
  return { tenant_id, action: actionId(command), ordering_key, correlation_id };
}

/** Of what is no command, the subject is all that can be told. */
function ofSubject({ subject }: DeadLetter): KeptLetter['about'] {
  try {
    const address = parseStoredCommandSubject(subject);
    return {
      tenant_id: address.tenantId,
      action: actionId(address),
      ordering_key: address.orderingKey,
      correlation_id: address.correlationId,
    };
  } catch {
    return {};
  }
}

/** Is it one of those that a filter is for? Its own `letters` are not looked at. */
export function fitsLetter({ about, reason, at }: KeptLetter, filter: LetterFilter): boolean {
  return (
    agrees(filter.tenant, about.tenant_id) &&
    agrees(filter.action, about.action) &&
    agrees(filter.key, about.ordering_key) &&
    agrees(filter.reason, reason) &&
    (filter.since === undefined || Date.parse(at) >= filter.since) &&
    (filter.until === undefined || Date.parse(at) < filter.until)
  );
}

function agrees(wanted: string | undefined, actual: string | undefined): boolean {
  return wanted === undefined || wanted === actual;
}
