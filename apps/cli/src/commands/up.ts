/** `callboard up`: the stack in the foreground, until Ctrl-C. */
import { Command } from 'commander';
import { relative } from 'node:path';
import { pathsOf } from '../data-dir.js';
import { Stack } from '../supervisor.js';
import { DEFAULT_CONFIG, parsePort, parseReplicas, readConfigFile, type StackConfig } from '../stack-config.js';
import type { ReadyFile } from '../ready-file.js';

interface UpOptions {
  dataDir: string;
  port?: number;
  config?: string;
  replicas?: StackConfig['replicas'];
  fresh: boolean;
  backstage: boolean;
}

/** npm passes a Ctrl-C on to us that the terminal has sent us as well: two within this time are one. */
const SAME_SIGNAL_MS = 1_000;

export function upCommand(): Command {
  return new Command('up')
    .description('start nats-server and every app, and keep them running until Ctrl-C')
    .option('--data-dir <dir>', 'where everything is kept', '.callboard')
    .option('--port <n>', `port of the MCP endpoint; 0 takes any free one (default: ${DEFAULT_CONFIG.port})`, parsePort)
    .option('--config <file>', 'configuration file, YAML or JSON; see docs/configuration.md')
    .option('--replicas <app=n,...>', 'how many processes of an app, for example action-runner=3', parseReplicas)
    .option('--fresh', 'empty the data dir first', false)
    .option('--backstage', 'start a real Backstage too, connected every way; see docs/backstage.md', false)
    .action(up);
}

async function up(options: UpOptions): Promise<void> {
  const startedAt = Date.now();
  const config = options.config ? await readConfigFile(options.config) : structuredClone(DEFAULT_CONFIG);
  if (options.port !== undefined) config.port = options.port;
  Object.assign(config.replicas, options.replicas);

  let stack: Stack | undefined;
  const asked = askedToStop(() => stack?.kill());
  const starting = Stack.start(
    { ...options, config, say: (line) => console.log(line) },
    (started) => (stack = started),
  );
  // A start that is cut short fails, and nobody wants to hear of it.
  await Promise.race([starting, asked]).finally(() => starting.catch(() => undefined));
  if (stack?.ready) {
    console.log(howToConnect(stack.ready, options.dataDir, (Date.now() - startedAt) / 1000));
    await asked;
  }
  console.log('stopping: calls that run may finish; Ctrl-C once more ends them now');
  await stack?.stop();
  console.log('stopped');
  process.exit(0);
}

/** Settles at the first Ctrl-C or SIGTERM; a later one calls back. */
function askedToStop(hurry: () => void): Promise<void> {
  return new Promise((resolve) => {
    let askedAt = 0;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (askedAt === 0) askedAt = Date.now();
        else if (Date.now() - askedAt > SAME_SIGNAL_MS) hurry();
        resolve();
      });
    }
  });
}

function howToConnect(ready: ReadyFile, dataDir: string, seconds: number): string {
  const paths = pathsOf(dataDir);
  const here = (path: string) => relative(process.cwd(), path) || '.';
  const dirOption = dataDir === '.callboard' ? '' : ` --data-dir ${dataDir}`;
  const sre = ready.nats_users['sre']!;
  const { caFile, certFile, keyFile } = sre.tls ?? {};
  const tlsOptions = sre.tls ? ` --tlsca ${here(caFile!)} --tlscert ${here(certFile!)} --tlskey ${here(keyFile!)}` : '';
  return `
Callboard is ready, after ${seconds.toFixed(1)} s.

  MCP endpoint   ${ready.mcp_url}${Object.values(ready.mcp_servers)
    .map((url) => `\n                 ${url}`)
    .join('')}
  Token          ${ready.token}
                 (optional on this machine; send it as "Authorization: Bearer …")
  Claude Code    claude mcp add --transport http callboard ${ready.mcp_url}
  Inspector      npx @modelcontextprotocol/inspector --cli ${ready.mcp_url} --transport http --method tools/list

  Events         ${ready.ingest_url ? `${ready.ingest_url}/events/local takes CloudEvents, with the token` : 'no ingestor runs'}${
    ready.backstage_url
      ? `\n  Backstage      ${ready.backstage_url}/api/events/http/github takes webhooks; see docs/backstage.md`
      : ''
  }

  Look around    npx callboard actions list${dirOption}
                 npx callboard doctor${dirOption}
  nats CLI       nats --server ${ready.nats_url} --creds ${here(sre.creds)}${tlsOptions} stream ls
  Logs           ${here(paths.logs)}
  Stop           Ctrl-C
`;
}
