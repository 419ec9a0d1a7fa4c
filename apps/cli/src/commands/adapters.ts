/** `callboard adapters pin`: looks at the downstream MCP servers of an adapter file, and keeps what their tools are like. */
import { AdapterFileError, pinServers, type PinReport } from '@callboard/adapters';
import { createLogger } from '@callboard/telemetry';
import { Command } from 'commander';
import { Failure, messageOf } from '../failure.js';
import { printJson, printTable } from '../print.js';
import { jsonOption } from '../running-stack.js';

interface PinOptions {
  file?: string;
  server?: string;
  check: boolean;
  json: boolean;
}

export function adaptersCommand(): Command {
  const pin = new Command('pin')
    .description('connect to the MCP servers of an adapter file and write down what tools they have')
    .option('--file <file>', 'the adapter file (default: CALLBOARD_ADAPTERS)')
    .option('--server <name>', 'only this server')
    .option('--check', 'write nothing, and fail when a server is not as it was pinned', false)
    .addOption(jsonOption())
    .action(pinAll);
  return new Command('adapters').description('actions that live outside the runner').addCommand(pin);
}

async function pinAll({ file = process.env['CALLBOARD_ADAPTERS'], server, check, json }: PinOptions): Promise<void> {
  if (!file) throw new Failure('Name the adapter file with --file, or in CALLBOARD_ADAPTERS.');
  const log = createLogger('callboard', 'adapters pin');
  const reports = await pinServers(file, process.env, log, {
    write: !check,
    ...(server !== undefined && { only: server }),
  }).catch((error: unknown) => {
    throw new Failure(error instanceof AdapterFileError ? error.message : `Not pinned: ${messageOf(error)}`);
  });
  if (reports.length === 0) {
    throw new Failure(server ? `${file} has no MCP server ${server}` : `${file} has no MCP servers`);
  }
  if (json) printJson(reports);
  else printReports(reports);
  if (check && reports.some(({ drift }) => drift.changed.length + drift.gone.length > 0)) {
    throw new Failure('A server is not as it was pinned. Look at what has changed, then pin it again.');
  }
}

function printReports(reports: PinReport[]): void {
  const listed = (names: string[]) => names.join(' ') || '-';
  printTable(
    ['SERVER', 'TOOLS', 'CHANGED', 'GONE', 'NEW', 'PIN FILE'],
    reports.map(({ server, file, tools, drift }) => [
      server,
      String(tools),
      listed(drift.changed),
      listed(drift.gone),
      listed(drift.added),
      file,
    ]),
  );
}
