// The client of the tasks extension, on top of the MCP SDK v2 client: calls one tool, as a task where the server makes it one.
// usage: node ext-tasks.mjs URL modern TOKEN TOOL ARGUMENTS
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { createTaskSessionFromClient, resultFromTaskOutcome } from '@modelcontextprotocol/ext-tasks/client';

const REVISION = '2026-07-28';
const [url, , token, tool, args] = process.argv.slice(2);
const authorization = token ? { authorization: `Bearer ${token}` } : {};
const clientInfo = { name: 'callboard-driver-ext-tasks', version: '1.0.0' };
const clientCapabilities = { elicitation: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } };
const client = new Client(clientInfo, {
  versionNegotiation: { mode: { pin: REVISION } },
  capabilities: clientCapabilities,
});
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: authorization } });
await client.connect(transport);

// The SDK client takes no task for an answer, so the extension wants its requests sent as they are: one POST each.
let requests = 0;
async function rawDispatch({ method, params }, { signal, headers } = {}) {
  const name = params?.taskId ?? params?.name ?? params?.uri;
  const response = await fetch(url, {
    method: 'POST',
    ...(signal && { signal }),
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': REVISION,
      'mcp-method': method,
      ...(name && { 'mcp-name': name }),
      ...authorization,
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: `raw-${++requests}`, method, params }),
  });
  const text = await response.text();
  const isStream = response.headers.get('content-type')?.includes('text/event-stream');
  const frames = isStream
    ? [...text.matchAll(/^data: (.+)$/gm)].map(([, data]) => JSON.parse(data))
    : [JSON.parse(text)];
  const answer = frames.find((message) => 'result' in message || 'error' in message);
  return answer.error ? { kind: 'error', error: answer.error } : { kind: 'result', result: answer.result };
}

const asked = [];
const session = createTaskSessionFromClient(client, {
  endpointId: url,
  rawDispatch,
  v2RequestFraming: { protocolVersion: REVISION, clientInfo, clientCapabilities },
  onInputRequest: async ({ kind }) => {
    asked.push(kind);
    return { action: 'accept', content: { approve: true } };
  },
});
const statuses = [];
const execution = await session.callTool(tool, JSON.parse(args));
const { outcome } = await execution.settle({
  onEvent: (event) => {
    if (event.type === 'task' && statuses.at(-1) !== event.task.status) statuses.push(event.task.status);
  },
});
const seen = { kind: execution.kind, statuses, asked, result: resultFromTaskOutcome(outcome) };
await session.close();
await client.close();
console.log(JSON.stringify(seen));
