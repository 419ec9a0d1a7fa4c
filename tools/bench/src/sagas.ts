/**
 * `sagas`: a saga of three steps that do nothing, and one whose third step fails so that two are undone, beside DBOS and Restate. Every
 * store syncs to disk before it acknowledges: `sync_interval: always`, PostgreSQL's defaults, Restate's default.
 *
 * Callboard's side keeps what it promises: each step and each compensation is a command of its own, stored in order of its key, with an outcome of its
 * own, run by a runner that is another process than the orchestrator, and the saga's end is the stored outcome of the call that began it.
 * DBOS runs steps in the process that calls; Restate in a service that its server calls.
 */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bench, BenchContext } from './bench.js';
import { measureBeside, startPeer, type RunningPeer } from './beside-peers.js';
import { Child } from './child.js';
import { startRunnerStack } from './runner-stack.js';
import { SAGA_PEERS } from './saga-peers.js';

const ORCHESTRATOR = new URL('../../../apps/saga-orchestrator/dist/main.js', import.meta.url);
const SAGA_PRODUCER = new URL('./load/saga-producer.js', import.meta.url);

export const sagas: Bench = {
  name: 'sagas',
  title: 'a saga of three no-op steps, and one that undoes two, beside DBOS and Restate',
  run: (context) =>
    measureBeside(SAGA_PEERS, startCallboard, { done: '3 steps', undone: 'third fails, two undone' }, context),
};

async function startCallboard(context: BenchContext): Promise<RunningPeer> {
  const stack = await startRunnerStack(context, 'sagas');
  const stops = [() => stack.stop()];
  return startPeer('callboard', stops, async () => {
    const definitions = await mkdtemp(join(context.directory, 'definitions-'));
    await writeFile(join(definitions, 'done.yaml'), definition('done', 'bench.noop'));
    await writeFile(join(definitions, 'undone.yaml'), definition('undone', 'bench.refuse'));
    const orchestrator = await Child.start('the saga orchestrator', ORCHESTRATOR, {
      CALLBOARD_NATS_URL: stack.url,
      CALLBOARD_NATS_CREDS: '',
      CALLBOARD_INSTANCE: 'bench-orchestrator',
      CALLBOARD_SAGAS: definitions,
      CALLBOARD_OPS_PORT: '0',
    });
    stops.push(() => orchestrator.stop());
    const producer = await Child.start('the producer of sagas', SAGA_PRODUCER, { BENCH_NATS_URL: stack.url });
    stops.push(() => producer.stop());
    const processes = { 'nats-server': [stack.serverPid], runner: [stack.workerPid], orchestrator: [orchestrator.pid] };
    return { producer, processes };
  });
}

function definition(method: string, third: string): string {
  const step = (name: string, action: string) => `  - name: ${name}
    action: ${action}
    args: { n: "\${{ input.n }}" }
    compensation: { action: bench.noop, args: { n: "\${{ args.n }}" } }
`;
  return `id: bench-saga.${method}
version: 1
description: Three steps that do nothing.
input: { type: object, properties: { n: { type: integer } }, required: [n] }
steps:
${step('first', 'bench.noop')}${step('second', 'bench.noop')}${step('third', third)}`;
}
