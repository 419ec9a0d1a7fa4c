/** `callboard streams apply|check`: the declared streams against those of the server. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  TopologyError,
  applyTopology,
  checkTopology,
  declareTopology,
  type Topology,
  type TopologyDifference,
} from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Command, InvalidArgumentError, Option } from 'commander';
import { Failure, messageOf } from '../failure.js';
import { printJson, printTable } from '../print.js';
import {
  StackCommand,
  asOperator,
  asUser,
  findStack,
  isElsewhere,
  type StackCommandOptions,
} from '../running-stack.js';
import { readConfigFile } from '../stack-config.js';

/** A cluster that has just been started elects somebody first. */
const RETRY_MS = 1_000;

interface StreamsOptions extends StackCommandOptions {
  config?: string;
  waitS: number;
}

export function streamsCommand(): Command {
  const apply = new StackCommand('apply')
    .description('create what is missing and mend what can be mended without losing anything')
    .addOption(configOption())
    .addOption(waitOption())
    .action(applyStreams);
  const check = new StackCommand('check')
    .description('say where the server differs from what is declared; exit code 1 when it does')
    .addOption(configOption())
    .addOption(waitOption())
    .action(checkStreams);
  return new Command('streams')
    .description('streams, consumers and key-value buckets')
    .addCommand(apply)
    .addCommand(check);
}

const configOption = () =>
  new Option('--config <file>', 'with --external or --context: configuration file with the streams');
const waitOption = () =>
  new Option('--wait-s <seconds>', 'with --external or --context: how long to wait until the server answers')
    .argParser((text: string) => {
      const seconds = Number(text);
      if (Number.isInteger(seconds) && seconds >= 1 && seconds <= 3_600) return seconds;
      throw new InvalidArgumentError('must be a whole number from 1 to 3600');
    })
    .default(10);

async function applyStreams(options: StreamsOptions): Promise<void> {
  const changed = await asProvisioner(options, applyTopology);
  if (options.json) printJson({ changed });
  else if (changed.length === 0) console.log('Nothing to change: every stream is as declared.');
  else printDifferences('WAS', changed);
}

async function checkStreams(options: StreamsOptions): Promise<void> {
  const differences = await asProvisioner(options, checkTopology);
  if (options.json) printJson({ differences });
  else if (differences.length === 0) console.log('Every stream is as declared.');
  else printDifferences('IS', differences);
  if (differences.length === 0) return;
  throw new Failure(
    differences.every(({ mendable }) => mendable)
      ? `${differences.length} differences, all of which "callboard streams apply" mends.`
      : `${differences.length} differences, some of which cannot be mended: back up what you need and remove the stream, or start with the setting that it has.`,
  );
}

type Work = (nc: NatsConnection, topology: Topology) => Promise<TopologyDifference[]>;

/** Of a stack, an operator's change is on record before it is made; where streams are made for the first time, there is no record yet. */
async function asProvisioner({ config, waitS, ...where }: StreamsOptions, work: Work) {
  const stack = await findStack(where);
  if (isElsewhere(where)) {
    const { topology } = config ? await readConfigFile(config) : { topology: {} };
    const declared = declareTopology(topology);
    const signal = AbortSignal.timeout(waitS * 1_000);
    return asUser(stack, 'provisioner', (nc) => untilAnswered(signal, () => work(nc, declared)), signal);
  }
  if (config)
    throw new Failure('--config goes with --external or --context: a stack that runs here knows its own streams.');
  if (work === applyTopology) await asOperator(stack, { what: 'apply_streams' }, () => Promise.resolve());
  return asUser(stack, 'provisioner', (nc) => work(nc, declareTopology(stack.topology)));
}

/** What differs is an answer; anything else may be a cluster without a leader. */
async function untilAnswered<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof TopologyError) throw error;
      await delay(RETRY_MS, undefined, { signal }).catch(() => {
        throw new Failure(`The streams cannot be seen to: ${messageOf(error)}`);
      });
    }
  }
}

function printDifferences(actual: string, differences: TopologyDifference[]): void {
  printTable(
    ['STREAM', 'SETTING', actual, 'DECLARED', 'MENDABLE'],
    differences.map((difference) => [
      difference.stream,
      difference.setting,
      JSON.stringify(difference.actual) ?? '-',
      JSON.stringify(difference.declared) ?? '-',
      difference.mendable ? 'yes' : 'no',
    ]),
  );
}
