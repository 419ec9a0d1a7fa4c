/**
 * The rules for events, as a pure function over a recorded history:
 *   answered     every event that may be sent again was taken in the end;
 *   stored       what was taken is stored, once, and nothing else is. Over the bus, what was taken and is not stored lies in a gap that was told;
 *   order        events of a key are stored, and read, in the order in which they were sent; one whose sender was never answered may still be
 *                on its way when the next is sent, and has no place;
 *   redacted     what is private is in nothing that is stored or read, and nothing is held back;
 *   read         the subscribed client of each era was given every stored event, once.
 */
import { ERAS, type EventHistory, type Post, type SeenEvent } from './history.js';

export const EVENT_RULES = [
  'event unanswered',
  'event lost',
  'event lost silently',
  'event stored twice',
  'event unknown',
  'event out of order',
  'event not redacted',
  'event held back',
  'event not read',
  'event read twice',
] as const;
export type EventRule = (typeof EVENT_RULES)[number];

export interface EventFinding {
  rule: EventRule;
  detail: string;
}

/** Times are taken before and after; two processes cross by so much at most. */
const CLOCK_SLACK_MS = 50;

export function checkEvents(history: EventHistory): EventFinding[] {
  const { posts, stored, read, held } = history;
  const findings: EventFinding[] = [];
  const found = (rule: EventRule, detail: string) => findings.push({ rule, detail });
  const posted = new Map(posts.map((post) => [nameOf(post), post]));
  const timesStored = countByName(stored);

  for (const post of posts) {
    const name = nameOf(post);
    const times = timesStored.get(name) ?? 0;
    if (times > 1) found('event stored twice', `${name}: ${times} times`);
    if (post.answeredAt === undefined) {
      if (post.way !== 'bus') found('event unanswered', `${name}: after ${post.attempts} attempts`);
    } else if (times === 0) {
      if (post.way !== 'bus') found('event lost', `${name}: taken at ${time(post.answeredAt)}`);
      else if (!isInGap(post, history)) found('event lost silently', `${name}: taken at ${time(post.answeredAt)}`);
    }
  }
  for (const name of timesStored.keys()) if (!posted.has(name)) found('event unknown', name);
  findings.push(...checkSequence('is stored', stored, posted));
  for (const era of ERAS) {
    const timesRead = countByName(read[era]);
    for (const [name, times] of timesRead) if (times > 1) found('event read twice', `${name}: ${times} times, ${era}`);
    for (const name of timesStored.keys()) if (!timesRead.has(name)) found('event not read', `${name}, ${era}`);
    findings.push(...checkSequence(`is read (${era})`, read[era], posted));
  }
  if (held > 0) found('event held back', `${held} of them`);
  return findings;
}

/** In order within each key, and without what is private. */
function checkSequence(how: string, events: readonly SeenEvent[], posted: ReadonlyMap<string, Post>): EventFinding[] {
  const findings: EventFinding[] = [];
  const last = new Map<string, SeenEvent>();
  for (const event of events) {
    const name = nameOf(event);
    const post = posted.get(name);
    const before = last.get(event.key);
    const hasPlace = post?.answeredAt !== undefined;
    if (hasPlace && before && before.value > event.value) {
      findings.push({ rule: 'event out of order', detail: `${name} ${how} after ${nameOf(before)}` });
    }
    if (hasPlace) last.set(event.key, event);
    const secret = post?.secret;
    if (secret !== undefined && event.text.includes(secret))
      findings.push({ rule: 'event not redacted', detail: `${name} ${how}` });
  }
  return findings;
}

function isInGap({ sentAt, answeredAt }: Post, { gaps }: EventHistory): boolean {
  return gaps.some(({ since, until }) => since <= answeredAt! + CLOCK_SLACK_MS && until >= sentAt - CLOCK_SLACK_MS);
}

function countByName(events: readonly SeenEvent[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const event of events) counts.set(nameOf(event), (counts.get(nameOf(event)) ?? 0) + 1);
  return counts;
}

function nameOf({ key, value }: { key: string; value: number }): string {
  return `${key} ${value}`;
}

function time(at: number): string {
  return new Date(at).toISOString().slice(11, 23);
}
