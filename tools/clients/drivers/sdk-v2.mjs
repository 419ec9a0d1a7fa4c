// The MCP SDK v2 client.  usage: node sdk-v2.mjs URL auto|modern|legacy [TOKEN]
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, era, token] = process.argv.slice(2);
const client = new Client(
  { name: 'callboard-driver-sdk-v2', version: '1.0.0' },
  { versionNegotiation: { mode: era === 'modern' ? { pin: '2026-07-28' } : era } },
);
const headers = token ? { authorization: `Bearer ${token}` } : {};
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
await client.connect(transport);

const progress = [];
const { tools } = await client.listTools();
const echo = await client.callTool({ name: 'demo.echo', arguments: { text: 'hello from sdk-v2' } });
const progressed = await client.callTool(
  { name: 'demo.progress', arguments: { steps: 3, interval_ms: 30 } },
  { onprogress: (step) => progress.push(step) },
);
const seen = {
  protocol: client.getNegotiatedProtocolVersion(),
  session: transport.sessionId !== undefined,
  tools: tools.map(({ name }) => name),
  echo,
  progress,
  progressed,
};
if (transport.sessionId !== undefined) await transport.terminateSession();
await client.close();
console.log(JSON.stringify(seen));
