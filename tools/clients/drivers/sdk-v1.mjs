// The MCP SDK v1 client, which speaks 2025-11-25 with a session.  usage: node sdk-v1.mjs URL legacy [TOKEN]
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, , token] = process.argv.slice(2);
const client = new Client({ name: 'callboard-driver-sdk-v1', version: '1.0.0' });
const headers = token ? { authorization: `Bearer ${token}` } : {};
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
await client.connect(transport);

const progress = [];
const { tools } = await client.listTools();
const echo = await client.callTool({ name: 'demo.echo', arguments: { text: 'hello from sdk-v1' } });
const progressed = await client.callTool(
  { name: 'demo.progress', arguments: { steps: 3, interval_ms: 30 } },
  undefined,
  { onprogress: (step) => progress.push(step) },
);
const seen = {
  protocol: transport.protocolVersion,
  session: transport.sessionId !== undefined,
  tools: tools.map(({ name }) => name),
  echo,
  progress,
  progressed,
};
await transport.terminateSession();
await client.close();
console.log(JSON.stringify(seen));
