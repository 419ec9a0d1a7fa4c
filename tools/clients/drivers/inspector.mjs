// The MCP Inspector's command line, one process per request as its users run it. It shows no progress.
// usage: node inspector.mjs URL legacy|modern|auto [TOKEN [TOOL ARGUMENTS]]   (Node 22.19 or newer); with a tool, that is all it calls
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const [url, era, token, tool, toolArguments] = process.argv.slice(2);
const packageJson = createRequire(import.meta.url).resolve('@modelcontextprotocol/inspector/package.json');
const launcher = join(dirname(packageJson), 'clients/launcher/build/index.js');
// The Inspector keeps a catalogue and tokens in the home directory; a test leaves nothing behind in anybody's.
const home = await mkdtemp(join(tmpdir(), 'callboard-inspector-'));

async function inspect(...request) {
  const args = [launcher, '--cli', url, '--transport', 'http', '--protocol-era', era, '--format', 'json', ...request];
  if (token) args.push('--header', `Authorization: Bearer ${token}`);
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, HOME: home } });
  return JSON.parse(stdout).result;
}
const call = (name, args) =>
  inspect('--method', 'tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify(args));

async function tour() {
  const { tools } = await inspect('--method', 'tools/list');
  return {
    tools: tools.map(({ name }) => name),
    echo: await call('demo.echo', { text: 'hello from inspector' }),
    progressed: await call('demo.progress', { steps: 3, interval_ms: 30 }),
  };
}

try {
  const seen = tool ? { result: await call(tool, JSON.parse(toolArguments)) } : await tour();
  console.log(JSON.stringify(seen));
} finally {
  await rm(home, { recursive: true, force: true });
}
