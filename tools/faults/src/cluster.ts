import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { KillPlan } from './killer.js';

/** The place of the node that leads a stream, from 0; undefined while there is none. */
export async function leaderOf(jsm: JetStreamManager, stream: string): Promise<number | undefined> {
  const info = await jsm.streams.info(stream).catch(() => undefined);
  // The nodes of a stack are called n1, n2 and so on.
  const place = Number(info?.cluster?.leader?.slice(1)) - 1;
  return Number.isInteger(place) ? place : undefined;
}

/**
 * How nats-server is killed: the nodes of a cluster at ticks, one that is alone as often as the plan says.
 * @param nc of a user who may ask who leads the stream
 */
export async function natsKillPlan(
  { nodes, natsKills }: { nodes: number; natsKills: number },
  nc: NatsConnection,
  stream: string,
): Promise<Pick<KillPlan, 'natsKills' | 'leader'>> {
  if (nodes === 1) return { natsKills };
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  return { natsKills: 0, leader: () => leaderOf(jsm, stream) };
}
