/**
 * Commands on a schedule. A schedule is one message in SCHEDULES, which holds the command; the server itself fires it, to
 * `tick.<tenant>.<name>`, and front ends turn each tick into a command: see `ScheduledCommands` there. Nobody of ours has to be alive
 * for a tick to be stored.
 *
 * What the server does (2.15): it fires within 250 ms of the time. One shot whose time passed while it was down fires when it is
 * back. A repeated one that was missed fires once when the server was stopped in order, and goes on with its next time when it crashed.
 */
import {
  HEADER,
  JSON_CONTENT_TYPE,
  LIMITS,
  parseScheduleSubject,
  scheduleSubject,
  tickSubject,
  unscheduleSubject,
  type ScheduledCommand,
} from '@callboard/envelope';
import {
  JetStreamApiError,
  jetstream,
  jetstreamManager,
  type JetStreamManager,
  type StoredMsg,
} from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { readSubject } from './read-subject.js';
import { STREAM } from './topology.js';

/** When: at one time, again and again after a while, or by six cron fields (the first one is seconds) in a time zone. */
export type When = { at: Date } | { everyMs: number } | { cron: string; timeZone?: string };

export interface Schedule {
  tenant_id: string;
  name: string;
  /** As the server has it: `@at …`, `@every …`, or six cron fields. */
  when: string;
  time_zone?: string;
  /** The next time, ISO 8601, as far as it is known: that of a cron schedule is known once it has fired. */
  next?: string;
  /** When it was made; ISO 8601, UTC. */
  created_at: string;
  command: ScheduledCommand;
}

/** Why a schedule was refused, for whoever made it. */
export class ScheduleRefused extends Error {
  override readonly name = 'ScheduleRefused';
}

/** A tick that nobody took is forgotten after a day. */
const TICK_TTL = '24h';
/** Schedules of an installation. */
const MOST = 1_000;
const MOST_BYTES = 64 * 1024;
const SCHEDULES = 'schedule.*.*';
const WRONG_LAST_SEQUENCE = 10071;
/** Refusals that are about the schedule itself: its pattern, and its time zone. */
const REASONS: Record<number, string> = {
  10189: 'the server does not understand the schedule: six cron fields are wanted, the first one for seconds',
  10223: 'the server does not know the time zone, or the schedule is none of cron fields',
};

export class Schedules {
  private constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
  ) {}

  /** As user `operator`. */
  static async open(nc: NatsConnection): Promise<Schedules> {
    return new Schedules(nc, await jetstreamManager(nc, { checkAPI: false }));
  }

  /**
   * Resolves when the schedule is durable.
   * @param replace takes the place of one with the same name, which is otherwise refused.
   * @throws ScheduleRefused saying what is wrong with it.
   */
  async create(name: string, when: When, command: ScheduledCommand, replace = false): Promise<void> {
    if (name === '' || name.length > LIMITS.nameChars)
      throw new ScheduleRefused('the name must have 1 to 256 characters');
    const data = JSON.stringify(command);
    if (data.length > MOST_BYTES) throw new ScheduleRefused(`the arguments are too large: at most ${MOST_BYTES} bytes`);
    if ((await this.#count()) >= MOST) throw new ScheduleRefused(`there are ${MOST} schedules already`);
    const subject = scheduleSubject(command.tenant_id, name);
    const header = headers();
    header.set(HEADER.contentType, JSON_CONTENT_TYPE);
    header.set(HEADER.schedule, patternOf(when));
    if ('cron' in when && when.timeZone) header.set(HEADER.scheduleTimeZone, when.timeZone);
    header.set(HEADER.scheduleTarget, tickSubject(command.tenant_id, name));
    header.set(HEADER.scheduleTtl, TICK_TTL);
    try {
      const expect = replace ? {} : { expect: { lastSubjectSequence: 0 } };
      await jetstream(this.nc).publish(subject, data, { headers: header, ...expect });
    } catch (error) {
      if (!(error instanceof JetStreamApiError)) throw error;
      if (error.code === WRONG_LAST_SEQUENCE) throw new ScheduleRefused('there is one with this name already');
      const reason = REASONS[error.code];
      throw reason ? new ScheduleRefused(reason) : error;
    }
  }

  async list(): Promise<Schedule[]> {
    const schedules: Schedule[] = [];
    for (let after = 0; ;) {
      const messages = await readSubject(this.jsm, STREAM.schedules, SCHEDULES, after);
      if (messages.length === 0) return schedules;
      for (const message of messages) schedules.push(await this.#read(message));
      after = messages.at(-1)!.seq;
    }
  }

  /** Returns whether there was one. Ticks that have fired go on. */
  async delete(tenantId: string, name: string): Promise<boolean> {
    const subject = scheduleSubject(tenantId, name);
    if (!(await this.jsm.streams.getMessage(STREAM.schedules, { last_by_subj: subject }))) return false;
    const header = headers();
    header.set(HEADER.scheduler, subject);
    header.set(HEADER.scheduleNext, 'purge');
    await jetstream(this.nc).publish(unscheduleSubject(tenantId, name), '', { headers: header });
    return true;
  }

  async #count(): Promise<number> {
    const { state } = await this.jsm.streams.info(STREAM.schedules, { subjects_filter: SCHEDULES });
    return Object.keys(state.subjects ?? {}).length;
  }

  async #read(message: StoredMsg): Promise<Schedule> {
    const { tenantId, name } = parseScheduleSubject(message.subject);
    const when = message.header.get(HEADER.schedule);
    const timeZone = message.header.get(HEADER.scheduleTimeZone);
    const next = await this.#next(message, when, tickSubject(tenantId, name));
    return {
      tenant_id: tenantId,
      name,
      when,
      ...(timeZone && { time_zone: timeZone }),
      ...(next && { next }),
      created_at: message.timestamp,
      command: message.json<ScheduledCommand>(),
    };
  }

  /** The server says it in the header of the last tick, if there was one since the schedule was made. */
  async #next(message: StoredMsg, when: string, tick: string): Promise<string | undefined> {
    if (when.startsWith('@at ')) return new Date(when.slice('@at '.length)).toISOString();
    const last = await this.jsm.streams.getMessage(STREAM.schedules, { last_by_subj: tick });
    if (!last || last.seq < message.seq) return undefined;
    return new Date(last.header.get(HEADER.scheduleNext)).toISOString();
  }
}

function patternOf(when: When): string {
  if ('at' in when) return `@at ${when.at.toISOString()}`;
  if ('everyMs' in when) return `@every ${Math.round(when.everyMs / 1_000)}s`;
  return when.cron;
}
