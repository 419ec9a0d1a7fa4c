/** The files of the chart that are made from the code. A spec compares them with what is committed. */
import { declareTopology, DEFAULT_TOPOLOGY } from '@callboard/jetstream';
import { permissionsOf } from '@callboard/nats-server';
import { valuesSchema } from './values-schema.js';

/** So large that a stream that does not have it as its limit has one of its own; and so small that one that is less than its own has it. */
const MOST = 2 ** 50;
const LEAST = 1;

/** Path within the chart: text. */
export async function chartFiles(): Promise<Map<string, string>> {
  const { users } = declareTopology(DEFAULT_TOPOLOGY);
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  return new Map([
    ['files/nats-users.json', json(users.map((user) => ({ name: user.name, permissions: permissionsOf(user) })))],
    ['files/stream-limits.json', json(streamLimits())],
    ['values.schema.json', json(await valuesSchema(users.map((user) => user.name)))],
  ]);
}

/** What each stream with a limit reserves: `streams.maxBytes`, but not less than `least` and, unless that is 0, not more than `most`. */
function streamLimits(): Record<string, { least: number; most: number }> {
  const limits = (maxBytes: number) =>
    declareTopology({ maxBytes }).streams.map(({ config }) => [config.name, config.max_bytes ?? 0] as const);
  const least = new Map(limits(LEAST));
  return Object.fromEntries(
    limits(MOST)
      .filter(([, most]) => most > 0)
      .map(([name, most]) => [name, { least: least.get(name)!, most: most === MOST ? 0 : most }]),
  );
}
