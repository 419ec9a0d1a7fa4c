// The AI SDK's own MCP client, an implementation of both eras that shares no code with the MCP SDK. It shows no progress.
// usage: node ai-sdk.mjs URL auto|legacy [TOKEN]   (Node 22 or newer)
import { createMCPClient } from '@ai-sdk/mcp';

const [url, era, token] = process.argv.slice(2);
const headers = token ? { authorization: `Bearer ${token}` } : {};
const client = await createMCPClient({
  transport: { type: 'http', url, headers },
  protocolVersionDiscovery: era !== 'legacy',
});

const { tools } = await client.listTools();
// The way an agent calls: the listed tools become AI SDK tools, each with an execute function.
const callable = await client.tools();
const call = (name, args) => callable[name].execute(args, { toolCallId: name, messages: [] });
const seen = {
  protocol: client.initializeResult.protocolVersion,
  tools: tools.map(({ name }) => name),
  echo: await call('demo.echo', { text: 'hello from ai-sdk' }),
  progressed: await call('demo.progress', { steps: 3, interval_ms: 30 }),
};
await client.close();
console.log(JSON.stringify(seen));
