/** The actions that processes of others announce, as a runner finds them: by the registry as it is now. */
import { HEARTBEAT_TTL_MS, type ActionDefinition, type Catalog } from '@callboard/actions';
import { onConnectionChange } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { serviceAction, type ServiceRequests } from './service-action.js';

/**
 * Where an action is that this runner does not have: at a process that takes its commands over NATS; in another runner; or nowhere any
 * more, but not for long, as while its process is started again.
 */
export type Found = { kind: 'here'; action: ActionDefinition } | { kind: 'elsewhere' } | { kind: 'lately' };

/** For this long after its last instance has gone, an action is waited for. */
const WAITED_FOR_MS = HEARTBEAT_TTL_MS;

export class NatsServices {
  readonly #actions = new Map<string, ActionDefinition>();
  /** When each action went. */
  readonly #gone = new Map<string, number>();
  readonly #requests: ServiceRequests;
  readonly #close: (() => void)[] = [];

  constructor(
    nc: NatsConnection,
    private readonly catalog: Catalog,
  ) {
    const reconnected = new Set<() => void>();
    this.#requests = { nc, instances: catalog, reconnected };
    const connection = onConnectionChange(nc, (change) => {
      if (change === 'connected') for (const tell of [...reconnected]) tell();
    });
    const changes = catalog.onChange((view, before) => {
      this.#actions.clear();
      const now = Date.now();
      for (const [id, since] of this.#gone) if (now - since > WAITED_FOR_MS) this.#gone.delete(id);
      for (const id of before.actions.keys()) if (!view.actions.has(id)) this.#gone.set(id, now);
      for (const id of view.actions.keys()) this.#gone.delete(id);
    });
    this.#close.push(connection, changes);
  }

  close(): void {
    for (const close of this.#close) close();
  }

  find(actionId: string): Found | undefined {
    const registered = this.catalog.get(actionId);
    if (!registered) {
      const since = this.#gone.get(actionId);
      return since !== undefined && Date.now() - since < WAITED_FOR_MS ? { kind: 'lately' } : undefined;
    }
    const { binding } = registered;
    if (!binding) return { kind: 'elsewhere' };
    // What begins a saga is no command of the stream that runners read.
    if (binding.kind === 'saga') return undefined;
    let action = this.#actions.get(actionId);
    if (!action) {
      action = serviceAction(registered, binding.subject, this.#requests);
      this.#actions.set(actionId, action);
    }
    return { kind: 'here', action };
  }
}
