/** `callboard events tail`: what clients see, a line each: the last events, and with `--follow` those that come. */
import { InvalidFilter, parseFilters, toStructured, type EventFilter } from '@callboard/events';
import {
  EventReader,
  encodeCursor,
  followEvents,
  parseCursor,
  type EventPage,
  type EventPosition,
  type EventScope,
  type EventSelection,
  type StoredEvent,
} from '@callboard/jetstream';
import { Command, InvalidArgumentError, Option } from 'commander';
import { StackCommand, asUser, findStack, type StackCommandOptions } from '../running-stack.js';
import { parseWhen } from '../when.js';

interface TailOptions extends StackCommandOptions {
  tenant?: string;
  source?: string;
  topic?: string;
  filter?: EventFilter[];
  since: Since;
  follow: boolean;
}

type Since = { last: number } | { position: EventPosition } | { time: Date } | 'earliest';

const SHOWN = 10;
const MOST = 10_000;
const BOUNDS = { events: 256, bytes: 4 * 1024 * 1024 };
/** Characters of the data on a line for people. */
const DATA_CHARS = 160;

export function tailCommand(): Command {
  return new StackCommand('tail')
    .description('the last events, a line each; what is private is not in them')
    .option('--tenant <id>', 'of this tenant')
    .option('--source <name>', 'of this source')
    .option('--topic <topic>', 'of this topic')
    .addOption(
      new Option(
        '--filter <filter>',
        'that fulfil this: attribute=value, or a CloudEvents filter as JSON; repeatable',
      ).argParser(addFilter),
    )
    .addOption(
      new Option('--since <where>', `-N for the last N, a time, 2h for two hours ago, a cursor, or earliest`)
        .argParser(parseSince)
        .default({ last: SHOWN }, `-${SHOWN}`),
    )
    .option('--follow', 'go on with the events that come', false)
    .action(tail);
}

async function tail({ json, follow, since, ...which }: TailOptions): Promise<void> {
  const ready = await findStack(which);
  const scope: EventScope = which.tenant === undefined ? 'every tenant' : { tenantId: which.tenant };
  const selection: EventSelection = {
    ...(which.source !== undefined && { sources: [which.source] }),
    ...(which.topic !== undefined && { topics: [which.topic] }),
    ...(which.filter && { filters: which.filter }),
  };
  const print = json ? printLines : printShort;
  await asUser(ready, 'sre', async (nc) => {
    const reader = await EventReader.open(nc);
    let from = await startOf(reader, scope, selection, since, print);
    if (follow) {
      const stop = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
      const options = { scope, selection, from, bounds: BOUNDS, signal: stop.signal };
      for await (const page of followEvents(nc, reader, options)) print(page);
      return;
    }
    for (let more = true; more;) {
      const page = await reader.read(scope, selection, from, BOUNDS);
      print(page);
      from = page.next;
      more = page.hasMore;
    }
  });
}

/** Where to begin reading; the last events it has then printed already. */
async function startOf(
  reader: EventReader,
  scope: EventScope,
  selection: EventSelection,
  since: Since,
  print: (page: EventPage) => void,
): Promise<EventPosition | 'earliest'> {
  if (since === 'earliest') return since;
  if ('position' in since) return since.position;
  if ('time' in since) return reader.beforeTime(since.time);
  const page = await reader.latest(scope, selection, { events: since.last, bytes: 64 * 1024 * 1024 });
  print(page);
  return page.next;
}

function printLines(page: EventPage): void {
  if (page.truncated) console.log(JSON.stringify({ truncated: true }));
  for (const event of page.events) {
    const { tenantId, event: name, ...where } = event.address;
    const cursor = encodeCursor({ ...page.next, sequence: event.sequence });
    const { storedAt, attributes, data } = event;
    const line = {
      cursor,
      tenant: tenantId,
      ...where,
      name,
      stored_at: storedAt,
      event: toStructured(attributes, data),
    };
    console.log(JSON.stringify(line));
  }
}

function printShort({ truncated, events }: EventPage): void {
  if (truncated) console.log('… events are missing here: they were older than events are kept');
  for (const event of events) console.log(inShort(event));
}

function inShort({ storedAt, address, attributes, data }: StoredEvent): string {
  const { tenantId, source, topic, key, event } = address;
  const { data: content, data_base64: bytes } = toStructured(attributes, data);
  const text = bytes === undefined ? JSON.stringify(content) : `${data.byteLength} bytes`;
  const shown = text === undefined || text.length <= DATA_CHARS ? text : `${text.slice(0, DATA_CHARS)}…`;
  return [storedAt, tenantId, `${source}/${topic}`, key, event, ...(shown === undefined ? [] : [shown])].join('  ');
}

function addFilter(text: string, before: EventFilter[] = []): EventFilter[] {
  const [, name, value] = /^([a-z0-9]+)=(.*)$/s.exec(text) ?? [];
  try {
    const filter: unknown = name === undefined ? JSON.parse(text) : { exact: { [name]: value } };
    return [...before, ...parseFilters(Array.isArray(filter) ? filter : [filter], '--filter')];
  } catch (error) {
    if (error instanceof InvalidFilter) throw new InvalidArgumentError(`${error.message}.`);
    throw new InvalidArgumentError('It must be attribute=value, or a CloudEvents filter as JSON.');
  }
}

function parseSince(text: string): Since {
  if (text === 'earliest') return text;
  const [, last] = /^-(\d{1,5})$/.exec(text) ?? [];
  if (last !== undefined) {
    if (Number(last) < 1 || Number(last) > MOST) throw new InvalidArgumentError(`It must be from -1 to -${MOST}.`);
    return { last: Number(last) };
  }
  const position = parseCursor(text);
  return position ? { position } : { time: new Date(parseWhen(text)) };
}
