/**
 * `callboard demo`: a real conversation between an AI client and a stack that it starts for itself, told step by step.
 *
 * Nothing is staged: the client is the MCP SDK's own, the front end is really killed in the middle of a call, Backstage is a real one, and
 * each step checks what it says before it says it. Exit code 0 means that all of it happened.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { converse } from '../demo/conversation.js';
import { playIncident } from '../demo/incident.js';
import { tell } from '../demo/narration.js';
import { DEFAULT_CONFIG } from '../stack-config.js';
import { Stack } from '../supervisor.js';

interface DemoOptions {
  backstage: boolean;
  verbose: boolean;
}

export function demoCommand(): Command {
  return new Command('demo')
    .description('play a short, real conversation against a stack of its own')
    .option('--backstage', 'play an incident instead, with a real Backstage; see docs/backstage.md', false)
    .option('--verbose', 'also print what the supervisor says', false)
    .action(demo);
}

async function demo({ backstage, verbose }: DemoOptions): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'callboard-demo-'));
  let stack: Stack | undefined;
  try {
    const apps = 'nats-server, a front end, a runner, an ingestor, a privacy filter';
    tell(
      `Starting a stack of its own in a temporary folder: ${apps}${backstage ? ', a notifier; and a real Backstage' : ''}.`,
    );
    stack = await Stack.start(
      {
        dataDir,
        backstage,
        fresh: false,
        config: { ...structuredClone(DEFAULT_CONFIG), port: 0 },
        say: (line) => (verbose ? console.log(`  | ${line}`) : undefined),
      },
      (started) => {
        stack = started;
        for (const signal of ['SIGINT', 'SIGTERM'] as const) {
          process.on(signal, () => void started.stop().then(() => process.exit(1)));
        }
      },
    );
    await (backstage ? playIncident(stack.ready) : converse(stack));
    tell('That is all. Taking the stack down.');
  } finally {
    await stack?.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
  process.exit(0);
}
