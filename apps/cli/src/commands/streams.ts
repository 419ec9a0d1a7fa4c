/** `callboard streams apply|check`: the declared streams against those of the server. */
import { applyTopology, checkTopology, declareTopology, type TopologyDifference } from '@callboard/jetstream';
import { Command } from 'commander';
import { Failure } from '../failure.js';
import { printJson, printTable } from '../print.js';
import { asUser, dataDirOption, findStack, jsonOption, type StackCommandOptions } from '../running-stack.js';

export function streamsCommand(): Command {
  const apply = new Command('apply')
    .description('create what is missing and mend what can be mended without losing anything')
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .action(applyStreams);
  const check = new Command('check')
    .description('say where the server differs from what is declared; exit code 1 when it does')
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .action(checkStreams);
  return new Command('streams')
    .description('streams, consumers and key-value buckets')
    .addCommand(apply)
    .addCommand(check);
}

async function applyStreams({ dataDir, json }: StackCommandOptions): Promise<void> {
  const ready = await findStack(dataDir);
  const changed = await asUser(ready, 'provisioner', (nc) => applyTopology(nc, declareTopology(ready.topology)));
  if (json) printJson({ changed });
  else if (changed.length === 0) console.log('Nothing to change: every stream is as declared.');
  else printDifferences('WAS', changed);
}

async function checkStreams({ dataDir, json }: StackCommandOptions): Promise<void> {
  const ready = await findStack(dataDir);
  const differences = await asUser(ready, 'provisioner', (nc) => checkTopology(nc, declareTopology(ready.topology)));
  if (json) printJson({ differences });
  else if (differences.length === 0) console.log('Every stream is as declared.');
  else printDifferences('IS', differences);
  if (differences.length === 0) return;
  throw new Failure(
    differences.every(({ mendable }) => mendable)
      ? `${differences.length} differences, all of which "callboard streams apply" mends.`
      : `${differences.length} differences, some of which cannot be mended: back up what you need and remove the stream, or start with the setting that it has.`,
  );
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
