/**
 * Change events for clients of one MCP server that listen, whichever replica they are connected to.
 *
 * That the catalog or the policies changed every replica sees for itself, because each watches them; those events stay in the process.
 * That a resource changed only one process knows; those events go over core NATS, and every replica (the publisher too) delivers
 * what it receives. An event that is lost in a reconnect is not sent again: clients that must not miss a change read again.
 */
import type { CatalogView, Surface } from '@callboard/actions';
import type { ServerEvent, ServerEventBus } from '@modelcontextprotocol/server';
import type { NatsConnection, Subscription } from '@nats-io/transport-node';
import type { McpServer } from './mcp-server.js';
import type { ServerAccess } from './server-access.js';

const SUBJECT = 'mcp.bus';

type ResourceUpdated = Extract<ServerEvent, { kind: 'resource_updated' }>;

export class EventBus implements ServerEventBus {
  readonly #listeners = new Set<(event: ServerEvent) => void>();
  readonly #subscription: Subscription;
  readonly #unfollow: (() => void)[];

  constructor(
    private readonly nc: NatsConnection,
    private readonly server: Pick<McpServer, 'onChange' | 'tells'>,
    access: Pick<ServerAccess, 'onChange'>,
    private readonly onError: (error: unknown) => void,
  ) {
    this.#subscription = nc.subscribe(SUBJECT, {
      callback: (error, message) => {
        if (error) onError(error);
        else this.#receive(message.data);
      },
    });
    const unfollowCatalog = server.onChange((view, before) => {
      for (const event of changesBetween(before, view)) this.#deliver(event);
    });
    // Whose lists are others under other policies is not looked at: all are told to look.
    const unfollowPolicies = access.onChange(() => {
      for (const { event } of KINDS) this.#deliver({ kind: event });
    });
    this.#unfollow = [unfollowCatalog, unfollowPolicies];
  }

  publish(event: ServerEvent): void {
    if (event.kind === 'resource_updated') this.nc.publish(SUBJECT, JSON.stringify({ uri: event.uri }));
    else this.#deliver(event);
  }

  subscribe(listener: (event: ServerEvent) => void): () => void {
    // Wrapped, so that one function that subscribes twice is two subscriptions.
    const own = (event: ServerEvent) => listener(event);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  close(): void {
    for (const unfollow of this.#unfollow) unfollow();
    this.#subscription.unsubscribe();
    this.#listeners.clear();
  }

  #receive(data: Uint8Array): void {
    try {
      const { uri } = JSON.parse(Buffer.from(data).toString()) as ResourceUpdated;
      if (typeof uri === 'string' && this.server.tells(uri)) this.#deliver({ kind: 'resource_updated', uri });
    } catch (error) {
      this.onError(error);
    }
  }

  #deliver(event: ServerEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.onError(error);
      }
    }
  }
}

const KINDS = [
  { event: 'tools_list_changed', surfaces: ['tool'] },
  { event: 'prompts_list_changed', surfaces: ['prompt'] },
  { event: 'resources_list_changed', surfaces: ['resource', 'resource_template'] },
] as const satisfies { event: ServerEvent['kind']; surfaces: Surface['kind'][] }[];

/** Only the lists that really changed: a client asked for each of them by name. */
export function changesBetween(before: CatalogView, after: CatalogView): ServerEvent[] {
  return KINDS.filter(({ surfaces }) => shown(before, surfaces) !== shown(after, surfaces)).map(({ event }) => ({
    kind: event,
  }));
}

function shown(view: CatalogView, surfaces: readonly Surface['kind'][]): string {
  const visible = [...view.actions.values()].filter(({ surface }) => surfaces.includes(surface.kind));
  return JSON.stringify(visible.map(({ instances: _, ...descriptor }) => descriptor));
}
