/**
 * The baseline of `call`: what somebody has who serves MCP with the SDK and nothing behind it. A process of its own, ten tools,
 * the SDK's own handler with its default options, schemas built once.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { z } from 'zod';

const text = z.object({ text: z.string().max(100_000) });
const TOOLS = ['demo.echo', ...Array.from({ length: 9 }, (_, index) => `demo.echo_${index + 1}`)];

function createMcpServer(): McpServer {
  const server = new McpServer({ name: 'bare', version: '1.0.0' });
  for (const tool of TOOLS) {
    server.registerTool(tool, { title: 'Echo', description: 'Returns the text.', inputSchema: text }, (args) => ({
      content: [{ type: 'text', text: args.text }],
    }));
  }
  return server;
}

const handle = toNodeHandler(createMcpHandler(createMcpServer));
const server = createServer((request, response) => void handle(request, response));
server.listen(0, '127.0.0.1', () => {
  process.send!({ type: 'ready', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp` });
});
process.on('SIGTERM', () => process.exit(0));
process.on('disconnect', () => process.exit(0));
