/** Faults of a real cluster of NATS, planted and mended: the figures of its nodes, as the exporter tells them, go to the rules as they are installed. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { describeWith, waitFor } from '@callboard/testing';
import { NATS_METRICS } from './nats-exporter.js';
import { PROMTOOL } from './promtool.js';
import { firedAndCleared, plantFault, type PlantedFault } from './spec-fired.js';
import { startNatsNodes, type NatsNodes } from './spec-nats-nodes.js';
import { TimeLapse } from './spec-time-lapse.js';

const SLOW_MS = 180_000;
/** Longer than any of these alerts waits. */
const LONG_ENOUGH = 15;

describeWith([PROMTOOL], 'a cluster of three nats-servers', () => {
  let nodes: NatsNodes;
  let lapse: TimeLapse;
  const faults: PlantedFault[] = [];

  beforeAll(async () => {
    nodes = await startNatsNodes();
    lapse = new TimeLapse(() => nodes.scrape());
    await lapse.minutes(5);
  }, SLOW_MS);
  afterAll(async () => {
    await lapse?.stop();
    await nodes?.stop();
  }, SLOW_MS);

  const series = (start: string) => [...lapse.latest].filter(([name]) => name.startsWith(start));
  const leaders = () => series('nats_stream_total_bytes').filter(([name]) => name.includes('is_stream_leader="true"'));

  async function fault(
    alerts: Record<string, Record<string, string>>,
    plant: () => Promise<unknown>,
    mend: () => Promise<unknown>,
  ): Promise<void> {
    faults.push(...(await plantFault(lapse, alerts, plant, mend, LONG_ENOUGH)));
    await waitFor(() => series('nats_server_total_streams').length === 3 && leaders().length === 1, {
      what: 'a whole cluster',
    });
    await lapse.minutes(2);
  }

  it('tells only figures that the exporter tells', () => {
    const told = new Set([...lapse.latest.keys()].map((name) => name.split('{', 1)[0]!));
    expect([...told].filter((name) => !NATS_METRICS.includes(name))).toEqual([]);
    expect(told.size).toBeGreaterThan(3);
  });

  it(
    'loses the node that leads, then a second one, and has no more room',
    async () => {
      await fault(
        { CallboardNatsNodeGone: {} },
        () => nodes.kill(1),
        () => nodes.restart(),
      );
      await fault(
        { CallboardNatsNoLeader: { stream_name: 'AUDIT' } },
        async () => {
          await nodes.kill(2);
          // The one that is left may take itself for the leader for some seconds.
          await waitFor(() => leaders().length === 0, { what: 'a stream without a leader' });
        },
        () => nodes.restart(),
      );
      await fault(
        { CallboardNatsStorageNearLimit: {}, CallboardStreamNearLimit: { stream_name: 'AUDIT' } },
        () => nodes.fill(),
        () => nodes.empty(),
      );
    },
    SLOW_MS,
  );

  it(
    'makes each of these alerts fire while its fault is there, and none before or after',
    async () => {
      await lapse.stop();
      const { ok, what } = firedAndCleared(lapse, faults);
      expect([what.includes('FAILED') ? what : '', ok]).toEqual(['', true]);
      expect(faults).toHaveLength(4);
    },
    SLOW_MS,
  );
});
