/** The apps of a stack that runs here: are they ready, and does a client get what it asks for? */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { messageOf } from '../failure.js';
import type { ReadyFile } from '../ready-file.js';
import { failed, ok, warning, type Finding } from './finding.js';

export async function checkApps(ready: ReadyFile): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [app, urls] of Object.entries(ready.metrics)) findings.push(await checkApp(app, urls));
  for (const [name, url] of Object.entries({ '': ready.mcp_url, ...ready.mcp_servers })) {
    findings.push(await checkServer(name, url, ready.token));
  }
  return findings;
}

async function checkApp(app: string, urls: readonly string[]): Promise<Finding> {
  const answers = await Promise.all(urls.map((url) => answersReady(url.replace(/metrics$/, 'readyz'))));
  const silent = answers.filter((answers) => !answers).length;
  if (silent === 0) return ok(app, `${urls.length} ready`);
  const finding = `${silent} of ${urls.length} do not answer`;
  return failed(app, 'app_not_ready', finding, 'see their logs in the data dir, or start the stack again');
}

/** Can a client list the tools of an MCP server? */
async function checkServer(name: string, url: string, token: string): Promise<Finding> {
  const check = name === '' ? 'MCP server' : `MCP server ${name}`;
  const client = new Client({ name: 'callboard-doctor', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
  try {
    const headers = { authorization: `Bearer ${token}` };
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    const { tools } = await client.listTools();
    const { prompts } = await client.listPrompts();
    const { resources } = await client.listResources();
    const shown = `${tools.length} tools, ${prompts.length} prompts, ${resources.length} resources`;
    if (tools.length + prompts.length + resources.length > 0) return ok(check, shown);
    return warning(check, 'nothing_served', shown, 'see its rules in the servers file');
  } catch (error) {
    const finding = `${url} does not serve a client: ${messageOf(error)}`;
    return failed(check, 'mcp_not_served', finding, 'see the log of the front end');
  } finally {
    await client.close();
  }
}

async function answersReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}
