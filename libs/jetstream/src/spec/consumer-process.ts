/** A consumer in a process of its own, which a test can freeze. Writes every command that it begins as a line to a shared file. */
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseEnvelope } from '@callboard/envelope';
import { AckedPublisher } from '../acked-publisher.js';
import { CommandConsumer } from '../command-consumer.js';
import { connectNats } from '../connect.js';
import { OutcomePublisher } from '../outcome-publisher.js';

export interface Line {
  by: string;
  key: string;
  n: number;
  fence: number;
  mayHaveBegun: boolean;
}

const [url, credsFile, instance, file] = process.argv.slice(2) as [string, string, string, string];
const nc = await connectNats({ servers: url, user: 'action-runner', credsFile, name: instance });
const outcomes = new OutcomePublisher(new AckedPublisher(nc), instance);
await CommandConsumer.start(nc, {
  instance,
  partitions: 2,
  concurrencyPerPartition: 64,
  windowBytesPerPartition: 1_048_576,
  handle: async (delivery) => {
    const envelope = parseEnvelope(delivery.data);
    const { key, fence, mayHaveBegun } = { ...delivery, key: envelope.ordering_key };
    appendFileSync(file, `${JSON.stringify({ by: instance, key, n: envelope.args['n'], fence, mayHaveBegun })}\n`);
    await delay(key === 'slow' ? 1_000 : 5);
    if (delivery.signal.aborted) return 'left';
    await outcomes.publish(envelope, { status: 'succeeded', attempts: 1 });
    return 'ended';
  },
  onStuck: () => process.exit(70),
  onError: () => undefined,
});
process.send?.('started');
process.once('disconnect', () => process.exit(0));
