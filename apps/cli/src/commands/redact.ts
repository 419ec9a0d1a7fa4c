/**
 * `callboard redact`: JSON lines in, redacted JSON lines out, as the privacy filter would pass them on; needs no running stack.
 *
 * A line that cannot be redacted is not passed through: standard error says which line and why, the others go on, and the exit code is 1.
 * Lines go out in the order in which they came in, one at a time; a line beyond the limit is never held.
 * Nothing that is written to standard error holds anything of a line.
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import {
  PolicyError,
  REFUSALS,
  parsePolicies,
  redact,
  type Json,
  type PolicySet,
  type Redaction,
} from '@callboard/redaction';
import { Command } from 'commander';
import { Failure } from '../failure.js';
import { inputLines } from '../input-lines.js';

interface RedactCommandOptions {
  policy?: string;
  tenant: string;
  source: string;
  topic: string;
  keyFile?: string;
  findings: boolean;
}

const KEY_VARIABLE = 'CALLBOARD_REDACTION_KEY';
const LEAST_KEY_BYTES = 16;
/** Longer lines are refused: some four times what the library reads of one event. */
const MOST_LINE_BYTES = 16 * 1024 * 1024;

export function redactCommand(): Command {
  return new Command('redact')
    .description('redact JSON lines from standard input to standard output')
    .option('--policy <file>', 'policies in YAML; without them, all detectors with pseudonyms')
    .option('--tenant <id>', 'tenant whose pseudonyms are used', 'default')
    .option('--source <name>', 'source of the events: it chooses the policy', '')
    .option('--topic <name>', 'topic of the events: it chooses the policy', '')
    .option('--key-file <file>', `file with the key for pseudonyms; else ${KEY_VARIABLE}, else a new one for this run`)
    .option('--findings', 'write what was found to standard error, as JSON lines without the values', false)
    .action(redactLines);
}

async function redactLines(options: RedactCommandOptions): Promise<void> {
  const policies = options.policy === undefined ? undefined : await readPolicies(options.policy);
  const key = await readKey(options.keyFile);
  let number = 0;
  let refused = 0;
  for await (const line of inputLines(process.stdin, MOST_LINE_BYTES)) {
    number++;
    if (line !== 'too_large' && line.text.trim() === '') continue;
    const result: Redaction =
      line === 'too_large' ? { ok: false, reason: 'too_large' } : redactLine(line.text, { ...options, key, policies });
    if (result.ok) {
      if (options.findings)
        for (const finding of result.findings) report({ line: number, policy: result.policy, ...finding });
      // A reader that is slower than this program makes it wait, not grow.
      if (!process.stdout.write(`${JSON.stringify(result.value)}\n`)) await once(process.stdout, 'drain');
    } else {
      refused++;
      report({ line: number, refused: result.reason, meaning: REFUSALS[result.reason] });
    }
  }
  if (refused > 0) throw new Failure(`${refused} of ${number} lines were not passed through.`);
}

function redactLine(
  line: string,
  { key, tenant, source, topic, policies }: RedactCommandOptions & { key: Uint8Array; policies: PolicySet | undefined },
): Redaction {
  let event: Json;
  try {
    event = JSON.parse(line) as Json;
  } catch {
    // The parser's message quotes the line.
    return { ok: false, reason: 'not_json' };
  }
  return redact(event, { key, tenant, source, topic, ...(policies === undefined ? {} : { policies }) });
}

function report(entry: object): void {
  process.stderr.write(`${JSON.stringify(entry)}\n`);
}

async function readPolicies(file: string): Promise<PolicySet> {
  try {
    return parsePolicies(await read(file, '--policy'));
  } catch (error) {
    if (error instanceof PolicyError)
      throw new Failure(error.problems.map((problem) => `${file}: ${problem}`).join('\n'));
    throw error;
  }
}

async function readKey(file: string | undefined): Promise<Uint8Array> {
  const given = file === undefined ? process.env['CALLBOARD_REDACTION_KEY'] : await read(file, '--key-file');
  if (given === undefined || given === '') return randomBytes(32);
  const text = given.trim();
  if (Buffer.byteLength(text) < LEAST_KEY_BYTES) {
    throw new Failure(
      `The key in ${file ?? KEY_VARIABLE} is too short: it needs ${LEAST_KEY_BYTES} characters at least. Make one with: openssl rand -hex 32`,
    );
  }
  // Any text is a key, whatever it is encoded as.
  return createHash('sha256').update(text).digest();
}

async function read(file: string, option: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new Failure(`${option} ${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`);
  }
}
