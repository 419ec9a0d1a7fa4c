/** What the clients of one MCP server are shown: built once for each version of the catalog, then only looked up. */
import {
  isReservedId,
  type ActionDescriptor,
  type CatalogView,
  type PromptArgument,
  type RegisteredAction,
} from '@callboard/actions';
import type { JsonObject } from '@callboard/envelope';
import {
  UriTemplate,
  type Prompt,
  type Resource,
  type ResourceTemplateType,
  type Tool,
} from '@modelcontextprotocol/server';
import { isEventUri } from './events/event-uri.js';
import { isSagaUri } from './sagas/saga-tools.js';
import { paramHeaders, type ParamHeader } from './param-headers.js';

/** Of a tool that is somebody else's: whose kind of system has it as an action of its own. */
const ORIGIN = 'io.callboard/origin';

export interface ToolEntry {
  action: RegisteredAction;
  /** Arguments that the 2026 revision wants mirrored in headers. */
  headers: readonly ParamHeader[];
}

export interface PromptEntry {
  action: RegisteredAction;
  arguments: PromptArgument[];
}

interface Template {
  action: RegisteredAction;
  template: UriTemplate;
}

export class Listing {
  readonly tools: Tool[] = [];
  readonly resources: Resource[] = [];
  readonly resourceTemplates: ResourceTemplateType[] = [];
  readonly prompts: Prompt[] = [];
  /** Ids of actions whose descriptor no client could use; left out, because one of them makes clients refuse the whole list. */
  readonly unusable: string[] = [];
  readonly #tools = new Map<string, ToolEntry>();
  readonly #resources = new Map<string, RegisteredAction>();
  readonly #templates = new Map<string, Template>();
  readonly #prompts = new Map<string, PromptEntry>();

  /** @param own what the front end serves itself */
  constructor(view: CatalogView, own: readonly RegisteredAction[]) {
    for (const tool of own) this.#add(tool);
    for (const action of view.actions.values()) {
      try {
        if (isOurs(action)) throw new TypeError('the front end serves that itself');
        this.#add(action);
      } catch {
        this.unusable.push(action.id);
      }
    }
  }

  tool(name: string): ToolEntry | undefined {
    return this.#tools.get(name);
  }

  prompt(name: string): PromptEntry | undefined {
    return this.#prompts.get(name);
  }

  template(uriTemplate: string): RegisteredAction | undefined {
    return this.#templates.get(uriTemplate)?.action;
  }

  /** The action that reads a URI, with its arguments: a fixed URI first, then the first template that fits. */
  resource(uri: string): { action: RegisteredAction; args: JsonObject } | undefined {
    const fixed = this.#resources.get(uri);
    if (fixed) return { action: fixed, args: { uri } };
    for (const { action, template } of this.#templates.values()) {
      const variables = template.match(uri);
      if (variables) return { action, args: { ...variables, uri } };
    }
    return undefined;
  }

  #add(action: RegisteredAction): void {
    const { surface } = action;
    const described = { ...(action.title && { title: action.title }), description: action.description };
    switch (surface.kind) {
      case 'tool':
        this.tools.push(toTool(action, described));
        this.#tools.set(action.id, { action, headers: paramHeaders(action.input_schema) });
        break;
      case 'prompt':
        this.prompts.push({
          name: surface.name,
          ...described,
          arguments: surface.arguments.map(({ suggestions: _, ...argument }) => argument),
        });
        this.#prompts.set(surface.name, { action, arguments: surface.arguments });
        break;
      case 'resource':
        this.resources.push({ uri: surface.uri, name: surface.name, ...described, ...mimeType(surface) });
        this.#resources.set(surface.uri, action);
        break;
      case 'resource_template':
        this.#templates.set(surface.uri_template, { action, template: new UriTemplate(surface.uri_template) });
        this.resourceTemplates.push({
          uriTemplate: surface.uri_template,
          name: surface.name,
          ...described,
          ...mimeType(surface),
        });
        break;
    }
  }
}

/** Would the action shadow something that the front end serves? */
function isOurs({ id, surface }: ActionDescriptor): boolean {
  if (surface.kind === 'resource') return isOurUri(surface.uri);
  if (surface.kind === 'resource_template') return isOurUri(surface.uri_template);
  return isReservedId(id);
}

/** Is this for the front end to serve, rather than for an action? */
export function isOurUri(uri: string): boolean {
  return isEventUri(uri) || isSagaUri(uri);
}

function toTool(action: ActionDescriptor, described: { title?: string; description: string }): Tool {
  const { attributes } = action;
  if (action.input_schema.type !== 'object') throw new TypeError('MCP takes only objects as arguments');
  return {
    name: action.id,
    ...described,
    inputSchema: action.input_schema as Tool['inputSchema'],
    ...(action.output_schema && { outputSchema: action.output_schema as Tool['outputSchema'] }),
    annotations: {
      readOnlyHint: attributes.read_only,
      destructiveHint: attributes.destructive,
      idempotentHint: attributes.idempotent,
      openWorldHint: attributes.open_world,
    },
    ...(action.origin && { _meta: { [ORIGIN]: action.origin } }),
  };
}

function mimeType({ mime_type: mimeType }: { mime_type?: string }): { mimeType?: string } {
  return mimeType === undefined ? {} : { mimeType };
}
