/**
 * `mcp:call`: a step of a software template that calls a tool of an MCP server of the app-config.
 *
 * An MCP server knows no idempotency key. A run that finds that an earlier one had begun to call, and has not heard how it ended, calls again only a
 * tool that says it is read-only or idempotent; with any other it fails once, for a person to look, and calls again when that person retries.
 */
import type { ActionContext, TemplateAction } from '@backstage/plugin-scaffolder-node';
import { tellEverything } from '@callboard/mcp-client';
import { Client, StreamableHTTPClientTransport, type CallToolResult, type Tool } from '@modelcontextprotocol/client';
import type { McpServerConfig } from './config.js';
import { progressLine, textOf } from './durable-call.js';
import { StepRuns } from './step-runs.js';

interface Input {
  server: string;
  tool: string;
  args?: Record<string, unknown>;
}

const EXAMPLE = `steps:
  - id: forecast
    action: mcp:call
    input:
      server: weather
      tool: get_forecast
      args:
        city: \${{ parameters.city }}`;
const MAX_MESSAGE_CHARS = 4_000;

export function mcpAction(servers: readonly McpServerConfig[]): TemplateAction {
  return {
    id: 'mcp:call',
    description: 'Calls a tool of an MCP server that the app-config names, and waits for its result.',
    examples: [{ description: 'Ask for a forecast', example: EXAMPLE }],
    supportsDryRun: true,
    schema: {
      input: {
        type: 'object',
        properties: {
          server: { type: 'string', enum: servers.map(({ name }) => name), title: 'MCP server' },
          tool: { type: 'string', title: 'Tool' },
          args: { type: 'object', title: 'Arguments' },
        },
        required: ['server', 'tool'],
        additionalProperties: false,
      },
      output: {
        type: 'object',
        properties: {
          result: { title: 'Structured result of the tool, where it has one' },
          text: { type: 'string', title: 'Result of the tool as text' },
        },
      },
    },
    handler: async (context) => {
      const { server: name, tool, args = {} } = context.input as unknown as Input;
      if (context.isDryRun) return void context.logger.info(`A dry run does not call ${tool} of ${name}`);
      const server = servers.find((one) => one.name === name)!;
      const runs = await StepRuns.of(context);
      const call = (client: Client) => callOnce(client, server, tool, args, context, runs);
      // What has succeeded is kept with the task, and not called again.
      const result = await runs.once('result', () => connected(server, context, call));
      context.logger.info(`${tool} of ${name} succeeded`);
      if (result.structuredContent !== undefined) context.output('result', result.structuredContent);
      context.output('text', textOf(result));
    },
  };
}

async function callOnce(
  client: Client,
  server: McpServerConfig,
  tool: string,
  args: Record<string, unknown>,
  context: ActionContext,
  runs: StepRuns,
): Promise<CallToolResult> {
  const tell = (line: string) => context.logger.info(line);
  const { tools } = await client.listTools();
  const offered = tools.find((one) => one.name === tool);
  if (!offered) throw new Error(`MCP server ${server.name} has no tool ${tool}`);
  try {
    if (!mayRepeat(offered) && (await runs.isNoted('begun'))) {
      throw new Error(
        `${tool} of ${server.name} was called before, and how that ended is not known. Look there; a retry of the task calls it again`,
      );
    }
    await runs.note('begun');
    tell(`Calling ${tool} of ${server.name}`);
    const answer = await client.callTool(
      { name: tool, arguments: args },
      {
        timeout: server.timeoutMs,
        maxTotalTimeout: server.timeoutMs,
        ...(context.signal && { signal: context.signal }),
        onprogress: (fact) => tell(progressLine(fact)),
      },
    );
    if (answer.isError !== true) return answer;
    throw new Error(textOf(answer).slice(0, MAX_MESSAGE_CHARS) || `${tool} failed`);
  } catch (error) {
    await runs.failed();
    throw error;
  }
}

/** MCP's own defaults: a tool that says nothing may change things, and twice. */
function mayRepeat({ annotations }: Tool): boolean {
  return annotations?.readOnlyHint === true || annotations?.idempotentHint === true;
}

async function connected<T>(
  server: McpServerConfig,
  { signal }: ActionContext,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client({ name: 'callboard-backstage', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  const transport = new StreamableHTTPClientTransport(new URL(server.url), {
    requestInit: { headers: server.headers },
  });
  try {
    await client.connect(transport, { timeout: server.timeoutMs, ...(signal && { signal }) });
    tellEverything(transport);
    return await use(client);
  } finally {
    await client.close().catch(() => undefined);
  }
}
