/**
 * The plug-in `callboard`: Callboard's tools as actions of Backstage, for whoever calls those: `demo.echo` is `callboard:demo-echo`. A call is a
 * durable command.
 *
 * A Backstage that starts while Callboard is away starts without them; they come when Callboard does. Its registry takes nothing back: a tool
 * that Callboard has no more stays until Backstage restarts, and its calls are answered NotFoundError.
 *
 * Invariant: no loop (L1). What Callboard has from a Backstage (`io.callboard/origin`), and what is Callboard's own, is not registered.
 */
import {
  coreServices,
  createBackendPlugin,
  type BackendFeature,
  type LoggerService,
} from '@backstage/backend-plugin-api';
import { actionsRegistryServiceRef, type ActionsRegistryService } from '@backstage/backend-plugin-api/alpha';
import {
  AuthenticationError,
  ConflictError,
  InputError,
  NotAllowedError,
  NotFoundError,
  ServiceUnavailableError,
} from '@backstage/errors';
import { namePattern } from '@callboard/config';
import type { Tool } from '@modelcontextprotocol/client';
import { setTimeout as delay } from 'node:timers/promises';
import { readActions, readCallboard, type ActionsConfig, type CallboardConfig } from './config.js';
import { CallFailed, callDurably, listTools, newKey, textOf } from './durable-call.js';
import { objectToZod } from './to-zod.js';
import { isUser, userToken } from './user-token.js';

const ORIGIN = 'io.callboard/origin';
const CALLBOARDS_OWN = /^(callboard|events)\./;
const FIRST_PAUSE_MS = 500;
/** As Backstage's own actions are named, and as MCP clients take them. */
const ACTION_NAME = /^[A-Za-z0-9_-]{1,64}$/;

export const actionsPlugin: BackendFeature = createBackendPlugin({
  pluginId: 'callboard',
  register({ registerInit }) {
    registerInit({
      deps: {
        config: coreServices.rootConfig,
        lifecycle: coreServices.lifecycle,
        logger: coreServices.logger,
        registry: actionsRegistryServiceRef,
      },
      async init({ config, lifecycle, logger, registry }) {
        const stopped = new AbortController();
        const actions = new CallboardActions(readCallboard(config), readActions(config), registry, logger);
        // Not awaited: Backstage starts without Callboard too.
        const following = actions.follow(stopped.signal);
        lifecycle.addShutdownHook(async () => {
          stopped.abort();
          await following;
        });
      },
    });
  },
});

class CallboardActions {
  /** Names that are taken, and which tool has them. */
  readonly #registered = new Map<string, string>();
  readonly #leftOut = new Set<string>();

  constructor(
    private readonly callboard: CallboardConfig,
    private readonly config: ActionsConfig,
    private readonly registry: ActionsRegistryService,
    private readonly logger: LoggerService,
  ) {}

  /** Registers what Callboard lists, and looks again and again for more. Does not reject. */
  async follow(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted;) {
      try {
        this.#register(await listTools(this.callboard, this.callboard.token));
        failures = 0;
      } catch (error) {
        if (failures++ === 0) this.logger.warn(`The tools of Callboard cannot be listed: ${(error as Error).message}`);
      }
      const pause = failures === 0 ? this.config.refreshMs : FIRST_PAUSE_MS * 2 ** failures;
      await delay(Math.min(pause, this.config.refreshMs), undefined, { signal }).catch(() => undefined);
    }
  }

  #register(tools: Tool[]): void {
    const added: string[] = [];
    for (const tool of tools) {
      if (CALLBOARDS_OWN.test(tool.name) || tool._meta?.[ORIGIN] === 'backstage' || !this.#isWanted(tool.name))
        continue;
      const name = tool.name.replaceAll('.', '-');
      const holder = this.#registered.get(name);
      if (holder === tool.name) continue;
      if (holder !== undefined) this.#leaveOut(tool.name, `${holder} has its name, ${name}`);
      else if (!ACTION_NAME.test(name)) this.#leaveOut(tool.name, 'its name can be no action of Backstage');
      else {
        this.#add(name, tool);
        added.push(name);
      }
    }
    if (added.length > 0) this.logger.info(`Actions of Callboard: ${added.join(', ')}`);
  }

  #isWanted(tool: string): boolean {
    const fits = (rule: string) => namePattern(rule).test(tool);
    return this.config.include.some(fits) && !this.config.exclude.some(fits);
  }

  #leaveOut(tool: string, why: string): void {
    if (this.#leftOut.has(tool)) return;
    this.#leftOut.add(tool);
    this.logger.warn(`${tool} of Callboard is no action here: ${why}`);
  }

  #add(name: string, tool: Tool): void {
    this.#registered.set(name, tool.name);
    const { annotations = {} } = tool;
    const input = tool.inputSchema as Record<string, unknown>;
    const result = tool.outputSchema as Record<string, unknown> | undefined;
    this.registry.register({
      name,
      title: tool.title ?? tool.name,
      description: tool.description ?? tool.name,
      attributes: {
        readOnly: annotations.readOnlyHint ?? false,
        destructive: annotations.destructiveHint ?? true,
        idempotent: annotations.idempotentHint ?? false,
      },
      schema: {
        input: (z) => objectToZod(z, input),
        output: (z) =>
          z.object({
            text: z.string().describe('What the action returned, as text'),
            result: (result ? objectToZod(z, result) : z.record(z.unknown())).optional(),
            correlationId: z.string().describe('Name of the command in Callboard'),
          }),
      },
      action: async ({ input: args, credentials, logger }) => {
        const { callAs } = this.config;
        const asUser = callAs === 'user' && isUser(credentials.principal);
        const token = asUser ? userToken(credentials) : this.callboard.token;
        try {
          const { result: answer, correlationId } = await callDurably(
            this.callboard,
            { tool: tool.name, args, token, idempotencyKey: newKey() },
            { tell: (line) => logger.debug(line) },
          );
          const { structuredContent } = answer;
          const output = {
            text: textOf(answer),
            correlationId,
            ...(structuredContent !== undefined && { result: structuredContent as Record<string, unknown> }),
          };
          return { output };
        } catch (error) {
          throw error instanceof CallFailed ? toBackstage(error) : error;
        }
      },
    });
  }
}

/** As Backstage's own actions fail, so that its callers know what it means. */
function toBackstage({ code, message }: CallFailed): Error {
  switch (code) {
    case 'invalid_arguments':
      return new InputError(message);
    case 'unauthorized':
      return new AuthenticationError(message);
    case 'forbidden':
      return new NotAllowedError(message);
    case 'not_found':
    case 'unknown_action':
      return new NotFoundError(message);
    case 'conflict':
    case 'idempotency_conflict':
      return new ConflictError(message);
    case 'overloaded':
    case 'rate_limited':
    case 'unavailable':
      return new ServiceUnavailableError(message);
    default:
      return new Error(message);
  }
}
