/**
 * `redrive`: how many dead letters a second go back into their keys, as `callboard dlq redrive` sends them: each read, stored again as
 * a command, and deleted. The baseline stores as many new commands with the same client, as many at once. A runner works through
 * both meanwhile, because it would.
 */
import {
  DeadLetterBox,
  DeadLetterPublisher,
  OutcomePublisher,
  AckedPublisher,
  STREAM,
  redriveAll,
} from '@callboard/jetstream';
import { commandSubject } from '@callboard/envelope';
import type { Bench, Measurement } from './bench.js';
import { commandNumber } from './commands.js';
import { cpuMsOfEach } from './processes.js';
import { compare } from './rounds.js';
import { startRunnerStack } from './runner-stack.js';

const LETTERS = 2_000;
const KEYS = 200;
/** As many as a redrive has under way. */
const AT_ONCE = 128;
const ROUNDS = 3;

export const redrive: Bench = {
  name: 'redrive',
  title: `${LETTERS} dead letters of ${KEYS} keys redriven, against as many new commands accepted`,
  async run(context) {
    const wrong: string[] = [];
    const stack = await startRunnerStack(context, 'redrive');
    const { connection, client } = stack;
    const publisher = new AckedPublisher(connection);
    try {
      const box = await DeadLetterBox.open(connection);
      const letters = new DeadLetterPublisher(publisher);
      const outcomes = new OutcomePublisher(publisher, 'bench');
      const count = context.quick ? LETTERS / 4 : LETTERS;
      let n = 0;
      const numbers = () => Array.from({ length: count }, () => ++n);
      const command = (each: number) => commandNumber(each, `key-${each % KEYS}`, 'noop');

      const timed = async (work: () => Promise<void>): Promise<Measurement> => {
        const pids = { 'nats-server': stack.serverPid, worker: stack.workerPid };
        const before = cpuMsOfEach(pids);
        const from = performance.now();
        await work();
        const perSecond = (count / (performance.now() - from)) * 1000;
        const after = cpuMsOfEach(pids);
        const cpuUs = Object.fromEntries(
          Object.keys(before).map((name) => [name, ((after[name]! - before[name]!) * 1000) / count]),
        );
        return { perSecond, cpuUs };
      };
      const accept = async () => {
        const commands = numbers().map(command);
        return timed(() => fromCallers(commands, async (each) => (await client.submit(each)).release()));
      };
      const redriveThem = async () => {
        // What gave up, made as the runner makes it.
        await fromCallers(numbers(), async (each) => {
          const envelope = command(each);
          const stored = commandSubject({
            tenantId: envelope.tenant_id,
            tool: envelope.tool,
            method: envelope.method,
            orderingKey: envelope.ordering_key,
            correlationId: envelope.correlation_id,
          }).replace(/^cmd\./, 'cmd.0.');
          const about = { reason: 'attempts_exhausted', attempts: 5, stream: STREAM.commands, subject: stored };
          await letters.publish({ ...about, sequence: each }, Buffer.from(JSON.stringify(envelope)));
          // Only what has ended is redriven.
          await outcomes.publish(envelope, { status: 'dead_lettered', attempts: 1 });
        });
        let redriven = 0;
        const measurement = await timed(async () => {
          for await (const fared of redriveAll(box, client, box.find())) if ('correlation_id' in fared) redriven += 1;
        });
        if (redriven !== count) wrong.push(`${redriven} of ${count} letters were redriven`);
        for await (const left of box.find()) wrong.push(`letter ${left.letter} is still there`);
        return measurement;
      };
      await accept();
      const sides = {
        what: `${AT_ONCE} at once, sync always`,
        baseline: { name: 'accepted', measure: accept },
        candidate: { name: 'redriven', measure: redriveThem },
      };
      return { comparisons: [await compare(sides, context.quick ? 1 : ROUNDS, context)], wrong: wrong.slice(0, 5) };
    } finally {
      publisher.close();
      await stack.stop();
    }
  },
};

async function fromCallers<T>(items: readonly T[], call: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const callBackToBack = async (): Promise<void> => {
    while (next < items.length) await call(items[next++]!);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, callBackToBack));
}
