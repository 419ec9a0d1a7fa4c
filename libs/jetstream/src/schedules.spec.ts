import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { scheduleSubject, tickSubject, type ScheduledCommand } from '@callboard/envelope';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { ScheduleRefused, Schedules } from './schedules.js';
import { STREAM } from './topology.js';

let nats: TestNats;
let sre: JetStreamManager;
let schedules: Schedules;
beforeAll(async () => {
  nats = await startTestNats({ topology: { partitions: 1 } });
  sre = await jetstreamManager(await nats.connect('sre'));
  schedules = await Schedules.open(await nats.connect('operator'));
});
afterAll(() => nats.dispose());

const command: ScheduledCommand = {
  tenant_id: 'acme',
  user_id: 'user:default/jane',
  tool: 'demo',
  method: 'append',
  args: { key: 'k', value: 1 },
  ordering_key: 'k',
  deadline_ms: 60_000,
  priority: 'low',
};
const inMs = (ms: number) => ({ at: new Date(Date.now() + ms) });
const HOURLY = { everyMs: 3_600_000 };

const last = (subject: string) => sre.streams.getMessage(STREAM.schedules, { last_by_subj: subject });
const ticked = (name: string, timeoutMs = 60_000) =>
  waitFor(() => last(tickSubject('acme', name)), { what: `a tick of ${name}`, timeoutMs });
async function named(name: string) {
  return (await schedules.list()).find((schedule) => schedule.name === name);
}

describe('a schedule', () => {
  it('of one time fires once, holding its command, and is gone then', async () => {
    const when = inMs(1_000);
    await schedules.create('once', when, command);
    expect(await named('once')).toEqual({
      tenant_id: 'acme',
      name: 'once',
      when: `@at ${when.at.toISOString()}`,
      next: when.at.toISOString(),
      created_at: expect.any(String),
      command,
    });
    const tick = await ticked('once');
    expect(tick.json()).toEqual(command);
    const late = new Date(tick.timestamp).getTime() - when.at.getTime();
    expect(late).toBeGreaterThanOrEqual(0);
    expect(late).toBeLessThan(5_000);
    expect(tick.header.get('Nats-TTL')).toBe('24h');
    expect(await named('once')).toBeUndefined();
  });

  it('that repeats fires again and says when it will next, until it is taken back', async () => {
    await schedules.create('often', { everyMs: 1_000 }, command);
    await schedules.create('cron', { cron: '* * * * * *', timeZone: 'Europe/Berlin' }, command);
    for (const name of ['often', 'cron']) {
      const first = await ticked(name);
      const second = await waitFor(
        async () => {
          const tick = await last(tickSubject('acme', name));
          return tick && tick.seq > first.seq && tick;
        },
        { what: `a second tick of ${name}` },
      );
      const { next } = (await named(name))!;
      expect(Math.abs(Date.parse(next!) - Date.parse(second.timestamp))).toBeLessThan(5_000);
      expect(await schedules.delete('acme', name)).toBe(true);
      expect(await named(name)).toBeUndefined();
      const { seq } = (await last(tickSubject('acme', name)))!;
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expect((await last(tickSubject('acme', name)))!.seq).toBe(seq);
      expect(await schedules.delete('acme', name)).toBe(false);
    }
  });

  it('is not made twice under one name, and takes the place of the other when that is wanted', async () => {
    await schedules.create('nightly.1', { cron: '0 0 5 * * *', timeZone: 'Europe/Berlin' }, command);
    await expect(schedules.create('nightly.1', HOURLY, command)).rejects.toThrow('there is one with this name already');
    await schedules.create('nightly.1', HOURLY, { ...command, priority: 'high' }, true);
    expect(await named('nightly.1')).toMatchObject({ when: '@every 3600s', command: { priority: 'high' } });
    const { state } = await sre.streams.info(STREAM.schedules, {
      subjects_filter: scheduleSubject('acme', 'nightly.1'),
    });
    expect(state.subjects).toEqual({ [scheduleSubject('acme', 'nightly.1')]: 1 });
    await schedules.delete('acme', 'nightly.1');
    await schedules.create('nightly.1', HOURLY, command);
    await schedules.delete('acme', 'nightly.1');
  });

  it.each([
    ['five cron fields', { cron: '0 5 * * *' }],
    ['no cron at all', { cron: 'every day' }],
    ['a time zone that is none', { cron: '0 0 5 * * *', timeZone: 'Mars/Olympus' }],
    ['less than a second', { everyMs: 100 }],
  ])('is refused with %s', async (_what, when) => {
    await expect(schedules.create('wrong', when, command)).rejects.toThrow(ScheduleRefused);
    expect(await named('wrong')).toBeUndefined();
  });

  it('whose time passes while the server is down fires when it is back', async () => {
    await schedules.create('missed', inMs(1_500), command);
    await nats.crash();
    expect(await named('missed')).toBeDefined();
    await ticked('missed');
  });

  it('is nothing that an app can make or take back', async () => {
    for (const user of ['mcp-frontend', 'action-runner']) {
      const own = await Schedules.open(await nats.connect(user));
      await expect(own.create('theirs', HOURLY, command)).rejects.toThrow();
    }
    expect(await named('theirs')).toBeUndefined();
  });
});
