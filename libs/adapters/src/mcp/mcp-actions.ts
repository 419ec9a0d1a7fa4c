/** The pinned tools of a downstream MCP server, as actions. */
import {
  ActionError,
  defineAction,
  type ActionAttributes,
  type ActionContext,
  type ActionDefinition,
  type ActionReturn,
} from '@callboard/actions';
import type { JsonObject } from '@callboard/envelope';
import { neverConnected } from '@callboard/http';
import { BROKEN_STREAM } from '@callboard/mcp-client';
import {
  ProtocolError,
  SdkError,
  SdkErrorCode,
  SdkHttpError,
  type CallToolResult,
  type Client,
} from '@modelcontextprotocol/client';
import type { ActionSettings } from '../action-settings.js';
import { AdapterFileError, type McpServer } from '../adapter-file.js';
import { adapterRetry, guarded, notDone, unknownEnding } from '../endings.js';
import { toDraft2020 } from '../json-schema.js';
import { traceOf } from '../trace-of.js';
import type { DownstreamServer } from './downstream-server.js';
import type { Pin, PinnedTool } from './pin.js';

const MAX_MESSAGE_CHARS = 4_000;
/** There was no answer: the server may have acted. */
const UNHEARD = new Set([SdkErrorCode.ConnectionClosed, SdkErrorCode.RequestTimeout, SdkErrorCode.SendFailed]);
/** So that it is the runner that ends the attempt at the deadline, and not a timer of the SDK. */
const AFTER_DEADLINE_MS = 5_000;

/** @throws AdapterFileError when the configuration decides about a tool that is not pinned, or a tool can be no action. */
export function mcpActions(config: McpServer, pin: Pin, server: DownstreamServer): ActionDefinition[] {
  for (const name of Object.keys(config.tools)) {
    if (!pin.tools.some((tool) => tool.name === name)) {
      throw new AdapterFileError(
        `MCP server ${config.name}: tools.${name} is about a tool that is not in ${config.pin}`,
      );
    }
  }
  return pin.tools.map((tool) => toAction(config, tool, server));
}

function toAction(config: McpServer, tool: PinnedTool, server: DownstreamServer): ActionDefinition {
  const settings: ActionSettings = config.tools[tool.name] ?? {};
  const attributes = attributesOf(tool, settings);
  const deadlineMs = settings.deadline_ms ?? config.deadline_ms;
  const title = settings.title ?? tool.title;
  try {
    return defineAction({
      id: `${config.prefix}.${tool.name}`,
      description: tool.description ?? tool.name,
      ...(title !== undefined && { title }),
      input: toDraft2020(tool.input_schema),
      ...(tool.output_schema && { output: toDraft2020(tool.output_schema) }),
      attributes,
      ...(deadlineMs !== undefined && { deadlineMs }),
      retry: adapterRetry(settings.retry),
      ...(settings.ordering !== undefined && { ordering: settings.ordering }),
      run: guarded(attributes, (args, context) => call(server, tool, attributes, args, context)),
    });
  } catch (error) {
    const way = `leave it out with exclude: [${tool.name}]`;
    throw new AdapterFileError(`MCP server ${config.name}: ${(error as Error).message}; mend it, or ${way}`, {
      cause: error,
    });
  }
}

/** The server's own hints, which the operator has accepted with the pin; what the configuration says wins. */
function attributesOf({ annotations = {} }: PinnedTool, { attributes }: ActionSettings): Partial<ActionAttributes> {
  const hints = {
    read_only: annotations['readOnlyHint'],
    destructive: annotations['destructiveHint'],
    idempotent: annotations['idempotentHint'],
    open_world: annotations['openWorldHint'],
  };
  const given = Object.entries(hints).filter(([, hint]) => typeof hint === 'boolean');
  const hinted = Object.fromEntries(given) as Partial<ActionAttributes>;
  // MCP gives the other hints a meaning only where a tool is not read-only.
  if (hinted.read_only) Object.assign(hinted, { destructive: false, idempotent: true });
  return { ...hinted, ...attributes };
}

