/** The list of where a tenant's data is, against the topology and against every subject that is made for a tenant. */
import {
  answerSubject,
  attemptSubject,
  auditSubject,
  checkpointSubject,
  deadlineSubject,
  dispatchSubject,
  dueSubject,
  eventSubject,
  handedSubject,
  heldEventSubject,
  heldLetterSubject,
  inputSubject,
  outcomeSubject,
  progressSubject,
  scheduleSubject,
  tickSubject,
  unscheduleSubject,
  type EventAddress,
} from '@callboard/envelope';
import { expect, it } from '@jest/globals';
import { haltKey } from './halts.js';
import { TENANTLESS, tenantPlaces } from './tenant-places.js';
import { declareTopology } from './topology.js';

/** Names of tenants that a careless pattern would take for one another, or for a wildcard. */
const TENANTS = ['acme', 'acme.eu', 'acme-eu', 'acm', '*', '>', '', 'a b'];

/** One subject of each kind that is stored for a tenant. */
function subjectsOf(tenant: string): string[] {
  const event: EventAddress = { tenantId: tenant, source: 's', topic: 't', key: 'k', event: 'e_1' };
  const events = eventSubject(event).slice('evt.'.length);
  const commands = `cmd.3.${events}`;
  return [
    ...[commands, `dlq.COMMANDS.${commands}`, `saga.7.${outcomeSubject(tenant, 'c_1').slice('out.'.length)}`],
    ...[outcomeSubject, deadlineSubject, dueSubject, progressSubject].map((subject) => subject(tenant, 'c_1')),
    ...[attemptSubject(tenant, 'c_1', 1, 'begun'), inputSubject(tenant, 'c_1', 'q'), answerSubject(tenant, 'c_1', 'q')],
    ...[dispatchSubject('queue', tenant, 'c_1', 1), handedSubject(tenant, 'c_1', 1)],
    ...[scheduleSubject, tickSubject, unscheduleSubject].map((subject) => subject(tenant, 'nightly')),
    `dlq.SCHEDULES.${tickSubject(tenant, 'nightly')}.7`,
    ...[`raw.2.${events}`, heldEventSubject(event), eventSubject(event), `dlq.EVENTS_RAW.${heldLetterSubject(event)}`],
    ...[auditSubject(tenant, 'call', 'c_1'), checkpointSubject(tenant)],
    `$KV.HALTS.${haltKey(tenant, 'k')}`,
  ];
}

/** Does a pattern of NATS take a subject? */
function takes(pattern: string, subject: string): boolean {
  const [wanted, given] = [pattern.split('.'), subject.split('.')];
  const rest = wanted.at(-1) === '>';
  if (rest ? given.length < wanted.length : given.length !== wanted.length) return false;
  return wanted.every((token, i) => token === '*' || (rest && i === wanted.length - 1) || token === given[i]);
}

it('has every stream of the topology, once', () => {
  const declared = declareTopology().streams.map(({ config }) => config.name);
  expect([...tenantPlaces('acme').map(({ stream }) => stream), ...TENANTLESS].sort()).toEqual(declared.sort());
});

it('has every kind of subject that a stream takes', () => {
  const places = new Map(tenantPlaces('acme').map(({ stream, subjects }) => [stream, subjects]));
  for (const { config } of declareTopology().streams) {
    if (TENANTLESS.includes(config.name)) continue;
    const has = new Set(places.get(config.name)!.map((pattern) => pattern.split('.')[0]));
    expect([config.name, [...has].sort()]).toEqual([
      config.name,
      [...new Set(config.subjects!.map((pattern) => pattern.split('.')[0]))].sort(),
    ]);
  }
});

it.each(TENANTS)('what is stored for %j is found for it, once, and for nobody else', (tenant) => {
  for (const other of TENANTS) {
    const patterns = tenantPlaces(other).flatMap(({ subjects }) => subjects);
    for (const subject of subjectsOf(tenant)) {
      const found = patterns.filter((pattern) => takes(pattern, subject));
      expect([subject, other, found.length]).toEqual([subject, other, other === tenant ? 1 : 0]);
    }
  }
});
