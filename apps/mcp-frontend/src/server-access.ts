/**
 * What the callers of one MCP server may do, in the words of the front end. What is refused here is on record; what a list leaves out is
 * not.
 */
import {
  isGoodFor,
  namedToolResource,
  runActionOf,
  toolResource,
  topicResource,
  type AccessAction,
  type Gate,
  type Principal,
} from '@callboard/access';
import type { RegisteredAction } from '@callboard/actions';
import { CallboardError, type Priority } from '@callboard/envelope';
import type { Prompt, Resource, ResourceTemplateType, Tool } from '@modelcontextprotocol/server';
import type { Listing } from './listing.js';

type TopicAction = Extract<AccessAction, 'read_events' | 'subscribe'>;

/** What one principal is shown of a listing. */
export interface ShownLists {
  tools: Tool[];
  prompts: Prompt[];
  resources: Resource[];
  resourceTemplates: ResourceTemplateType[];
}

/** Shapes of principals whose lists of one listing are remembered; those go first that were made first. */
const MOST_SHAPES = 1_000;
const RUNS: readonly AccessAction[] = ['call', 'read_resource', 'get_prompt'];

export class ServerAccess {
  readonly #lists = new WeakMap<Listing, Map<string, ShownLists>>();

  constructor(
    private readonly gate: Gate,
    /** Of the MCP server. */
    readonly path: string,
  ) {}

  /** May somebody speak to this server at all? */
  connects(principal: Principal): boolean {
    const { path: server } = this;
    const resource = { type: 'Server', id: server } as const;
    return this.gate.allows({ principal, action: 'connect', resource, circumstances: { server } });
  }

  mayRun(principal: Principal, action: RegisteredAction): boolean {
    return this.gate.policies.decide(this.#run(principal, action, 'normal')).allowed;
  }

  /** @throws CallboardError `forbidden` */
  checkRun(principal: Principal, action: RegisteredAction, priority: Priority, correlationId?: string): void {
    const about = correlationId === undefined ? {} : { correlationId };
    if (!this.gate.allows(this.#run(principal, action, priority), about)) throw denied(correlationId);
  }

  /**
   * Of one's own command.
   * @throws CallboardError `forbidden`
   */
  checkHandle(principal: Principal, action: 'cancel' | 'read_result', tool: string, correlationId: string): void {
    if (!this.gate.allows(this.#handle(principal, action, tool), { correlationId })) throw denied(correlationId);
  }

  /** May it hear of its own command? */
  readsResult(principal: Principal, tool: string): boolean {
    return this.gate.policies.decide(this.#handle(principal, 'read_result', tool)).allowed;
  }

  /** What of a topic somebody may see, by what it is asked for. */
  sees(principal: Principal, ...actions: TopicAction[]): (source: string, topic: string) => boolean {
    const circumstances = { server: this.path };
    return (source, topic) => {
      const resource = topicResource(source, topic);
      return actions.every(
        (action) => this.gate.policies.decide({ principal, action, resource, circumstances }).allowed,
      );
    };
  }

  /**
   * Whoever names topics, and may see none of them, is told so; where only some are named, the others are left out.
   * @throws CallboardError `forbidden`
   */
  checkTopics(
    principal: Principal,
    actions: readonly TopicAction[],
    { sources, topics }: { sources?: readonly string[]; topics?: readonly string[] },
  ): void {
    if (!sources?.length || !topics?.length) return;
    const sees = this.sees(principal, ...actions);
    if (sources.some((source) => topics.some((topic) => sees(source, topic)))) return;
    for (const action of actions) {
      const resource = topicResource(sources[0]!, topics[0]!);
      if (!this.gate.allows({ principal, action, resource, circumstances: { server: this.path } })) throw denied();
    }
  }

  /**
   * What may be run: the same object for all for whom it is the same. What only scopes are missing for is shown: a client asks for those when it
   * uses it.
   */
  listsOf(listing: Listing, principal: Principal): ShownLists {
    const { actions } = principal;
    const shape = this.gate.policies.shapeOf(principal, RUNS) + (actions ? JSON.stringify([...actions].sort()) : '');
    let known = this.#lists.get(listing);
    if (!known) this.#lists.set(listing, (known = new Map()));
    let lists = known.get(shape);
    if (!lists) {
      const may = (action: RegisteredAction | undefined) =>
        action !== undefined && isGoodFor(principal, action.id) && this.mayRun(principal, action);
      lists = {
        tools: listing.tools.filter(({ name }) => may(listing.tool(name)?.action)),
        prompts: listing.prompts.filter(({ name }) => may(listing.prompt(name)?.action)),
        resources: listing.resources.filter(({ uri }) => may(listing.resource(uri)?.action)),
        resourceTemplates: listing.resourceTemplates.filter(({ uriTemplate }) => may(listing.template(uriTemplate))),
      };
      if (known.size >= MOST_SHAPES) known.delete(known.keys().next().value!);
      known.set(shape, lists);
    }
    return lists;
  }

  /** Which policies are in force; a list under others may be another. */
  get digest(): string {
    return this.gate.policies.digest;
  }

  onChange(listener: () => void): () => void {
    return this.gate.policies.onChange(listener);
  }

  #run(principal: Principal, action: RegisteredAction, priority: Priority) {
    const circumstances = { server: this.path, priority };
    return { principal, action: runActionOf(action), resource: toolResource(action), circumstances };
  }

  #handle(principal: Principal, action: 'cancel' | 'read_result', tool: string) {
    return { principal, action, resource: namedToolResource(tool), circumstances: { server: this.path } };
  }
}

function denied(correlationId?: string): CallboardError {
  const details = correlationId === undefined ? {} : { correlationId };
  return new CallboardError('forbidden', 'Policy does not allow this', details);
}