async function call(
  server: DownstreamServer,
  tool: PinnedTool,
  attributes: Partial<ActionAttributes>,
  args: JsonObject,
  context: ActionContext,
): Promise<ActionReturn> {
  const client = await server.connected(context.signal);
  refuseDrifted(server, tool);
  const result = await ask(client, server, tool, attributes, args, context);
  const { _meta, ...rest } = result;
  if (result.isError !== true) return rest;
  const text = result.content.map((block) => (block.type === 'text' ? block.text : `[${block.type}]`)).join('\n');
  throw new ActionError(text.slice(0, MAX_MESSAGE_CHARS) || `${tool.name} failed`);
}

function refuseDrifted({ config, drift }: DownstreamServer, { name }: PinnedTool): void {
  if (config.on_drift !== 'refuse' || !(drift.changed.includes(name) || drift.gone.includes(name))) return;
  throw new ActionError(`Tool ${name} of MCP server ${config.name} is not as it was pinned`, { code: 'schema_drift' });
}

async function ask(
  client: Client,
  server: DownstreamServer,
  tool: PinnedTool,
  attributes: Partial<ActionAttributes>,
  args: JsonObject,
  context: ActionContext,
): Promise<CallToolResult> {
  const trace = traceOf(context.command);
  const remaining = context.deadlineAt.getTime() - Date.now() + AFTER_DEADLINE_MS;
  try {
    return await client.callTool(
      { name: tool.name, arguments: args, ...(trace.traceparent && { _meta: { ...trace } }) },
      {
        signal: context.signal,
        timeout: remaining,
        maxTotalTimeout: remaining,
        onprogress: ({ progress, total, message }) => context.progress(progress, total, message),
      },
    );
  } catch (error) {
    if (context.signal.aborted) throw error;
    const ending = classify(error, server.config.name, tool.name, attributes);
    if (ending.broken) await server.reset(client);
    throw ending.error;
  }
}

/** What a failed call says about the connection, and about what the server may have done. */
function classify(
  error: unknown,
  server: string,
  tool: string,
  attributes: Partial<ActionAttributes>,
): { error: ActionError; broken: boolean } {
  const who = `MCP server ${server}`;
  if (error instanceof ProtocolError && error.data !== BROKEN_STREAM) {
    // A JSON-RPC error is an answer: the server has looked at the request and did not do it, or could not.
    return { error: new ActionError(`${who}: ${error.message}`.slice(0, MAX_MESSAGE_CHARS)), broken: false };
  }
  if (error instanceof SdkHttpError) {
    const { status } = error;
    // 404 is what MCP asks for; many servers say 400.
    if (status === 404 || status === 400) {
      return { error: notDone(`${who} does not know our session any more`, error), broken: true };
    }
    if (status === 401 || status === 403) {
      return { error: new ActionError(`${who} does not accept our credentials`, { cause: error }), broken: true };
    }
    if (status === 429 || status === 503) return { error: notDone(`${who} answered ${status}`, error), broken: false };
    if (status < 500) return { error: new ActionError(`${who} answered ${status}`, { cause: error }), broken: false };
    return { error: unknownEnding(attributes, `${who} answered ${status}`, error), broken: true };
  }
  if (neverConnected(error)) return { error: notDone(`${who} cannot be reached`, error), broken: true };
  if (error instanceof SdkError && error.code === SdkErrorCode.NotConnected) {
    return { error: notDone(`The connection to ${who} was gone`, error), broken: true };
  }
  if (error instanceof SdkError && error.code === SdkErrorCode.InvalidResult) {
    return { error: new ActionError(`${tool} of ${who} gave a result that does not fit its schema`), broken: false };
  }
  if (error instanceof SdkError && !UNHEARD.has(error.code)) {
    // The server has answered with something that this client cannot go on with, such as a question to a person.
    return { error: new ActionError(`${tool} of ${who} cannot be called so: ${error.code}`), broken: false };
  }
  return { error: unknownEnding(attributes, `The connection to ${who} broke during the call`, error), broken: true };
}
